"""In a real browser, served by JupyterLab: lesson 00 whole, and the widgets of the others.

The others' widgets stand in one notebook, made from the lessons: of each lesson its widget cells, and of the
cells before only those that they need, in a namespace of the lesson's own.
"""

import itertools
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

pytest.importorskip("selenium.webdriver", reason="needs selenium")
pytest.importorskip("jupyterlab", reason="needs jupyterlab")

from browsers import (  # noqa: E402 (after the skip)
    STUDENT,
    chromium,
    jupyterlab,
    kernel_errors,
    kernel_status,
    needs_browser,
    prompts,
    run_all,
    texts,
    wait,
)
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from website.cells import global_names, needed_for  # noqa: E402

ROOT = Path(__file__).parent.parent
LESSON = ROOT / "notebooks" / "00_start_here.ipynb"
EXERCISE = ROOT / "exercises" / "05_tokens" / "exercise_05_tokens.ipynb"
# Of lesson 08 two trained models are needed, too slow; its stepper is that of lesson 07.
WIDGETS = {
    "spectrogram explorer": "01_sound_to_spectrogram",
    "receptive-field explorer": "02_convolution_over_time",
    "gate viewer": "03_squeeze_and_excitation",
    "ContextNet explorer": "04_contextnet",
    "CTC explorer": "06_ctc",
    "lattice explorer": "07_rnnt",
    "greedy stepper": "07_rnnt",
    "beam stepper": "07_rnnt",
    "decoder stepper": "11_decode_and_measure",
    "recording desk": "13_your_own_voice",
}
SETTINGS = Path(sys.prefix, "share/jupyter/lab/settings/overrides.json")
WIDGET = "application/vnd.jupyter.widget-view+json"
SLIDER, PICTURE, SOUND = ".widget-slider .noUi-handle", "img.widget-image", ".widget-vbox audio"

pytestmark = needs_browser


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """Where JupyterLab serves a copy of lesson 00 without its outputs, untouched by the user's settings; the
    notebook of widgets lies beside it.
    """
    folder = tmp_path_factory.mktemp("lab")
    notebook = nbformat.read(LESSON, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.update(outputs=[], execution_count=None)
    (folder / "notebooks").mkdir()
    nbformat.write(notebook, folder / "notebooks" / LESSON.name)
    shutil.copy(EXERCISE, folder / "notebooks" / EXERCISE.name)
    nbformat.write(notebook_of_widgets(), folder / "notebooks" / "widgets.ipynb")
    with jupyterlab(folder, LESSON.name) as found:
        yield found


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("browser")) as driver:
        yield driver


@pytest.fixture(scope="module")
def after_run_all(url, browser):
    """The lesson in JupyterLab after Run > Run All Cells, or after the first error."""
    run_all(browser, url(LESSON.name))
    return browser


@pytest.fixture
def page(after_run_all, tmp_path):
    """The same page for each test; what a test saw last is ``page.png`` in its folder."""
    yield after_run_all
    after_run_all.save_screenshot(str(tmp_path / "page.png"))


def test_every_cell_runs_in_order_without_error_or_warning(page):
    assert kernel_errors(page) == []
    assert texts(page, '[data-mime-type$="jupyter.error"]') == []
    assert [text for text in texts(page, '[data-mime-type$="jupyter.stderr"]') if "Warning" in text] == []
    assert prompts(page) == [str(n + 1) for n in range(len(prompts(page)))] != []


def test_figures_and_player_are_shown(page):
    wait(page, lambda: len(widths(page, ".jp-RenderedImage img")) >= 5, "five figures", 30)
    wait(page, lambda: all(widths(page, ".jp-RenderedImage img")), "each figure to have a width", 30)
    duration = "return document.querySelector('.jp-RenderedHTML audio')?.duration"
    wait(page, lambda: (page.execute_script(duration) or 0) > 0.5, "a player with half a second of sound", 30)


def test_widget_is_rendered(page):
    wait(page, lambda: page.find_element(By.CSS_SELECTOR, SLIDER).is_displayed(), "a slider", 30)
    wait(page, lambda: any(widths(page, PICTURE)), "a picture", 30)
    text = page.find_element(By.CSS_SELECTOR, ".jp-Notebook").text
    assert "Loading widget" not in text and "Error displaying widget" not in text


@pytest.mark.parametrize("key", ["ARROW_LEFT", "HOME", "END"])
def test_moving_the_slider_changes_picture_and_sound(page, key):
    slider = page.find_element(By.CSS_SELECTOR, SLIDER)
    shown = [page.find_element(By.CSS_SELECTOR, selector) for selector in (PICTURE, SOUND)]
    before = [content(page, element) for element in shown]
    slider.send_keys(getattr(Keys, key))
    for element, old in zip(shown, before, strict=True):
        changed(page, element, old)
    assert kernel_errors(page) == []
    wait(page, lambda: any(widths(page, PICTURE)), "the picture to have a width", 30)


@pytest.mark.skipif(not SETTINGS.exists(), reason="needs JupyterLab's settings as `make lab` has them")
def test_nobody_is_asked_about_news(page):
    assert not [text for text in texts(page, ".Toastify__toast") if "news" in text.lower()]


def test_console_has_no_errors(page):
    """What the browser could not fetch (a favicon) is not the lesson's business."""
    log = page.get_log("browser")
    assert not [entry for entry in log if entry["level"] == "SEVERE" and entry["source"] != "network"]


@pytest.fixture(scope="module")
def all_widgets(url, browser):
    """The notebook of widgets after all of its cells have run: the browser, and where each widget is."""
    run_all(browser, url("widgets.ipynb"))
    assert kernel_errors(browser) == []
    found = lambda: browser.find_elements(By.CSS_SELECTOR, ".jp-OutputArea-output > .widget-vbox")  # noqa: E731
    wait(browser, lambda: len(found()) == len(WIDGETS), "all widgets")
    return browser, dict(zip(WIDGETS, found(), strict=True))


@pytest.fixture
def widget(all_widgets, request, tmp_path):
    """(browser, one widget), in view; what it looks like after the test is ``widget.png`` in its folder."""
    browser, outputs = all_widgets
    box = outputs[request.param]
    browser.execute_script("arguments[0].scrollIntoView()", box)
    yield browser, box
    box.screenshot(str(tmp_path / "widget.png"))


def one(name):
    return pytest.mark.parametrize("widget", [name], indirect=True)


@pytest.mark.parametrize("widget", [name for name in WIDGETS if name != "recording desk"], indirect=True)
def test_each_control_of_a_widget_changes_its_picture(widget):
    browser, box = widget
    (picture,) = box.find_elements(By.CSS_SELECTOR, PICTURE)
    wait(browser, lambda: width(browser, picture), "a picture", 30)
    controls = box.find_elements(By.CSS_SELECTOR, ".widget-slider, .widget-dropdown, .widget-toggle-buttons")
    assert controls
    for control in controls:
        before = content(browser, picture)
        move(control)
        changed(browser, picture, before)
        assert kernel_errors(browser) == []
    wait(browser, lambda: width(browser, picture), "the last picture", 30)


@pytest.mark.parametrize("widget", [name for name in WIDGETS if name != "recording desk"], indirect=True)
def test_nothing_of_a_widget_is_cut_off(widget):
    """Labels are whole and beside what they name, nothing overlaps, the picture fits into the page."""
    browser, box = widget
    cut = """
        return Array.from(arguments[0].querySelectorAll(".widget-label, .widget-readout, button"))
            .filter(label => label.scrollWidth > label.clientWidth + 1).map(label => label.textContent)
    """
    assert browser.execute_script(cut, box) == []
    children = box.find_elements(By.XPATH, "./*")
    places = [child.rect for child in children if child.rect["height"]]
    assert len(places) >= 2
    for above, below in itertools.pairwise(places):
        assert above["y"] + above["height"] <= below["y"] + 1
    for buttons in box.find_elements(By.CSS_SELECTOR, ".widget-toggle-buttons"):
        name, *choices = buttons.find_elements(By.CSS_SELECTOR, ".widget-label, button")
        assert len(choices) >= 2 and {choice.rect["y"] for choice in choices} == {choices[0].rect["y"]}
        assert abs(name.rect["y"] - choices[0].rect["y"]) < 5, "the name stands in another line"
    (picture,) = box.find_elements(By.CSS_SELECTOR, PICTURE)
    wait(browser, lambda: width(browser, picture), "a picture", 30)
    assert picture.rect["width"] <= box.rect["width"]
    natural = browser.execute_script("return arguments[0].naturalWidth / arguments[0].naturalHeight", picture)
    assert picture.rect["width"] / picture.rect["height"] == pytest.approx(natural, rel=0.02)


@one("lattice explorer")
def test_a_label_dragged_past_others_takes_them_along_and_the_button_brings_them_back(widget):
    browser, box = widget
    (picture,) = box.find_elements(By.CSS_SELECTOR, PICTURE)
    (button,) = box.find_elements(By.CSS_SELECTOR, "button")
    handles = box.find_elements(By.CSS_SELECTOR, ".noUi-handle")
    before = content(browser, picture)
    button.click()
    best = changed(browser, picture, before)
    at_best = readouts(box)
    assert len(handles) == len(at_best) == 3 and at_best == sorted(at_best, key=int)
    track = handles[-1].find_element(By.XPATH, "./ancestor::*[contains(@class, 'noUi-target')]")
    # the last label is dragged to the left end: all are taken along
    ActionChains(browser).drag_and_drop_by_offset(handles[-1], -int(track.rect["width"]), 0).perform()
    changed(browser, picture, best)
    assert set(readouts(box)) == {"0"} != set(at_best)
    dragged = content(browser, picture)
    button.click()
    assert changed(browser, picture, dragged) == best
    assert readouts(box) == at_best and kernel_errors(browser) == []


@one("CTC explorer")
def test_the_sound_goes_as_far_as_the_frame(widget):
    browser, box = widget
    player = box.find_element(By.CSS_SELECTOR, "audio")
    handle = box.find_element(By.CSS_SELECTOR, ".noUi-handle")
    seconds = lambda: browser.execute_script("return arguments[0].duration", player) or 0  # noqa: E731
    handle.send_keys(Keys.HOME)
    wait(browser, lambda: 0 < seconds() < 0.2, "the sound of one frame", 30)
    handle.send_keys(Keys.END)
    wait(browser, lambda: seconds() > 1, "the sound of all frames", 30)
    assert kernel_errors(browser) == []


@one("spectrogram explorer")
def test_a_window_shorter_than_the_hop_is_explained_and_taken_back(widget):
    browser, box = widget
    window = box.find_element(By.CSS_SELECTOR, ".noUi-handle")
    window.send_keys(Keys.HOME)  # 5 ms; the hop is longer
    message = lambda: [t for t in texts(box, ".widget-label") if "hop" in t and "(ms)" not in t]  # noqa: E731
    wait(browser, message, "a message", 30)
    (picture,) = box.find_elements(By.CSS_SELECTOR, PICTURE)
    before = content(browser, picture)
    box.find_elements(By.CSS_SELECTOR, ".noUi-handle")[1].send_keys(Keys.HOME)
    changed(browser, picture, before)
    assert message() == [] and kernel_errors(browser) == []


@one("recording desk")
def test_a_recording_from_the_microphone_and_a_file_given_to_the_desk(widget, tmp_path):
    browser, box = widget
    recorder = browser.find_element(By.CSS_SELECTOR, '[id^="recorder-"]')
    button = recorder.find_element(By.CSS_SELECTOR, "button")
    button.click()
    time.sleep(1.0)
    button.click()
    player = recorder.find_element(By.CSS_SELECTOR, "audio")
    wait(
        browser,
        lambda: browser.execute_script("return arguments[0].duration > 0.3", player),
        "a recording",
        30,
    )

    (choice,) = box.find_elements(By.CSS_SELECTOR, "select")
    first = browser.execute_script("return arguments[0].selectedIndex", choice)
    clip = next((ROOT / "data").rglob("digits-1.flac"))
    # a file dialogue is not the page's: the field that would open it is taken hold of instead
    browser.execute_script(
        "HTMLInputElement.prototype.click = function () { document.body.append(this); window.field = this; }"
    )
    box.find_element(By.CSS_SELECTOR, "button").click()
    browser.execute_script("return field").send_keys(str(clip))
    wait(browser, lambda: "digits" in box.text or ".wav" in box.text, "the desk's answer", 30)
    assert kernel_errors(browser) == []
    assert browser.execute_script("return arguments[0].selectedIndex", choice) == first + 1


def notebook_of_widgets():
    """One notebook with the lessons' own widget cells and what they need; see the top of this file."""
    v4 = nbformat.v4
    cells = [v4.new_markdown_cell("# The lessons' widgets"), v4.new_code_cell(RUN_IN)]
    for lesson in dict.fromkeys(WIDGETS.values()):
        read = nbformat.read(ROOT / "notebooks" / f"{lesson}.ipynb", as_version=4)
        code = [c for c in read.cells if c.cell_type == "code" and "colab" not in c.metadata.get("tags", [])]
        facts = [global_names(cell.source) for cell in code]
        shows = [n for n, cell in enumerate(code) if shows_widget(cell)]
        assert len(shows) == list(WIDGETS.values()).count(lesson), lesson
        needed = set().union(*(needed_for(n, facts) for n in shows))
        for n in sorted(needed):
            cells.append(v4.new_code_cell(f"run_in({lesson!r}, {code[n].source!r}, shown={n in shows})"))
    # which kernel it is, or JupyterLab would ask
    return v4.new_notebook(cells=cells, metadata=read.metadata)


def shows_widget(cell):
    """Whether a cell shows a widget other than a playground; these have tests of their own."""
    shown = [output.data for output in cell.outputs if WIDGET in output.get("data", {})]
    return any("Playground" not in data["text/plain"] for data in shown)


# a cell of the notebook of widgets: what is no widget's is not shown, to keep the page short
RUN_IN = """
import ast, contextlib, io
from IPython.display import display
from IPython.utils.capture import capture_output

namespaces = {}

def run_in(lesson, source, shown):
    names = namespaces.setdefault(lesson, {"__name__": "__main__"})
    *body, last = ast.parse(source).body
    with contextlib.nullcontext() if shown else capture_output():
        exec(compile(ast.Module(body, []), lesson, "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), lesson, "eval"), names)
            if shown:
                display(value)
        else:
            exec(compile(ast.Module([last], []), lesson, "exec"), names)
"""


def move(control):
    """Move a slider to an end where it is not, press another of some buttons, choose another entry."""
    kind = control.get_attribute("class")
    if "widget-slider" in kind:
        before = readouts(control)
        handle = control.find_element(By.CSS_SELECTOR, ".noUi-handle")
        handle.send_keys(Keys.END)
        if readouts(control) == before:
            handle.send_keys(Keys.HOME)
        assert readouts(control) != before
    elif "widget-dropdown" in kind:
        chosen = control.find_element(By.CSS_SELECTOR, "select")
        other = [
            option for option in chosen.find_elements(By.CSS_SELECTOR, "option") if not option.is_selected()
        ]
        other[0].click()
    else:
        control.find_element(By.CSS_SELECTOR, "button:not(.mod-active)").click()


def readouts(element):
    return texts(element, ".widget-readout")


def changed(browser, element, before):
    """What ``element`` shows once that is no longer ``before`` and the kernel is done."""
    differs = lambda: content(browser, element) not in ("", before)  # noqa: E731
    wait(browser, lambda: kernel_errors(browser) or differs(), "a change", 30)
    wait(browser, lambda: kernel_status(browser) == "idle", "the end of the callback", 30)
    return content(browser, element)


def width(browser, image):
    return browser.execute_script("return arguments[0].complete && arguments[0].naturalWidth", image)


def widths(browser, selector):
    """Of each image, in its own pixels; 0 for one that is broken or not yet there."""
    found = "return Array.from(document.querySelectorAll(arguments[0]), image => image.naturalWidth)"
    return browser.execute_script(found, selector)


def content(browser, element):
    """What an image or a player shows, as a data URL; ipywidgets gives it a new blob whenever it changes."""
    return browser.execute_async_script(
        """
        const [element, done] = arguments, reader = new FileReader();
        reader.onload = () => done(reader.result);
        fetch(element.src).then(response => response.blob())
            .then(blob => reader.readAsDataURL(blob), () => done(""));
        """,
        element,
    )


def test_no_button_says_success_of_an_unfinished_exercise(url, browser):
    """nbgrader's Validate does, and its menu is the instructors'."""
    browser.get(url(EXERCISE.name))
    toolbar = (By.CSS_SELECTOR, ".jp-NotebookPanel-toolbar")
    wait(browser, lambda: browser.find_elements(*toolbar), "the notebook's toolbar")
    wait(browser, lambda: kernel_status(browser) == "idle", "a kernel")
    assert texts(browser, ".jp-mod-current .lm-TabBar-tabLabel, .lm-TabBar-tab.lm-mod-current") != []
    text = browser.find_element(By.TAG_NAME, "body").text
    assert EXERCISE.name in text and "not done yet" not in text
    assert "Validate" not in text and "Nbgrader" not in text


def test_make_lab_opens_it_so_and_make_instruct_does_not():
    def recipe(goal):
        done = subprocess.run(
            ["make", "-n", "-o", ".venv/.ready", goal], cwd=ROOT, capture_output=True, text=True
        )
        return done.stdout

    assert f'JUPYTER_CONFIG_PATH="{STUDENT}' in recipe("lab")
    assert "jupyter lab" in recipe("instruct") and "JUPYTER_CONFIG_PATH" not in recipe("instruct")

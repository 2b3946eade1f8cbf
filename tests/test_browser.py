"""Lesson 00 in a real browser: JupyterLab serves it, every cell runs, its widget answers to the keyboard."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
pytest.importorskip("jupyterlab", reason="needs jupyterlab")

from selenium.common.exceptions import StaleElementReferenceException  # noqa: E402 (after the skip)
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CHROMEDRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync --window-size=1400,1000"
)
LESSON = Path(__file__).parent.parent / "notebooks" / "00_start_here.ipynb"
SLIDER, PICTURE, SOUND = ".widget-slider .noUi-handle", "img.widget-image", ".widget-vbox audio"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="needs chromium"),
    pytest.mark.skipif(not CHROMEDRIVER, reason="needs chromedriver"),
]


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """Where JupyterLab serves a copy of the lesson without its outputs, untouched by the user's settings."""
    folder = tmp_path_factory.mktemp("lab")
    notebook = nbformat.read(LESSON, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.update(outputs=[], execution_count=None)
    (folder / "notebooks").mkdir()
    nbformat.write(notebook, folder / "notebooks" / LESSON.name)

    own = ("JUPYTER", "IPYTHON", "MPL", "XDG_")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(own)}
    environment |= {"HOME": str(folder), "JUPYTER_RUNTIME_DIR": str(folder / "runtime")}
    environment["OMP_NUM_THREADS"] = "1"  # on busy cores, threads wait for each other longer than they work
    port, token = free_port(), secrets.token_hex()
    command = [sys.executable, "-m", "jupyterlab", "--allow-root", "--ServerApp.root_dir=."]
    command += [f"--LabApp.default_url=/lab/tree/notebooks/{LESSON.name}"]
    command += ["--LabApp.news_url=None", "--no-browser"]
    # exposed, so that the test can listen to what the kernel says
    command += [f"--port={port}", "--ServerApp.port_retries=0", "--expose-app-in-browser"]
    command += [f"--IdentityProvider.token={token}"]

    with open(folder / "lab.log", "wb") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        started = folder / "runtime" / f"jpserver-{server.pid}.json"
        deadline = time.monotonic() + 60
        while not started.exists():
            assert server.poll() is None and time.monotonic() < deadline, (folder / "lab.log").read_text()
            time.sleep(0.1)
        yield f"http://localhost:{port}/lab/tree/notebooks/{LESSON.name}?token={token}"
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in [*FLAGS.split(), f"--user-data-dir={folder / 'profile'}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "localhost")  # selenium would ask a proxy even for its own chromedriver
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(CHROMEDRIVER))
    yield driver
    driver.save_screenshot(str(folder / "last.png"))
    driver.quit()


@pytest.fixture(scope="module")
def after_run_all(url, browser):
    """The lesson in JupyterLab after Run > Run All Cells, or after the first error."""
    browser.get(url)
    header = (By.CSS_SELECTOR, ".jp-Notebook .jp-MarkdownCell")
    # menus act on what has the focus
    wait(browser, lambda: browser.find_elements(*header), "the lesson")[0].click()
    wait(browser, lambda: kernel_status(browser) == "idle", "a kernel")
    listen(browser)
    for entry in ("Run", "Run All Cells"):
        wait(browser, lambda entry=entry: menu_entry(browser, entry), f"the menu entry {entry}").click()
    numbered = lambda: all(map(str.isdigit, prompts(browser))) and kernel_status(browser) == "idle"  # noqa: E731
    wait(browser, lambda: kernel_errors(browser) or numbered(), "all cells")
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
    picture, sound = content(page, PICTURE), content(page, SOUND)
    slider.send_keys(getattr(Keys, key))
    wait(page, lambda: kernel_errors(page) or content(page, PICTURE) not in ("", picture), "a picture", 30)
    wait(page, lambda: kernel_errors(page) or content(page, SOUND) not in ("", sound), "a sound", 30)
    wait(page, lambda: kernel_status(page) == "idle", "the end of the callback", 30)
    assert kernel_errors(page) == []
    wait(page, lambda: any(widths(page, PICTURE)), "the picture to have a width", 30)


def test_console_has_no_errors(page):
    """What the browser could not fetch (a favicon, JupyterLab's news) is not the lesson's business."""
    log = page.get_log("browser")
    assert not [entry for entry in log if entry["level"] == "SEVERE" and entry["source"] != "network"]


def free_port():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def wait(browser, condition, what, seconds=100):
    patient = WebDriverWait(browser, seconds, 0.2, [StaleElementReferenceException])
    return patient.until(lambda _: condition(), f"waited {seconds} s for {what}")


def kernel_status(browser):
    """``idle``, ``busy``, ..., or None while the lesson has no kernel."""
    return browser.execute_script(
        "return window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status"
    )


def menu_entry(browser, label):
    """An entry of the menu bar or of the open menu, or None while it is not there."""
    entries = browser.find_elements(By.CSS_SELECTOR, ".lm-MenuBar-itemLabel, .lm-Menu-itemLabel")
    return next((entry for entry in entries if entry.text == label), None)


def texts(browser, selector):
    return [found.get_attribute("textContent") for found in browser.find_elements(By.CSS_SELECTOR, selector)]


def prompts(browser):
    """What stands in the brackets before each code cell that is not empty: its number, ``*``, or a blank."""
    return [text.strip("[]: ") for text in texts(browser, ".jp-CodeCell .jp-InputPrompt")]


def listen(browser):
    """Collect what fails in the kernel: a widget's callback runs outside of any cell, no cell shows it."""
    browser.execute_script("""
        window.kernelErrors = [];
        jupyterapp.shell.currentWidget.sessionContext.session.kernel.iopubMessage.connect((_, message) => {
            const {ename, evalue} = message.content;
            if (message.header.msg_type === "error") kernelErrors.push(`${ename}: ${evalue}`);
        });
    """)


def kernel_errors(browser):
    return browser.execute_script("return kernelErrors")


def widths(browser, selector):
    """Of each image, in its own pixels; 0 for one that is broken or not yet there."""
    found = "return Array.from(document.querySelectorAll(arguments[0]), image => image.naturalWidth)"
    return browser.execute_script(found, selector)


def content(browser, selector):
    """What an image or a player shows, as a data URL; ipywidgets gives it a new blob whenever it changes."""
    return browser.execute_async_script(
        """
        const [selector, done] = arguments, reader = new FileReader();
        reader.onload = () => done(reader.result);
        fetch(document.querySelector(selector).src)
            .then(response => response.blob()).then(blob => reader.readAsDataURL(blob), () => done(""));
        """,
        selector,
    )

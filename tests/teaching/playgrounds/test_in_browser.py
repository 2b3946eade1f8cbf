"""The playgrounds under mouse and keyboard: in pages without a kernel, and in JupyterLab."""

import json
from importlib import resources

import nbformat
import pytest
import torch

pytest.importorskip("selenium.webdriver", reason="needs selenium")

from browsers import (  # noqa: E402 (after the skip)
    chromium,
    jupyterlab,
    kernel_errors,
    kernel_status,
    needs_browser,
    run_all,
    served,
    wait,
)
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

import asrlib  # noqa: E402
from asrlib.losses.ctc import ctc_loss, ctc_posteriors  # noqa: E402
from asrlib.losses.rnnt import rnnt_posteriors  # noqa: E402
from asrlib.teaching import playgrounds  # noqa: E402

pytestmark = needs_browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("browser")) as driver:
        yield driver


@pytest.fixture(scope="module")
def clip():
    [clip] = [cut for cut in asrlib.clips() if cut.id == "audio/digits-3.flac"]
    return clip


@pytest.fixture(scope="module")
def options(clip):
    samples, rate = torch.from_numpy(clip.audio), clip.sampling_rate
    recognizer = asrlib.Recognizer.load("lessons-model")
    return {
        "ctc": playgrounds.ctc_options(target="ab"),
        "transducer": playgrounds.transducer_options(recognizer, samples, rate, clip.text, clip.words),
        "spectrogram": playgrounds.spectrogram_options(samples, rate),
    }


@pytest.fixture
def page(browser, options, tmp_path, request):
    """A file that is opened as it is: no kernel, no server."""
    file = tmp_path / "page.html"
    file.write_text(playgrounds.page(request.param, options[request.param]), encoding="utf-8")
    browser.get_log("browser")
    browser.get(file.as_uri())
    wait(
        browser, lambda: browser.find_elements(By.CSS_SELECTOR, ".asrlib-play[data-theme]"), "the playground"
    )
    yield browser
    browser.save_screenshot(str(tmp_path / "page.png"))
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def on(name):
    return pytest.mark.parametrize("page", [name], indirect=True)


def one(browser, selector):
    [found] = browser.find_elements(By.CSS_SELECTOR, selector)
    return found


def shown(browser):
    return browser.execute_script("return playground.value")


def text(browser, name):
    return one(browser, f'[data-name="{name}"]').text


def dragged(browser, element, x, y):
    """Press on an element, move by so many pixels in several steps, and release."""
    actions = ActionChains(browser, duration=30).click_and_hold(element)
    for _ in range(4):
        actions.move_by_offset(round(x / 4), round(y / 4))
    actions.release().perform()


def press(browser, *keys):
    for key in keys:
        ActionChains(browser).send_keys(key).perform()


def focused(browser):
    return browser.switch_to.active_element.get_attribute("aria-label")


def bar(browser, label, frame):
    return one(browser, f'[aria-label="y of {label} in frame {frame}"]')


def agrees_with_ctc(value):
    y = torch.tensor(value["y"], dtype=torch.float64)
    assert torch.allclose(y.sum(1), torch.ones(len(y), dtype=torch.float64))
    labels = torch.tensor(["∅abc".index(label) for label in value["target"]])
    loss = ctc_loss(y.log()[:, None], labels[None], [len(y)], [len(labels)], reduction="sum")
    assert value["loss"] == pytest.approx(loss.item(), abs=1e-6)
    return ctc_posteriors(y.log(), labels)


@on("ctc")
def test_a_bar_of_y_follows_the_mouse_and_all_else_follows_it(page):
    before, picture = shown(page), one(page, "svg").get_attribute("innerHTML")
    losses = text(page, "loss")
    dragged(page, bar(page, "a", 0), 0, -60)
    after = shown(page)
    assert after["y"][0][1] > before["y"][0][1] + 0.1 and after["y"][1:] == before["y"][1:]
    assert text(page, "loss") != losses and one(page, "svg").get_attribute("innerHTML") != picture
    agrees_with_ctc(after)
    assert float(bar(page, "a", 0).get_attribute("aria-valuenow")) == pytest.approx(
        after["y"][0][1], abs=1e-4
    )
    last = page.execute_script("return changes[changes.length - 1]")
    assert last == after  # what a kernel or a page is told


@on("ctc")
def test_nodes_show_gamma_and_what_comes_into_them(page):
    gamma = agrees_with_ctc(shown(page))
    node = one(page, '[aria-label^="frame 2, state 1 a"]')
    assert f"γ {float(gamma[2, 1]):.4g}"[:6] in node.get_attribute("aria-label")
    ActionChains(page).move_to_element(node).perform()
    assert "α(2, 1) = y(2, a) · (" in text(page, "arcs")
    assert len(page.find_elements(By.CSS_SELECTOR, '[data-into="true"]')) == 2  # no skip to the first label
    ActionChains(page).move_to_element(one(page, '[aria-label^="frame 2, state 3 b"]')).perform()
    assert len(page.find_elements(By.CSS_SELECTOR, '[data-into="true"]')) == 3


@on("ctc")
def test_ctc_is_played_with_the_keyboard_alone(page):
    target = one(page, 'input[aria-label="target"]')
    target.send_keys(Keys.BACKSPACE, "c")
    assert shown(page)["target"] == "ac"
    agrees_with_ctc(shown(page))
    for _ in range(20):
        press(page, Keys.TAB)
        if focused(page) == "y of ∅ in frame 0":
            break
    press(page, Keys.ARROW_RIGHT)
    assert focused(page) == "y of a in frame 0"
    before = shown(page)["y"][0][1]
    press(page, Keys.ARROW_UP, Keys.ARROW_UP)
    assert shown(page)["y"][0][1] == pytest.approx(before + 0.1, abs=1e-3)
    press(page, *[Keys.ARROW_RIGHT] * 4)
    assert focused(page) == "y of a in frame 1"
    press(page, Keys.TAB)
    assert focused(page).startswith("frame 0, state 0 ∅")
    press(page, Keys.ARROW_RIGHT, Keys.ARROW_DOWN)
    assert focused(page).startswith("frame 1, state 1 a") and "α(1, 1)" in text(page, "arcs")


@on("ctc")
def test_a_typed_path_collapses(page):
    path = one(page, 'input[aria-label="path"]')
    path.clear()
    path.send_keys("aa-b")
    assert text(page, "collapse") == "A path needs one symbol per frame: 6; here are 4."
    path.send_keys("-b")
    assert "a a ∅ b ∅ b → merge repeats → a ∅ b ∅ b → drop blanks → a b b" in text(page, "collapse")
    assert "not the target" in text(page, "collapse")
    path.send_keys(Keys.BACKSPACE, "-")
    # all are equally probable: (1/4)^6, and α sums so many paths of the same
    share = 4**-6 / torch.tensor(-shown(page)["loss"]).exp().item()
    assert f"{100 * share:.1f} % of P(target)" in text(page, "collapse")
    path.send_keys("x")
    assert "letters from a b c" in text(page, "collapse")


@on("ctc")
def test_descent_makes_spikes(page):
    before = shown(page)["loss"]
    one(page, ".asrlib-play").find_element(By.XPATH, ".//button[text()='one step']").click()
    assert shown(page)["loss"] < before and "after 1 step" in text(page, "loss")
    agrees_with_ctc(shown(page))
    page.find_element(By.XPATH, "//button[text()='descend']").click()
    wait(page, lambda: page.find_elements(By.XPATH, "//button[text()='descend']"), "the end of the descent")
    after = shown(page)
    assert after["loss"] < 0.1
    assert [max(range(4), key=row.__getitem__) for row in after["y"]].count(1) >= 1
    agrees_with_ctc(after)


@on("ctc")
def test_a_target_without_a_path_is_explained(page):
    one(page, 'input[aria-label="target"]').send_keys("bbb")
    assert (
        text(page, "loss") == "No path: this target needs 8 frames or more." and shown(page)["loss"] is None
    )
    for more, reason in (("x", "letters from a b c."), (Keys.BACKSPACE + "bb", "at most 6 letters.")):
        one(page, 'input[aria-label="target"]').send_keys(more)
        assert f"The target has {reason}" in one(page, ".asrlib-play").text
    assert shown(page)["target"] == "abbbbb"  # what a cell reads can always be computed with


@on("transducer")
def test_the_stair_follows_the_mouse(page, options):
    before, picture = shown(page), text(page, "path")
    riser = one(page, '[aria-label^="label 1, five"]')
    column = one(page, "svg").rect["width"] * (900 - 112) / 900 / 22
    dragged(page, riser, 5 * column, 0)
    after = shown(page)
    assert after["frames"] == [before["frames"][0] + 5, before["frames"][0] + 5, before["frames"][2]]
    assert after["log_path"] < before["log_path"] and after["log_total"] == before["log_total"]
    assert text(page, "path") != picture
    assert riser.get_attribute("aria-valuenow") == str(after["frames"][0])
    page.find_element(By.XPATH, "//button[text()='most probable path']").click()
    assert shown(page)["frames"] == before["frames"]
    assert shown(page)["log_path"] == pytest.approx(options["transducer"]["value"]["log_path"], abs=1e-5)


@on("transducer")
def test_noise_penalty_and_cursor_move_by_keyboard_and_the_numbers_are_asrlibs(page, options):
    noise, penalty = (one(page, f'input[aria-label="{name}"]') for name in ("noise", "blank penalty"))
    noise.send_keys(Keys.END)
    assert shown(page)["snr_db"] == -5 and noise.get_attribute("aria-valuetext") == "-5 dB SNR"
    noise.send_keys(Keys.ARROW_LEFT)
    penalty.send_keys(*[Keys.ARROW_RIGHT] * 3)
    value = shown(page)
    assert value["snr_db"] == 0 and value["blank_penalty"] == pytest.approx(0.3)
    recognizer = asrlib.Recognizer.load("lessons-model")
    play = playgrounds.transducer.TransducerPlayground(options["transducer"], recognizer)
    play.value = value
    logits, target = play.logits.double(), play.target
    gamma = rnnt_posteriors(logits[None], target[None], blank=0)[0]
    found = page.find_elements(By.CSS_SELECTOR, "svg > rect[stroke]")
    cells = torch.tensor([float(cell.get_attribute("fill-opacity")) for cell in found], dtype=torch.float64)
    torch.testing.assert_close(cells.view(gamma.shape), gamma, rtol=0, atol=1e-3)
    cursor = one(page, '[aria-label="heard up to frame"]')
    cursor.send_keys(Keys.HOME)
    assert shown(page)["cursor"] == 0 and "the stair wrote “”" in text(page, "heard")
    cursor.send_keys(Keys.PAGE_UP, Keys.ARROW_RIGHT)
    assert shown(page)["cursor"] == 6 and "the stair wrote “five five”" in text(page, "heard")


@on("transducer")
def test_searches_go_step_by_step(page):
    assert shown(page)["text"] == ""
    step = one(page, 'input[aria-label="step"]')
    step.send_keys(Keys.END)
    assert shown(page)["text"] == "five five six"
    choice = one(page, 'select[aria-label="search"]')
    choice.find_element(By.CSS_SELECTOR, '[value="beam"]').click()
    assert shown(page)["search"] == "beam" and shown(page)["step"] == 0
    width = one(page, 'input[aria-label="beam width"]')
    width.send_keys(Keys.END)
    page.find_element(By.XPATH, "//button[text()='next']").click()
    assert shown(page)["step"] == 1 and "after frame 1" in text(page, "search")
    page.find_element(By.XPATH, "//button[text()='to the end']").click()
    assert len(page.find_elements(By.CSS_SELECTOR, "tr")) == 8 == shown(page)["beam_width"]
    assert shown(page)["text"] == "five five six"
    assert page.find_element(By.XPATH, "//button[text()='next']").get_attribute("disabled")


@on("transducer")
def test_sound_is_played_to_the_end_and_the_cursor_follows(page):
    one(page, '[aria-label="heard up to frame"]').send_keys(Keys.HOME)
    page.find_element(By.XPATH, "//button[text()='play to the cursor']").click()
    page.find_element(By.XPATH, "//button[text()='play all']").click()
    wait(page, lambda: shown(page)["cursor"] == 21, "the end of the sound", 30)
    assert "the stair wrote “five five six”" in text(page, "heard")


@on("spectrogram")
def test_sliders_and_cursor_of_the_spectrogram_follow_the_mouse(page, clip):
    picture = "return document.querySelector('canvas').toDataURL()"
    before, drawn = shown(page), page.execute_script(picture)
    slider = one(page, 'input[aria-label="mels"]')
    dragged(page, slider, -40, 0)
    after = shown(page)
    assert after["mels"] < before["mels"] and page.execute_script(picture) != drawn
    assert f"× {after['mels']} mels" in text(page, "size")
    canvas = one(page, "canvas")
    dragged(page, canvas, 200, 50)
    moved = shown(page)
    assert moved["frame"] > after["frame"] and moved["bin"] < after["bin"]
    features = page.execute_script("return playground.features.map(row => Array.from(row))")
    names = ("window_ms", "hop_ms", "mels", "preemphasis")
    wanted = asrlib.log_mel(
        torch.from_numpy(clip.audio), clip.sampling_rate, **{name: moved[name] for name in names}
    )
    torch.testing.assert_close(torch.tensor(features), wanted, rtol=0, atol=0.01)
    assert f": {features[moved['frame']][moved['bin']]:.4f}" in text(page, "pointed")


@on("spectrogram")
def test_the_spectrogram_is_played_with_the_keyboard(page):
    one(page, 'input[aria-label="window"]').send_keys(Keys.HOME)
    assert (shown(page)["window_ms"], shown(page)["hop_ms"]) == (5, 5)
    assert "a longer hop would leave samples out" in text(page, "message")
    one(page, 'input[aria-label="hop"]').send_keys(Keys.END)
    assert (shown(page)["window_ms"], shown(page)["hop_ms"]) == (40, 40)
    one(page, 'input[aria-label="hop"]').send_keys(Keys.HOME)
    assert (shown(page)["window_ms"], shown(page)["hop_ms"]) == (40, 2) and text(page, "message") == ""
    canvas = one(page, "canvas")
    canvas.send_keys(Keys.HOME, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_UP)
    assert (shown(page)["frame"], shown(page)["bin"]) == (2, 41)
    canvas.send_keys(Keys.END)
    assert "mel bin 41" in canvas.get_attribute("aria-label")
    one(page, 'input[aria-label="mels"]').send_keys(Keys.HOME)
    size = page.execute_script("return [playground.features.length, playground.features[0].length]")
    assert size[1] == 4 and [shown(page)["frame"], shown(page)["bin"]] == [size[0] - 1, 3]
    page.find_element(By.XPATH, "//button[text()='as at first']").click()
    assert shown(page)["window_ms"] == 25


@on("spectrogram")
def test_a_file_and_a_recording_take_the_sounds_place(page, tmp_path):
    import soundfile

    samples = torch.sin(2 * torch.pi * 1000 * torch.arange(8000) / 16000).numpy() / 2
    soundfile.write(tmp_path / "tone.wav", samples, 16000, subtype="PCM_16")
    sound = lambda: page.execute_script("return playground.sound")  # noqa: E731
    field = one(page, 'input[type="file"]')
    field.send_keys(str(tmp_path / "tone.wav"))
    wait(page, lambda: "from 8000 samples" in text(page, "size"), "the file", 30)
    heard = playgrounds.floats.from_text(sound()["samples"])
    torch.testing.assert_close(heard, torch.from_numpy(samples), rtol=0, atol=1e-4)
    assert page.execute_script("return changes[changes.length - 1].rate") == 16000

    (tmp_path / "text.wav").write_text("this is no sound")
    field.send_keys(str(tmp_path / "text.wav"))
    wait(page, lambda: "cannot be read as sound" in text(page, "message"), "the message", 30)

    record = page.find_element(By.XPATH, "//button[text()='record']")
    record.click()
    wait(page, lambda: text(page, "message") == "recording", "the microphone", 30)
    page.execute_async_script("setTimeout(arguments[0], 700)")
    record.click()
    wait(page, lambda: "from 8000 samples" not in text(page, "size"), "the recording", 30)
    assert len(playgrounds.floats.from_text(sound()["samples"])) > 1000


@on("spectrogram")
def test_a_file_is_dropped(page, tmp_path):
    dropped = """
        const rate = 16000, bytes = new DataView(new ArrayBuffer(44 + 2 * 4000)), done = arguments[0];
        const write = (at, text) => [...text].forEach((c, i) => bytes.setUint8(at + i, c.charCodeAt(0)));
        write(0, "RIFF"); bytes.setUint32(4, 8036, true); write(8, "WAVEfmt "); bytes.setUint32(16, 16, true);
        bytes.setUint16(20, 1, true); bytes.setUint16(22, 1, true); bytes.setUint32(24, rate, true);
        bytes.setUint32(28, 2 * rate, true); bytes.setUint16(32, 2, true); bytes.setUint16(34, 16, true);
        write(36, "data"); bytes.setUint32(40, 8000, true);
        const carried = new DataTransfer();
        carried.items.add(new File([bytes.buffer], "silence.wav", {type: "audio/wav"}));
        document.querySelector("canvas").dispatchEvent(
            new DragEvent("drop", {bubbles: true, cancelable: true, dataTransfer: carried}));
        setTimeout(done, 0);
    """
    page.execute_async_script(dropped)
    wait(page, lambda: "from 4000 samples" in text(page, "size"), "the dropped file", 30)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_modules_are_imported_by_a_page_light_or_dark(browser, options, tmp_path, theme):
    """As in a site: served, and the named export imported with all that it imports."""
    folder = tmp_path / "site"
    folder.mkdir()
    for script in resources.files(playgrounds).iterdir():
        if script.name.endswith(".mjs"):
            (folder / script.name).write_text(script.read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "options.json").write_text(json.dumps(options["ctc"]))
    color = {"light": "#fff", "dark": "#111"}[theme]
    (folder / "index.html").write_text(
        f"""<!doctype html><meta charset="utf-8"><body style="background: {color}">
        <div id="here"></div><script type="module">
        import {{ mount }} from "./ctc.mjs";
        window.playground = mount(here, await (await fetch("options.json")).json());
        </script>"""
    )
    with served(folder) as address:
        browser.get(address)
        found = lambda: browser.find_elements(By.CSS_SELECTOR, f'.asrlib-play[data-theme="{theme}"]')  # noqa: E731
        wait(browser, found, "the playground", 30)
        dragged(browser, bar(browser, "b", 3), 0, -50)
        assert shown(browser)["y"][3][2] > 0.3
        browser.execute_script("playground.destroy()")
        assert found() == []


NOTEBOOK = [
    """
import torch, asrlib
from asrlib.teaching import playgrounds
[clip] = [cut for cut in asrlib.clips() if cut.id == "audio/digits-3.flac"]
sound = torch.from_numpy(clip.audio), clip.sampling_rate
""",
    "ctc = playgrounds.ctc_playground(target='ab')\nctc",
    "recognizer = asrlib.Recognizer.load('lessons-model')\n"
    "transducer = playgrounds.transducer_playground(recognizer, *sound, clip.text, clip.words)\ntransducer",
    "spectrogram = playgrounds.spectrogram_playground(*sound)\nspectrogram",
    """
import json
values = [play.value for play in (ctc, transducer, spectrogram)]
print(json.dumps([*values, spectrogram.settings, len(spectrogram.samples)]))
""",
]


def test_in_jupyterlab_what_is_dragged_comes_back_to_the_kernel(browser, tmp_path):
    pytest.importorskip("jupyterlab", reason="needs jupyterlab")
    pytest.importorskip("anywidget", reason="needs anywidget")
    cells = [nbformat.v4.new_code_cell(source.strip()) for source in NOTEBOOK]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    (tmp_path / "notebooks").mkdir()
    nbformat.write(
        nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_markdown_cell("# Playgrounds"), *cells], metadata=kernel
        ),
        tmp_path / "notebooks" / "play.ipynb",
    )
    with jupyterlab(tmp_path, "play.ipynb") as url:
        run_all(browser, url("play.ipynb"))
        assert kernel_errors(browser) == []
        found = lambda: browser.find_elements(By.CSS_SELECTOR, ".asrlib-play")  # noqa: E731
        wait(browser, lambda: len(found()) == 3, "three playgrounds", 60)
        first = wait(browser, lambda: printed(browser), "what the last cell prints", 30)

        in_view(browser, bar(browser, "a", 1))
        dragged(browser, bar(browser, "a", 1), 0, -50)
        press(browser, Keys.ARROW_RIGHT, Keys.ARROW_DOWN)  # JupyterLab has other uses for these keys
        assert focused(browser) == "y of b in frame 1"
        riser = one(browser, '[aria-label^="label 3, six"]')
        in_view(browser, riser)
        dragged(browser, riser, 120, 0)
        hop = one(browser, 'input[aria-label="hop"]')
        in_view(browser, hop)
        dragged(browser, hop, 30, 0)

        ctc, transducer, spectrogram, settings, count = again(browser)
        assert ctc["y"][1] != first[0]["y"][1] and ctc["y"][2:] == first[0]["y"][2:]
        agrees_with_ctc(ctc)
        assert transducer["frames"][:2] == first[1]["frames"][:2]
        assert transducer["frames"][2] > first[1]["frames"][2]
        assert transducer["log_path"] < first[1]["log_path"]
        assert spectrogram["hop_ms"] == settings["hop_ms"] > first[2]["hop_ms"] and count == first[4]
        assert kernel_errors(browser) == []
        browser.save_screenshot(str(tmp_path / "page.png"))


def in_view(browser, element):
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)


def printed(browser):
    outputs = browser.find_elements(By.CSS_SELECTOR, ".jp-OutputArea-output pre")
    return json.loads(outputs[-1].text) if outputs and outputs[-1].text.startswith("[") else None


def again(browser):
    """What the last cell prints after it was run once more."""
    before = printed(browser)
    editor = browser.find_elements(By.CSS_SELECTOR, ".jp-CodeCell .cm-content")[-1]
    in_view(browser, editor)
    editor.click()
    ActionChains(browser).key_down(Keys.CONTROL).send_keys(Keys.ENTER).key_up(Keys.CONTROL).perform()
    wait(browser, lambda: printed(browser) not in (None, before), "new values", 30)
    wait(browser, lambda: kernel_status(browser) == "idle", "the kernel", 30)
    return printed(browser)

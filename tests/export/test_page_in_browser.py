"""The page in chromium: its words are those that `Recognizer.transcribe` finds in the same samples."""

import shutil

import conformers
import numpy as np
import pytest
import soundfile
import streams
import tiny
import torch

pytest.importorskip("selenium.webdriver", reason="needs selenium")
pytest.importorskip("onnxscript", reason="needs onnxscript")

from browsers import needs_browser, wait  # noqa: E402 (after the skip)
from exports import decode_with, unlike  # noqa: E402
from webpages import DEVICE, UI, Page, chromium, microphone, say, served, written  # noqa: E402

from asrlib.data.audio import cut_audio  # noqa: E402
from asrlib.data.corpora import clips, load_corpora  # noqa: E402
from asrlib.models.build import build_model  # noqa: E402
from asrlib.recognizer import Recognizer  # noqa: E402
from asrlib.text.tokenizers import Tokenizer  # noqa: E402

pytestmark = needs_browser


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """The file that the microphone plays."""
    file = tmp_path_factory.mktemp("sound") / "microphone.wav"
    say(file, np.zeros(100), 16000)
    return file


@pytest.fixture(scope="module")
def browser(sound, tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("browser"), microphone=microphone(sound)) as driver:
        driver.set_script_timeout(60)
        yield driver


@pytest.fixture(scope="module")
def streaming_page(tmp_path_factory):
    """The page of the recognizer that writes digits while one speaks."""
    recognizer = Recognizer.load("digits-streaming-model")
    return recognizer, written(recognizer, tmp_path_factory.mktemp("pages") / "streaming")


def digits():
    return [
        (cut_audio(cut), cut.sampling_rate, cut.supervisions[0].text) for cut in clips() if "digits" in cut.id
    ]


def agrees(found, expected):
    """What a page found is a hypothesis: text, labels, times, probabilities and score."""
    assert found["text"] == expected.text
    assert [token["name"] for token in found["tokens"]] == expected.tokens
    assert [token["time"] for token in found["tokens"]] == pytest.approx(expected.times, abs=1e-6)
    assert [token["probability"] for token in found["tokens"]] == pytest.approx(
        expected.confidences, abs=5e-3
    )
    assert found["score"] == pytest.approx(expected.score, abs=1e-2)


def conformer():
    torch.manual_seed(5)
    config = conformers.config(tokenizer={"vocabulary": 4})
    tokenizer = Tokenizer("words", sorted(tiny.TONES))
    model = build_model(config, tokenizer.vocabulary)
    recognizer, linear = Recognizer(config, model, tokenizer), model.ctc_head.linear
    with torch.no_grad():  # let every label be the most probable somewhere
        samples = torch.from_numpy(tiny.tones("low high mid"))[None]
        features, _ = recognizer.front_end(samples, torch.tensor([samples.shape[1]]))
        linear.bias -= model.ctc_head(model.encoder(features)[0]).mean((0, 1))
        for weight in linear.parameters():
            weight.mul_(20)
    return recognizer


@pytest.mark.parametrize(
    "kind", ["transducer", "ensemble", "conformer", "streaming ctc", "streaming transducer"]
)
def test_every_kind_of_model_runs_in_the_page(browser, recognizer, kind, tmp_path):
    """Sounds of several rates, one of them shorter than an encoder frame."""
    sounds = [(tiny.tones(text, rate), rate) for text, rate in (("low high mid", 8000), ("mid low", 22050))]
    sounds.append((tiny.tones("low")[:250], 8000))
    if kind.startswith("streaming"):
        eager = streams.recognizer(decoding={"head": kind.split()[1]})
        sounds += [(samples, rate) for samples, rate, _ in digits()[:1]]
    elif kind == "conformer":
        eager = conformer()
    elif kind == "transducer":
        eager = recognizer
    else:
        eager = decode_with(recognizer, head="ctc", warps=[0.95, 1.0])
        eager.members["other"] = unlike(recognizer)
    with served(written(eager, tmp_path / "page")) as address:
        page, labels = Page(browser, address), 0
        for number, (samples, rate) in enumerate(sounds):
            file = tmp_path / f"{number}.wav"
            soundfile.write(file, samples, rate, subtype="FLOAT")
            found, expected = page.hear(file), eager.transcribe(samples, rate)
            agrees(found, expected)
            assert found["rate"] == rate
            labels += len(expected.tokens)
        assert labels > 4  # else both could agree on nothing


def test_words_are_those_of_transcribe_while_one_speaks_and_without_a_server(browser, sound, streaming_page):
    """The samples that the page heard, and keeps as a file, give the same words; nothing is fetched."""
    recognizer, folder = streaming_page
    with served(folder) as address:
        page = Page(browser, address)
    fetched = "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    assert all(name.startswith(address) for name in browser.execute_script(fetched))
    load = page.state("load")
    print(f"{load['megabytes']:.1f} MB loaded in {load['seconds']:.1f} s")
    assert 10 < load["megabytes"] < 30
    for samples, rate, _ in digits()[:2]:
        found = page.talk(say(sound, samples, rate))
        kept, at = page.kept()
        assert at == found["rate"] and len(kept) == round(found["seconds"] * at)
        assert 0.8 * np.abs(samples).max() < np.abs(kept).max() < 1.2 * np.abs(samples).max()
        agrees(found, recognizer.transcribe(kept, at))
        assert len(found["tokens"]) >= 2 and page.message() == ""
    errors = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert errors == []


def test_words_come_while_the_button_is_held(browser, sound, streaming_page):
    with served(streaming_page[1]) as address:
        page, (samples, rate, _) = Page(browser, address), digits()[1]
        browser.execute_script("""
            window.written = [];
            new MutationObserver(() => written.push([talk.textContent, words.textContent]))
                .observe(words, {childList: true, characterData: true, subtree: true});
        """)
        assert page.part("talk").get_attribute("aria-pressed") == "false"
        found = page.hold(say(sound, samples, rate))
        written_then = [text for state, text in browser.execute_script("return written") if state == "Stop"]
        assert found["text"].startswith(written_then[-1]) and len(set(written_then)) > 2
        assert page.part("words").get_attribute("aria-live") == "polite"
        # the picture has the colors of a spectrogram, and a line for each label
        colors = "const all = picture.getContext('2d').getImageData(0, 0, 900, 200).data;"
        assert browser.execute_script(f"{colors} return new Set(all).size") > 50


def test_a_silent_microphone_is_one_line(browser, sound, streaming_page):
    with served(streaming_page[1]) as address:
        page = Page(browser, address)
        found = page.talk(say(sound, np.zeros(4000), 16000))
        assert found["text"] == "" and "Only silence came: is the microphone muted" in page.message()


# getUserMedia answers late, and what it gave is kept to be looked at
LATE = """
    const media = navigator.mediaDevices, ask = media.getUserMedia.bind(media);
    window.given = [];
    media.getUserMedia = async (options) => {
        await new Promise((next) => setTimeout(next, 500));
        given.push(await ask(options));
        return given.at(-1);
    };
"""
OPEN = "return given.map((stream) => stream.getAudioTracks()[0].readyState)"


def test_the_microphone_closes_whatever_happens_while_it_opens(browser, sound, streaming_page):
    """A second press, a microphone taken away, and an error of the page each leave no track alive."""
    with served(streaming_page[1]) as address:
        page = Page(browser, address)
        say(sound, np.zeros(4000), 16000)
        browser.execute_script(LATE)
        browser.execute_script("talk.click(); talk.click()")
        wait(browser, lambda: browser.execute_script(OPEN) == ["ended"], "a closed microphone")
        wait(browser, lambda: page.part("talk").text == "Talk", "the button")
        page.part("talk").send_keys(" ")
        wait(browser, lambda: page.part("talk").text == "Stop", "listening")
        browser.execute_script("""
            const [track] = given.at(-1).getAudioTracks();
            track.stop();
            track.dispatchEvent(new Event("ended"));
        """)
        wait(browser, lambda: page.message() == "The microphone was disconnected.", "a line")
        browser.execute_script("""
            const create = AudioContext.prototype.createMediaStreamSource;
            window.mend = () => { AudioContext.prototype.createMediaStreamSource = create; };
            AudioContext.prototype.createMediaStreamSource = () => { throw new Error("no source"); };
            talk.click();
        """)
        wait(browser, lambda: "no source" in page.message(), "a line")
        browser.execute_script("mend()")
        assert browser.execute_script(OPEN) == ["ended"] * 3


@pytest.mark.parametrize(
    "flags, line",
    [
        ([f"{UI}=deny", DEVICE], "may not use the microphone: allow it for this page"),
        ([UI], "There is no microphone: connect one"),
    ],
)
def test_no_leave_and_no_microphone_are_one_line_each(streaming_page, tmp_path, flags, line):
    with chromium(tmp_path, microphone=flags) as driver, served(streaming_page[1]) as address:
        assert line in Page(driver, address).refused()


def test_a_file_that_is_no_sound_and_a_page_that_lacks_a_file(browser, streaming_page, tmp_path):
    (tmp_path / "text.wav").write_text("this is no sound")
    broken = tmp_path / "broken"
    shutil.copytree(streaming_page[1], broken)
    (broken / "model.onnx").unlink()
    with served(streaming_page[1]) as address:
        page = Page(browser, address)
        page.part("file").send_keys(str(tmp_path / "text.wav"))
        wait(browser, lambda: "text.wav cannot be read as sound" in page.message(), "a line")
        assert page.part("talk").is_enabled()
    with served(broken) as address:
        assert (
            "cannot start: model.onnx is missing (404): export the page again"
            in Page(browser, address).message()
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits-streaming-model", "digits-model"])
def test_fifty_utterances_of_digits(browser, sound, tmp_path, name):
    """All that the page writes is what `transcribe` finds in the samples that it heard."""
    recognizer = Recognizer.load(name)
    cuts = [*load_corpora(["digits"], "test")][:50]
    same, right, spoken, computing = 0, 0, 0.0, 0.0
    with served(written(recognizer, tmp_path / "page")) as address:
        page = Page(browser, address)
        for cut in cuts:
            found = page.talk(say(sound, cut_audio(cut), cut.sampling_rate))
            expected = recognizer.transcribe(*page.kept())
            same += found["text"] == expected.text
            right += found["text"] == cut.supervisions[0].text
            spoken += found["seconds"]
            computing += found["computing"] / 1000
        load = page.state("load")
    print(
        f"{name}: words of transcribe in {same} of {len(cuts)}, spoken words in {right};"
        f" real-time factor {computing / spoken:.3f};"
        f" {load['megabytes']:.1f} MB loaded in {load['seconds']:.1f} s"
    )
    assert same == len(cuts) == 50 and right > 10

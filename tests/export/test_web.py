"""The folder of a page: what is in it, what it leaves out, and what it refuses."""

import json
import random
import re

import numpy as np
import pytest
import streams
import tiny
import torch
from exports import decode_with, speech, unchecked

pytest.importorskip("onnxscript", reason="needs onnxscript")

from asrlib.errors import InputError  # noqa: E402 (after the skip)
from asrlib.export import ort_web, web  # noqa: E402
from asrlib.export.graph import LogMels  # noqa: E402
from asrlib.export.runner import Runner  # noqa: E402
from asrlib.signal.features import FrontEnd  # noqa: E402
from asrlib.text.tokenizers import Tokenizer, train_tokenizer  # noqa: E402

TEXTS = ["the cat sat on the mat", "a dog and a cat", "don't sit there", "the dog sat"]


def no_runtime(folder, fetch):
    return dict.fromkeys(ort_web.FILES, b"a runtime")


@pytest.fixture(autouse=True)
def runtime(monkeypatch):
    """What a browser would run is not looked at here."""
    monkeypatch.setattr(web, "runtime_files", no_runtime)


def exported(recognizer, folder, **options):
    return unchecked(web.export_page, recognizer, folder, **options)


@pytest.fixture(scope="module")
def page(recognizer, tmp_path_factory):
    """The folder of a page, and the contents of its graph."""
    folder = tmp_path_factory.mktemp("page") / "web"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(web, "runtime_files", no_runtime)
        return folder, exported(recognizer, folder, int8=True)


def test_the_graph_is_that_of_the_exported_file(page):
    folder, contents = page
    assert (folder / "model.onnx").read_bytes() == contents["int8"] != contents["float32"]
    about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    runner = Runner.load(folder / "model.onnx")
    assert {key: about[key] for key in runner.about if key != "tokenizer"} == {
        key: value for key, value in runner.about.items() if key != "tokenizer"
    }
    assert about["notes"] == [] and about["states"] == [] and not about["stream"]


def test_the_page_has_all_files_that_it_names_and_asks_nobody_else(page):
    folder, _ = page
    files = {file.name: file.read_text(errors="replace") for file in folder.iterdir()}
    named = set()
    for name, text in files.items():
        if name.endswith((".mjs", ".html")) and name not in ort_web.FILES:
            named |= set(re.findall(r'"(?:\./)?([\w.-]+\.(?:mjs|css|onnx|json|txt))"', text))
            addresses = {found.rstrip(".") for found in re.findall(r"https?://[\w.:-]+", text)}
            assert addresses <= {"http://localhost:8000", "http://localhost"}, name
    assert named <= set(files) and {"main.mjs", "capture.mjs", "ort.wasm.min.mjs", "features.onnx"} <= named
    assert "Microsoft" in files["LICENSES.txt"] and set(ort_web.FILES) <= set(files)


def test_a_causal_model_streams_with_its_states(tmp_path):
    recognizer = streams.recognizer(decoding={"head": "transducer"})
    exported(recognizer, tmp_path / "web")
    about = json.loads((tmp_path / "web" / "model.json").read_text(encoding="utf-8"))
    start = Runner.load(tmp_path / "web" / "model.onnx").start
    assert about["stream"] and [state["name"] for state in about["states"]] == list(start)
    for state in about["states"]:
        assert (state["dims"], state["type"]) == (
            [*start[state["name"]].shape],
            str(start[state["name"]].dtype),
        )


def test_what_the_page_leaves_out_is_a_warning_and_stands_on_it(recognizer, tmp_path):
    with pytest.warns(UserWarning, match="decoding.beam_width is 4; an exported file uses greedy search"):
        exported(decode_with(recognizer, beam_width=4), tmp_path / "web")
    (note,) = json.loads((tmp_path / "web" / "model.json").read_text(encoding="utf-8"))["notes"]
    assert "beam_width is 4" in note


def test_the_picture_shows_the_features_of_the_front_end(recognizer):
    """Chunk by chunk, each continuing where the windows of the last one ended."""
    config = vars(recognizer.config.features) | {"normalize": "none"}
    front_end, signal = FrontEnd(**config), speech(1.0)
    expected = front_end(signal[None], torch.tensor([len(signal)]))[0][0]
    log_mels, buffer, found = LogMels(front_end), torch.zeros(1), []
    for chunk in signal.split(1111):
        buffer = torch.cat([buffer, chunk])
        if len(buffer) > front_end.window:
            found.append(log_mels(buffer))
            buffer = buffer[len(found[-1]) * front_end.hop :]
    torch.testing.assert_close(torch.cat(found), expected, atol=2e-4, rtol=1e-4)


def test_the_graph_of_the_picture(page, recognizer):
    content = (page[0] / "features.onnx").read_bytes()
    run = pytest.importorskip("onnxruntime").InferenceSession(content).run
    for count in (201, 1000, 2345):
        signal = speech(count / tiny.RATE)
        expected = LogMels(recognizer.front_end)(signal).numpy()
        np.testing.assert_allclose(run(None, {"signal": signal.numpy()})[0], expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["characters", "words", "phones", "wordpieces"])
def test_labels_have_texts_of_their_own(kind):
    tokenizer, draw = train_tokenizer(kind, TEXTS, vocabulary=24), random.Random(3)
    writing = web.writing_of(tokenizer)
    for count in range(40):
        numbers, text = [draw.randrange(1, tokenizer.vocabulary) for _ in range(count % 9)], ""
        for number in numbers:
            text += writing["later" if text else "first"][number]
        assert (text.strip() if writing["trim"] else text) == tokenizer.decode(numbers)


def test_a_tokenizer_whose_labels_are_no_texts():
    class Reversed(Tokenizer):
        def decode(self, numbers):
            return super().decode(numbers)[::-1]

    with pytest.raises(InputError, match=r"cannot write the text of this tokenizer \(words\)"):
        web.writing_of(Reversed("words", ["one", "two", "three"]))


def test_other_folders_are_left_alone(recognizer, page, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "index.html").write_text("my own page")
    with pytest.raises(InputError, match="has other files in it"):
        exported(recognizer, tmp_path / "mine")
    with pytest.raises(InputError, match="is a file"):
        exported(recognizer, tmp_path / "mine" / "index.html")
    with pytest.raises(InputError, match="there is no folder"):
        exported(recognizer, tmp_path / "nowhere" / "web")
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["index.html"]
    web.check_folder(page[0])
    (tmp_path / "mine" / "model.json").write_text("{}")  # another program's
    with pytest.raises(InputError, match="has other files in it"):
        web.check_folder(tmp_path / "mine")
    (tmp_path / "killed" / "draft.partial").mkdir(parents=True)
    web.check_folder(tmp_path / "killed")


def test_a_failed_export_keeps_the_old_page(recognizer, tmp_path, monkeypatch):
    folder = tmp_path / "web"
    folder.mkdir()
    (folder / "model.json").write_text('the old page, "writing"')

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(web, "_features", full)
    with pytest.raises(OSError, match="No space left"):
        exported(recognizer, folder)
    assert [file.name for file in folder.iterdir()] == ["model.json"]
    assert (folder / "model.json").read_text() == 'the old page, "writing"'


def test_the_command(asrlib, fails, tiny_model, page, tmp_path):
    code, out, err = unchecked(asrlib, "export", tiny_model, "--format", "web", "--output", tmp_path / "web")
    assert (code, err) == (0, "")
    assert "onnx float32" in out and "9/9" in out
    assert f"talk to it: python -m http.server -d {tmp_path / 'web'}" in out
    fails("export", tiny_model, "--format", "page", naming=["'page'", "onnx, tflite, web"])
    fails(
        "export",
        tiny_model,
        "--format",
        "web",
        "--stream",
        "--output",
        tmp_path / "s",
        naming=["cannot stream"],
    )
    fails("export", tiny_model, "--format", "web", "--output", __file__, naming=["is a file"])
    assert not (tmp_path / "s").exists()

"""Before the first step: weights to start from, tokenizers, data that cannot be used."""

import json
import shutil

import pytest
import safetensors.torch
import tiny
import torch
import yaml
from runs import PLAIN, run, settings

from asrlib.config.parse import parse_config
from asrlib.data.corpora import load_corpus
from asrlib.errors import InputError
from asrlib.evaluate import evaluate
from asrlib.recognizer import Recognizer
from asrlib.text.tokenizers import train_tokenizer


def test_start_from_a_model(tiny_model, tiny_corpus, tmp_path):
    """A vanishing learning rate keeps what was taken over: the model is as good as the one it came from."""
    cuts = load_corpus(tiny_corpus, "train").subset(first=6)
    config = settings(PLAIN, max_steps=1, max_lr=1e-9, average=0.0)
    recognizer = run(config, cuts, tmp_path / "out", init=tiny_model)
    assert evaluate(recognizer, load_corpus(tiny_corpus, "test")).words.rate == 0


def test_start_from_a_model_of_another_vocabulary(tiny_model, cuts, tmp_path):
    """What does not fit, here the layers that know labels, starts anew."""
    content = tiny.settings(max_steps=1, max_lr=1e-9, average=0.0)
    content["tokenizer"] = {"kind": "characters"}
    recognizer = run(parse_config(yaml.safe_dump(content), "c.yml"), cuts, tmp_path / "out", init=tiny_model)
    assert recognizer.tokenizer.kind == "characters"
    old = safetensors.torch.load_file(tiny_model / "model.safetensors")
    new = recognizer.model.state_dict()
    assert torch.allclose(new["joint.encoder_linear.weight"], old["joint.encoder_linear.weight"], atol=1e-6)
    assert new["joint.output.weight"].shape != old["joint.output.weight"].shape


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda f: (f / "model.safetensors").unlink(), "model.safetensors is missing"),
        (lambda f: (f / "model.safetensors").write_bytes(b"x" * 100), "model.safetensors is damaged"),
        (lambda f: (f / "tokenizer.json").write_text("{"), "tokenizer.json is not valid JSON"),
        (
            lambda f: safetensors.torch.save_file({"x": torch.zeros(1)}, f / "model.safetensors"),
            "model.safetensors has no encoder weights",
        ),
    ],
)
def test_a_model_to_start_from_that_is_not_whole(tiny_model, cuts, tmp_path, damage, message):
    shutil.copytree(tiny_model, tmp_path / "init")
    damage(tmp_path / "init")
    with pytest.raises(InputError, match=message):
        run(settings(max_steps=1), cuts, tmp_path / "out", init=tmp_path / "init")
    assert not (tmp_path / "out").exists()


# ---- tokenizers ------------------------------------------------------------------------------------------


def with_tokenizer(**tokenizer):
    content = tiny.settings(max_steps=1) | {"tokenizer": tokenizer}
    return parse_config(yaml.safe_dump(content), "tiny.yml")


def test_a_tokenizer_may_come_from_a_file(cuts, tmp_path):
    (tmp_path / "words.txt").write_text("mid\nhigh\nlow\nvery\n")
    config = with_tokenizer(kind="words", file=str(tmp_path / "words.txt"), vocabulary=5)
    recognizer = run(config, cuts, tmp_path / "out")
    (tmp_path / "words.txt").unlink()  # it is in the model directory from now on
    assert Recognizer.load(tmp_path / "out").tokenizer.labels == ["mid", "high", "low", "very"]
    assert recognizer.model.joint.output.out_features == 5


def test_word_pieces_are_trained_on_the_corpus(cuts, tmp_path):
    config = with_tokenizer(
        kind="wordpieces", vocabulary=16, model_type="bpe", max_piece_length=3, reserved=["<noise>"]
    )
    tokenizer = run(config, cuts, tmp_path / "out").tokenizer
    assert (tokenizer.labels[:2], tokenizer.vocabulary) == (["<unk>", "<noise>"], 16)
    assert max(len(label) for label in tokenizer.labels[2:]) <= 3


def test_a_vocabulary_that_disagrees_with_the_tokenizer_is_named(cuts, tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("mid\nhigh\nlow\n")
    message = "key tokenizer.vocabulary is 7, but the tokenizer has 4 labels including blank"
    with pytest.raises(InputError, match=f"^{path}: {message}$"):
        run(with_tokenizer(kind="words", file=str(path), vocabulary=7), cuts, tmp_path / "out")
    train_tokenizer("wordpieces", ["a bad cab", "a cab", "bad"], 8).save(tmp_path)
    message = "key tokenizer.vocabulary is 9, but the tokenizer has 8 labels including blank"
    with pytest.raises(InputError, match=f"^tokenizer of {tmp_path}: {message}$"):
        run(with_tokenizer(kind="wordpieces", vocabulary=9), cuts, tmp_path / "out", init=tmp_path)
    assert not (tmp_path / "out").exists()


# ---- bad data --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["low loud", "..."])
def test_a_transcript_that_cannot_be_used_is_found_before_anything_is_written(
    tiny_model, tiny_corpus, tmp_path, text
):
    cuts = load_corpus(tiny_corpus, "train").subset(first=4).to_eager()
    cuts[2].supervisions[0].text = text
    with pytest.raises(InputError, match=f"utterance {cuts[2].id}: "):
        run(settings(max_steps=1), cuts, tmp_path / "out", init=tiny_model)
    assert not (tmp_path / "out").exists()


def test_dev_transcripts_without_words_are_found_before_anything_is_written(cuts, tiny_corpus, tmp_path):
    dev = load_corpus(tiny_corpus, "dev").to_eager()
    for cut in dev:
        cut.supervisions[0].text = "?"
    with pytest.raises(InputError, match=r"the transcripts, such as '\?', have no words to score against"):
        run(settings(max_steps=1), cuts, tmp_path / "out", dev)
    assert not (tmp_path / "out").exists()


def test_a_dev_word_that_was_never_trained_is_only_an_error_of_the_model(cuts, tiny_corpus, tmp_path):
    dev = load_corpus(tiny_corpus, "dev").to_eager()
    dev[1].supervisions[0].text = "unheard of"
    run(settings(max_steps=1), cuts, tmp_path / "out", dev)
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["dev_wer"] > 0

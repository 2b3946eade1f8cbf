"""Training on chunks of long recordings: warm-up, resuming in its middle, dev in chunks, refusals."""

import json
import math

import pytest
import tiny
import yaml
from recordings import write_recordings
from runs import PLAIN, last_checkpoint, run, settings, weights

from asrlib.config.parse import override, parse_config
from asrlib.data.chunks import chunks
from asrlib.data.corpora import load_corpus
from asrlib.data.shar import write_shar
from asrlib.errors import InputError
from asrlib.evaluate import evaluate
from asrlib.training import loop

WARMUP = dict(chunk_seconds=4.0, chunk_warmup_seconds=1.0, chunk_double_every=2, batch_seconds=4.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_recordings(tmp_path_factory.mktemp("long") / "corpus")


@pytest.fixture(scope="module")
def cuts(folder):
    return load_corpus(folder, "train")


@pytest.fixture(scope="module")
def dev(folder):
    return load_corpus(folder, "dev")


def test_a_run_resumes_in_the_middle_of_the_warm_up_to_the_bit(cuts, dev, tmp_path, monkeypatch):
    keys = WARMUP | {"average": 0.9, "checkpoint_every": 1, "evaluate_every": 4}
    shapes = []
    original = loop.collate

    def collate(*arguments, **named):
        batch = original(*arguments, **named)
        shapes.append(batch.waveforms.shape)
        return batch

    monkeypatch.setattr(loop, "collate", collate)
    config = settings(max_steps=14, schedule="inverse_sqrt", **keys)
    run(config, cuts, tmp_path / "whole", dev)
    uninterrupted = list(shapes)
    assert uninterrupted[0][0] == 4 and uninterrupted[-1][0] == 1  # 4 chunks of 1 s, then 1 of 4 s
    assert len({rows for rows, _ in uninterrupted}) >= 3
    shapes.clear()
    for steps in (3, 8, 14):  # inside each stage of the warm-up
        part = override(config, [f"training.max_steps={steps}"])
        run(part, cuts, tmp_path / "parts", dev, resume=True)
    assert shapes == uninterrupted
    assert weights(tmp_path / "parts") == weights(tmp_path / "whole")
    for name in ("model", "average"):
        one, other = (last_checkpoint(tmp_path / out) / f"{name}.safetensors" for out in ("parts", "whole"))
        assert one.read_bytes() == other.read_bytes()


def test_chunks_are_learnt_and_dev_recordings_are_scored_in_chunks(cuts, dev, tmp_path):
    keys = dict(max_steps=120, warmup_steps=10, max_lr=0.02, evaluate_every=120, ctc_weight=1.0)
    content = tiny.settings(**keys, chunk_seconds=2.0, chunk_warmup_seconds=1.0, chunk_double_every=4)
    content |= {"augment": PLAIN, "prediction": None, "joint": None}
    recognizer = run(parse_config(yaml.safe_dump(content), "ctc.yml"), cuts, tmp_path, dev)
    history = json.loads((tmp_path / "metrics.json").read_text())["history"]
    found = evaluate(recognizer, chunks(dev, 2.0))
    assert history[-1]["dev_wer"] == found.words.rate < 20
    assert len(found.rows) == math.ceil(dev[0].duration / 2)


def test_epochs_are_counted_although_they_differ(cuts, tmp_path):
    run(settings(epochs=3, max_steps=None, **WARMUP), cuts, tmp_path)
    progress = json.loads((last_checkpoint(tmp_path) / "progress.json").read_text())
    assert progress["epoch"] == 2 and progress["step"] > progress["batch"] > 0


def test_what_cannot_be_cut_is_refused(cuts, folder, tmp_path):
    write_shar(cuts, tmp_path / "shards", 2)
    shards = load_corpus(tmp_path / "shards")
    with pytest.raises(InputError, match="shards cannot be cut"):
        run(settings(chunk_seconds=2.0), shards, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "keys, message",
    [
        ({"chunk_warmup_seconds": 1.0}, "chunk_warmup_seconds needs training.chunk_seconds"),
        (
            {"chunk_seconds": 1.0, "chunk_warmup_seconds": 2.0},
            "must not be above training.chunk_seconds, 1.0",
        ),
        ({"chunk_seconds": 1.0, "batch_utterances": 4}, "set training.batch_seconds"),
        ({"chunk_seconds": 0.0}, "chunk_seconds is 0.0; it must be positive"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(keys, message):
    with pytest.raises(InputError, match=message):
        settings(**keys)

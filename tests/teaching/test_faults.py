"""asrlib.teaching.faults: what lesson 10 breaks on purpose."""

import json
import warnings

import pytest
import tiny

from asrlib.data.corpora import load_corpus
from asrlib.models.transducer import Transducer
from asrlib.teaching import faults
from asrlib.training import loop


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.write_corpus(tmp_path_factory.mktemp("faults") / "tones")


def test_losses_are_nan_in_the_steps_named_and_training_skips_them(folder, tmp_path):
    forward = Transducer.forward
    with faults.nan_losses({2}), warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        train = load_corpus(folder, "train")
        recognizer = loop.train(tiny.config(max_steps=4), train, tmp_path / "run", show_progress=False)
    assert [str(w.message).split(":")[0] for w in seen if "skipped" in str(w.message)] == ["step 2"]
    assert all(bool(v.isfinite().all()) for v in recognizer.model.state_dict().values())
    assert Transducer.forward is forward


def test_dictated_rates_decide_which_weights_are_kept(folder, tmp_path):
    config = tiny.config(max_steps=6, evaluate_every=2)
    train, dev = (load_corpus(folder, split) for split in ("train", "dev"))
    with faults.dictated_dev_wer([50.0, 20.0, 30.0]):
        loop.train(config, train, tmp_path / "run", dev, show_progress=False)
    kept = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert (kept["step"], kept["dev_wer"]) == (4, 20.0)

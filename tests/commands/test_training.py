"""``asrlib train`` and ``asrlib lm``, and the one line about whatever is wrong."""

import os
import shutil
import subprocess
import sys

import pytest
import tiny
import yaml
from commandline import QUICK, one_line, program

from asrlib.recognizer import Recognizer


def test_train_test_transcribe(asrlib, config, tiny_corpus, tmp_path):
    out, table = tmp_path / "out", tmp_path / "results.tsv"
    code, printed, err = asrlib("train", config, "--corpus", tiny_corpus, "--out", out, *QUICK)
    assert (code, err) == (0, "") and printed.splitlines()[-1].startswith(f"model directory: {out} (7,")
    assert {"config.yml", "model.safetensors", "tokenizer.json", "metrics.json"} <= {
        p.name for p in out.iterdir()
    }

    code, printed, err = asrlib("test", out, "--corpus", tiny_corpus, "--output", table)
    assert (code, err) == (0, "")
    assert "WER " in printed and f"12 utterances in {table}" in printed
    assert len(table.read_text().splitlines()) == 13


def test_a_corpus_without_dev_trains_and_keeps_the_last_weights(asrlib, config, corpus, tmp_path):
    lines = [line for line in (corpus / "manifest.tsv").read_text().splitlines() if not line.endswith("dev")]
    (corpus / "manifest.tsv").write_text("\n".join(lines) + "\n")
    assert asrlib("train", config, "--corpus", corpus, "--out", tmp_path / "out")[0] == 0
    assert "dev_wer" not in (tmp_path / "out" / "metrics.json").read_text()


@pytest.mark.parametrize("kind, label", [("words", "word 'eleven'"), ("characters", "character 'e'")])
def test_what_the_tokenizer_does_not_know(fails, asrlib, config, corpus, tmp_path, kind, label):
    keys = [*QUICK, "--set", f"tokenizer.kind={kind}"]
    assert asrlib("train", config, "--corpus", corpus, "--out", tmp_path / "first", *keys)[0] == 0
    lines = (corpus / "manifest.tsv").read_text().splitlines()
    path, speaker, seconds, _, split = lines[1].split("\t")
    lines[1] = "\t".join([path, speaker, seconds, "low eleven", split])
    (corpus / "manifest.tsv").write_text("\n".join(lines) + "\n")
    words = ["--corpus", corpus, "--out", tmp_path / "out", "--init", tmp_path / "first"]
    fails("train", config, *words, *keys, naming=["utterance train-0", label, "'low eleven'"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "section, key, value",
    [
        ("training", "max_lr", "fast"),
        ("training", "max_steps", 1.5),
        ("training", "precision", "fp8"),
        ("features", "mels", "forty"),
        ("augment", "speed", [2.0]),
        ("encoder", "blocks", "many"),
    ],
)
def test_a_key_of_the_wrong_type(fails, config, corpus, tmp_path, section, key, value):
    content = tiny.settings()
    content[section] = content[section] | {key: value}
    config.write_text(yaml.safe_dump(content))
    words = ["--corpus", corpus, "--out", tmp_path / "out"]
    fails("train", config, *words, naming=[config, f"{section}.{key}", str(value)])
    assert not (tmp_path / "out").exists()


def test_text_that_is_no_yaml(fails, config, corpus, tmp_path):
    config.write_text("training: {max_lr: 1\nfeatures: [")
    fails("train", config, "--corpus", corpus, "--out", tmp_path / "out", naming=[config, "line 2"])


@pytest.mark.parametrize(
    "assignment",
    ["training.max_lr", "training.warmth=1", "training.max_lr=fast", "nosuch.key=1", "training.max_lr=["],
)
def test_a_bad_override(fails, config, corpus, tmp_path, assignment):
    words = ["--corpus", corpus, "--out", tmp_path / "out", "--set", assignment]
    fails("train", config, *words, naming=["--set", assignment.partition("=")[0]])


def test_a_used_directory_and_a_changed_configuration(fails, asrlib, config, corpus, tmp_path):
    words = ["train", config, "--corpus", corpus, "--out", tmp_path / "out"]
    assert asrlib(*words)[0] == 0
    fails(*words, naming=[tmp_path / "out", "--resume"])
    fails(*words, "--resume", "--set", "training.max_lr=0.5", naming=["training.max_lr", "0.5", "0.01"])
    assert asrlib(*words, "--resume")[0] == 0


def test_a_folder_that_cannot_be_made(fails, config, corpus, tmp_path):
    (tmp_path / "file").write_text("")
    fails("train", config, "--corpus", corpus, "--out", tmp_path / "file" / "out", naming=[tmp_path / "file"])


def test_files_that_may_not_grow_while_training(asrlib, config, corpus, tmp_path):
    """The optimiser's state is larger than the weights: it is what no longer fits."""
    words = ["train", config, "--corpus", corpus, "--out", tmp_path / "out"]
    words += ["--set", "training.schedule=inverse_sqrt"]  # which any length of a run has in common
    more = ["--resume", "--set", "training.max_steps=4"]
    assert asrlib(*words)[0] == 0
    limit = 2 * (tmp_path / "out" / "model.safetensors").stat().st_size
    no_more = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))"
    done = program(*words, *more, before=no_more)
    one_line(done.returncode, done.stderr, [tmp_path / "out" / "checkpoints", "disk full", "--resume"])
    assert [path.name for path in (tmp_path / "out" / "checkpoints").iterdir()] == ["step-00000002"]
    assert Recognizer.load(tmp_path / "out")
    assert asrlib(*words, *more)[0] == 0


def test_a_full_disk_while_training(config, corpus, tmp_path):
    """A disk of 256 kB, which only the program sees: room for one checkpoint, not for two."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=256k tmpfs '{disk}'"
    alone = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    if not shutil.which("unshare") or subprocess.run([*alone, mount], capture_output=True).returncode:
        pytest.skip("needs to mount a small disk")
    words = [sys.executable, "-m", "asrlib.cli", "train", config, "--corpus", corpus, "--out", disk / "out"]
    words += ["--set", "training.checkpoint_every=1", "--set", "training.max_steps=9"]
    command = " ".join(f"'{word}'" for word in words)
    done = subprocess.run(
        [*alone, f"{mount} && {command}; echo code $?; ls '{disk}/out/checkpoints'"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    lines = done.stdout.splitlines()
    one_line(int(lines[-2].removeprefix("code ")), done.stderr, [disk, "disk"])
    assert lines[-1].startswith("step-0000000") and not lines[-1].endswith("partial")

"""``asrlib test``, and the one line about whatever is wrong."""

import os
import shutil

import pytest
import soundfile
import tiny
from commandline import edit


def test_test_prints_rates_and_writes_a_row_per_utterance(asrlib, model, corpus, tmp_path):
    manifest = corpus / "manifest.tsv"
    lines = manifest.read_text().splitlines()
    soundfile.write(corpus / "test-0.wav", tiny.tones("low mid high"), tiny.RATE)
    soundfile.write(corpus / "test-1.wav", tiny.tones("low mid"), tiny.RATE)
    texts = {"test-0.wav": "Low, high high!", "test-1.wav": "low"}  # one substitution; one insertion
    for number, line in enumerate(lines):
        fields = line.split("\t")
        lines[number] = "\t".join([*fields[:3], texts.get(fields[0], fields[3]), fields[4]])
    manifest.write_text("\n".join(lines) + "\n")
    code, printed, err = asrlib("test", model, "--corpus", corpus, "--output", tmp_path / "r.tsv")
    assert (code, err) == (0, "")
    assert "WER 50.00 % (1 substitutions, 0 deletions, 1 insertions in 4)" in printed
    assert "\nCER " in printed and "substitutions" in printed.split("CER")[1]
    header, *rows = [line.split("\t") for line in (tmp_path / "r.tsv").read_text().splitlines()]
    assert header == ["id", "reference", "hypothesis", "score"]
    assert [row[1:3] for row in rows] == [["low high high", "low mid high"], ["low", "low mid"]]
    assert all(float(row[3]) < 0 for row in rows)


@pytest.mark.parametrize("split, count", [("train", 4), ("dev", 2), ("test", 2), ("all", 8)])
def test_splits(asrlib, model, corpus, tmp_path, split, count):
    code, printed, _ = asrlib("test", model, "--corpus", corpus, "--output", tmp_path / "r", "--split", split)
    assert code == 0 and f"{count} utterances" in printed


def test_greedy_search_drops_the_second_pass(asrlib, model, corpus, tmp_path):
    folder = shutil.copytree(model, tmp_path / "rescoring")
    text = (folder / "config.yml").read_text()
    for old, new in (("rescore_weight: null", "rescore_weight: 0.5"), ("beam_width: 0", "beam_width: 4")):
        assert old in text
        text = text.replace(old, new)
    (folder / "config.yml").write_text(text.replace("head: null", "head: ctc"))
    for search in ([], ["--beam", "0"]):
        code, printed, err = asrlib(
            "test", folder, "--corpus", corpus, "--output", tmp_path / "r.tsv", *search
        )
        assert (code, err) == (0, "") and "WER 0.00 %" in printed


def test_beam_and_language_model(asrlib, fails, model, corpus, tmp_path):
    arpa, table = tmp_path / "lm.arpa", tmp_path / "r.tsv"
    code, printed, err = asrlib("lm", model, "--corpus", corpus, "--output", arpa, "--order", "2")
    assert (code, err) == (0, "") and printed.startswith(f"{arpa}: order 2, ")
    assert "n-grams of 4 texts" in printed and "perplexity of the dev texts: " in printed
    usual = ["test", model, "--corpus", corpus, "--output", table]
    for search in (["--beam", "4"], ["--beam", "4", "--lm", arpa], ["--beam", "0"]):
        code, printed, err = asrlib(*usual, *search)
        assert (code, err) == (0, "") and "WER 0.00 %" in printed
    # nothing but what the language model expects: the end
    printed = asrlib(*usual, "--beam", "4", "--lm", arpa, "--lm-weight", "100")[1]
    assert "WER 100.00 % (0 substitutions, " in printed or "deletions" in printed
    assert "WER 0.00 %" not in printed
    soundfile.write(tmp_path / "a.wav", tiny.tones("mid low"), tiny.RATE)
    assert asrlib("transcribe", model, tmp_path / "a.wav", "--beam", "3", "--lm", arpa)[1] == "mid low\n"
    fails(*usual, "--lm", arpa, naming=["--lm needs beam search", "--beam 5"])
    fails(*usual, "--beam", "4", "--lm", tmp_path / "no.arpa", naming=["no.arpa"])
    fails("lm", model, "--corpus", corpus, "--output", tmp_path / "no" / "lm.arpa", naming=["No such file"])
    lm = ["lm", model, "--corpus", corpus, "--output", arpa]
    (tmp_path / "book.txt").write_text("High, mid! Low mid. Loud and clear.")
    code, printed, _ = asrlib(*lm, "--text", tmp_path / "book.txt", "--min-count", "2")
    assert code == 0 and "n-grams of 6 texts" in printed  # a sentence has words that the model cannot write
    fails(*lm, "--text", tmp_path / "none.txt", naming=["none.txt", "no such text file"])
    assert asrlib("lm", "sentences-model", *lm[2:])[0] == 0  # a shipped model's labels, by its name
    fails(*lm, "--min-count", "0", naming=["lowest count", "at least 1"])


@pytest.mark.parametrize(
    "spoil, naming",
    [
        (lambda f: (f / "model.safetensors").unlink(), ["model.safetensors is missing"]),
        (lambda f: (f / "model.safetensors").write_bytes(b"\0" * 99), ["model.safetensors is damaged"]),
        (lambda f: edit(f / "config.yml", "units: 16", "units: 9"), ["model.safetensors does not fit"]),
        (lambda f: (f / "tokenizer.json").unlink(), ["tokenizer.json is missing"]),
        (lambda f: (f / "config.yml").unlink(), ["config.yml is missing"]),
        (lambda f: (f / "config.yml").write_text("[]"), ["config.yml", "expected sections"]),
    ],
    ids=["no weights", "damaged weights", "another shape", "no tokenizer", "no config", "no sections"],
)
def test_a_model_directory_that_is_not_whole(fails, model, corpus, tmp_path, spoil, naming):
    spoil(model)
    table = tmp_path / "r.tsv"
    fails("transcribe", model, corpus / "test-0.wav", naming=[model, *naming])
    fails("test", model, "--corpus", corpus, "--output", table, naming=[model, *naming])
    assert not table.exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_while_the_table_is_written(fails, model, corpus):
    fails("test", model, "--corpus", corpus, "--output", "/dev/full", naming=["/dev/full", "disk is full"])
    assert os.path.exists("/dev/full")


def test_a_disk_that_fills_up_keeps_the_old_table(fails, model, corpus, tmp_path, monkeypatch):
    table = tmp_path / "r.tsv"
    table.write_text("old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    fails("test", model, "--corpus", corpus, "--output", table, naming=[table, "disk is full"])
    assert table.read_text() == "old" and not list(tmp_path.glob("r.tsv*partial*"))

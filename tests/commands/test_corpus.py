"""``asrlib data``, and corpora that a command cannot use."""

import pytest
import soundfile
import tiny
import yaml
from commandline import edit


def test_two_corpora_whose_files_have_the_same_names(asrlib, model, tmp_path):
    """Each utterance keeps its own audio and its own text."""
    for name, text in (("a", "low high"), ("b", "mid")):
        folder = tiny.write_corpus(tmp_path / name, 1, 1, 1)
        for split in ("train", "dev", "test"):
            soundfile.write(folder / f"{split}-0.wav", tiny.tones(text), tiny.RATE)
        rows = [f"{split}-0.wav\t{text}\t{split}" for split in ("train", "dev", "test")]
        (folder / "manifest.tsv").write_text("\n".join(["path\ttext\tsplit", *rows]) + "\n")
    both = ["--corpus", tmp_path / "a", "--corpus", tmp_path / "b"]
    code, printed, _ = asrlib("test", model, *both, "--output", tmp_path / "r.tsv")
    assert code == 0 and "WER 0.00 %" in printed
    assert [row.split("\t")[2] for row in (tmp_path / "r.tsv").read_text().splitlines()[1:]] == [
        "low high",
        "mid",
    ]
    (tmp_path / "c.yml").write_text(yaml.safe_dump(tiny.settings(max_steps=2)))
    assert asrlib("train", tmp_path / "c.yml", *both, "--out", tmp_path / "out")[0] == 0


@pytest.mark.parametrize(
    "spoil, cause",
    [
        (lambda f: edit(f / "manifest.tsv", "path\t", "file\t"), "'path'"),
        (lambda f: edit(f / "manifest.tsv", "\ttext\t", "\ttranscript\t"), "'text'"),
        (lambda f: (f / "train-1.wav").unlink(), "train-1.wav"),
        (lambda f: (f / "train-1.wav").write_bytes(b""), "train-1.wav"),
        (lambda f: (f / "train-1.wav").write_bytes((f / "train-1.wav").read_bytes()[:-500]), "truncated"),
        (lambda f: (f / "manifest.tsv").unlink(), "does not exist"),
    ],
    ids=["no path column", "no text column", "missing file", "empty file", "truncated file", "no manifest"],
)
def test_a_corpus_that_is_not_whole(fails, config, corpus, tmp_path, spoil, cause):
    spoil(corpus)
    words = ["--corpus", corpus, "--out", tmp_path / "out"]
    fails("train", config, *words, naming=[corpus / "manifest.tsv", cause])
    assert not (tmp_path / "out").exists()


def test_an_empty_transcript(fails, config, corpus, tmp_path):
    lines = (corpus / "manifest.tsv").read_text().splitlines()
    fields = lines[2].split("\t")
    lines[2] = "\t".join([*fields[:3], "", fields[4]])
    (corpus / "manifest.tsv").write_text("\n".join(lines) + "\n")
    words = ["--corpus", corpus, "--out", tmp_path / "out"]
    fails("train", config, *words, naming=[corpus / "manifest.tsv", "line 3", "transcript is empty"])
    assert not (tmp_path / "out").exists()


def test_a_public_corpus_that_was_not_fetched(fails, config, tmp_path, monkeypatch):
    monkeypatch.setenv("ASRLIB_CACHE", str(tmp_path / "cache"))
    fails(
        "train", config, "--corpus", "yesno", "--out", tmp_path / "out", naming=["yesno", "asrlib data yesno"]
    )


def test_no_network(fails, tmp_path, monkeypatch):
    monkeypatch.setenv("ASRLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.delenv("no_proxy", raising=False)
    folder = tmp_path / "cache" / "librispeech" / "downloads"
    url = "https://www.openslr.org/resources/12/train-clean-100.tar.gz"
    fails("data", "librispeech", naming=["cannot download", url, folder])
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]

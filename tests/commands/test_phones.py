"""``--phones`` of ``asrlib transcribe`` and ``asrlib test``, and HDF5 files of ``asrlib data``."""

import shutil

import pytest
import safetensors.torch
import soundfile
import tiny
import yaml

from asrlib.data.corpora import load_corpus
from asrlib.text.lexicon import Lexicon
from asrlib.text.tokenizer_files import load_tokenizer
from asrlib.text.tokenizers import PhoneTokenizer


@pytest.fixture
def phone_model(model, tmp_path):
    """The model of tones, whose labels are made phones: each word is one."""
    folder = tmp_path / "phones"
    shutil.copytree(model, folder)
    config = yaml.safe_load((folder / "config.yml").read_text())
    labels = load_tokenizer(folder).labels
    config["tokenizer"] |= {"kind": "phones", "lexicon": "cmudict"}
    config["decoding"] |= {"head": "ctc", "words": ["low", "high"]}
    (folder / "config.yml").write_text(yaml.safe_dump(config))
    names = {word: word.upper() for word in labels}
    lexicon = Lexicon({word: [[names[word]]] for word in labels} | {"yodel": [[names["low"], names["high"]]]})
    PhoneTokenizer([names[word] for word in labels], lexicon).save(folder)
    return folder


def write(folder, name, text):
    soundfile.write(folder / name, tiny.tones(text), tiny.RATE)
    return folder / name


def test_words_or_phones_with_times(asrlib, fails, phone_model, tmp_path):
    file = write(tmp_path, "a.wav", "low high")
    assert asrlib("transcribe", phone_model, file)[1] in ("low\n", "high\n")
    code, printed, _ = asrlib("transcribe", phone_model, file, "--phones")
    first, *rows = printed.splitlines()
    assert code == 0 and first == "LOW HIGH"
    assert [row.split()[-1] for row in rows] == ["LOW", "HIGH"] and all(" s " in row for row in rows)
    assert "add --phones" in fails("transcribe", phone_model, file, "--beam", "3")
    assert asrlib("transcribe", phone_model, file, "--phones", "--beam", "3")[1].startswith("LOW HIGH\n")


def test_a_model_of_words_has_no_phones(fails, model, tmp_path):
    assert "labels of this model are words" in fails(
        "transcribe", model, write(tmp_path, "a.wav", "low"), "--phones"
    )


def test_rates_of_words_and_of_phones(asrlib, phone_model, tmp_path):
    corpus = tmp_path / "spoken"
    corpus.mkdir()
    write(corpus, "0.wav", "low high")
    write(corpus, "1.wav", "high")
    (corpus / "manifest.tsv").write_text("path\ttext\n0.wav\tyodel\n1.wav\thigh\n")
    scored = ["test", phone_model, "--corpus", corpus, "--split", "all", "--output", tmp_path / "r.tsv"]
    assert "WER 50.00 %" in asrlib(*scored)[1]  # yodel is not on the list
    printed = asrlib(*scored, "--phones")[1]
    assert printed.startswith("PER 0.00 %") and "WER" not in printed and "CER" not in printed


def test_a_folder_as_hdf5(asrlib, fails, corpus, tmp_path):
    code, printed, _ = asrlib("data", corpus, "--hdf5", tmp_path / "c.h5")
    assert code == 0 and printed == f"{tmp_path / 'c.h5'}: 8 utterances\n"
    assert [cut.id for cut in load_corpus(tmp_path / "c.h5")] == [cut.id for cut in load_corpus(corpus)]
    assert "give a new file" in fails("data", corpus, "--hdf5", tmp_path / "c.h5")
    assert "ends with .h5" in fails("data", corpus, "--hdf5", tmp_path / "c.tar")
    missing = ["--corpus", tmp_path / "d.h5"]
    assert "no such HDF5 file" in fails("train", "contextnet-digits", *missing, "--out", tmp_path / "run")


def test_checkpoints_of_csr_pytorch_are_imported(fails, model, tmp_path):
    safetensors.torch.save_file({}, tmp_path / "c.pt")
    assert "read safely" in fails("import", tmp_path / "c.pt", "--from", "csr", "--out", tmp_path / "m")

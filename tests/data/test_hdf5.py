"""HDF5 corpora: sample for sample what the folder has, read by several processes, and one line if damaged."""

import concurrent.futures
import multiprocessing
import pickle

import h5py
import numpy as np
import pytest
import soundfile
import tiny
from lhotse import CutSet
from recordings import REAL

from asrlib.data.audio import cut_audio
from asrlib.data.audio_cache import AudioCache
from asrlib.data.corpora import clips, corpus_splits, load_corpora, load_corpus
from asrlib.data.hdf5 import load_hdf5, write_hdf5, write_words
from asrlib.errors import InputError


@pytest.fixture
def folder(tmp_path):
    """A corpus of two rates, two speakers, Unicode in a text, and recordings of several lengths."""
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    lines = ["path\tspeaker\ttext\tsplit"]
    for n, (text, rate) in enumerate([("low", 8000), ("mid high", 16000), ("high", 8000), ("low mid", 8000)]):
        soundfile.write(corpus / f"{n}.flac", tiny.tones(text, rate, seed=n), rate)
        lines.append(f"{n}.flac\ts{n % 2}\t{text}{' é' * (n == 1)}\t{'test' if n == 3 else 'train'}")
    (corpus / "manifest.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return corpus


def told(cuts):
    return [
        (
            c.id,
            c.supervisions[0].text,
            c.supervisions[0].speaker,
            c.custom["split"],
            c.sampling_rate,
            c.duration,
        )
        for c in cuts
    ]


def same(ours, theirs):
    """Whether two corpora have the same utterances, sample for sample."""
    assert told(ours) == told(theirs)
    return all(np.array_equal(cut_audio(a), cut_audio(b)) for a, b in zip(ours, theirs, strict=True))


def test_a_folder_comes_back_sample_for_sample(folder, tmp_path):
    cuts = load_corpus(folder)
    assert write_hdf5(cuts, tmp_path / "c.h5") == 4
    assert same(load_corpus(tmp_path / "c.h5"), cuts)
    assert corpus_splits(tmp_path / "c.h5") == ["train", "test"]
    assert same(load_corpus(tmp_path / "c.h5", "test"), load_corpus(folder, "test"))
    both = load_corpora([str(folder), str(tmp_path / "c.h5")], "train")
    assert len(both) == 6 and len({cut.id for cut in both}) == 6


def test_times_come_back(tmp_path):
    cuts = clips()
    write_hdf5(cuts, tmp_path / "clips.hdf5")
    back = load_corpus(tmp_path / "clips.hdf5")
    assert same(back, cuts)
    for ours, theirs in zip(back, cuts, strict=True):
        assert ours.supervisions[0].alignment == theirs.supervisions[0].alignment


def test_parts_of_a_recording(folder, tmp_path):
    cuts = load_corpus(folder)
    write_hdf5(cuts, tmp_path / "c.h5")
    for ours, theirs in zip(load_corpus(tmp_path / "c.h5"), cuts, strict=True):
        part, whole = ours.truncate(offset=0.1, duration=0.2), cut_audio(theirs)
        first = round(0.1 * theirs.sampling_rate)
        assert np.array_equal(cut_audio(part), whole[first : first + part.num_samples])


def sums(arguments):
    """The sum of each recording's samples, in a worker's process."""
    path, names = arguments
    return {cut.id: float(cut_audio(cut).sum()) for cut in load_hdf5(path) if cut.id in names}


def pickled_sums(cuts):
    return {cut.id: float(cut_audio(cut).sum()) for cut in pickle.loads(cuts)}


@pytest.mark.processes
def test_several_workers_read_at_once(folder, tmp_path):
    path = tmp_path / "c.h5"
    write_hdf5(load_corpus(folder), path)
    cuts = load_corpus(path)
    expected = {cut.id: float(cut_audio(cut).sum()) for cut in cuts}  # the file is open here, too
    # "fork" hands the open file to the workers, which must not use it
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(2, context) as pool:
        assert list(pool.map(pickled_sums, [pickle.dumps(list(cuts))] * 4)) == [expected] * 4
        assert list(pool.map(sums, [(path, set(expected))] * 2)) == [expected] * 2
    with AudioCache(8000, workers=3) as audio:
        for batch in audio.batches(iter([list(cuts)] * 3)):
            assert all(len(audio.load(cut)) for cut in batch)


# ---- csr-pytorch's layout ----------------------------------------------------------------------------------


@pytest.fixture
def words(tmp_path):
    corpus = tmp_path / "words"
    corpus.mkdir()
    lines = ["path\tspeaker\ttext"]
    for n, text in enumerate(["low", "HIGH", "mid", "low"]):
        sound = np.tile(tiny.tones(text.lower(), 16000, seed=n), 3)[: 16000 + 500 * (n - 2)]
        soundfile.write(corpus / f"{n}.wav", sound, 16000, "FLOAT")
        lines.append(f"{n}.wav\ts{n}\t{text}")
    (corpus / "manifest.tsv").write_text("\n".join(lines) + "\n")
    return load_corpus(corpus)


def test_words_of_a_second(words, tmp_path):
    assert write_words(words, tmp_path / "w.h5") == 4
    with h5py.File(tmp_path / "w.h5") as file:
        assert file["ds/data"].shape == (4, 16000) and file["ds/label"][:].tolist() == [1, 0, 2, 1]
    back = load_corpus(tmp_path / "w.h5")
    assert [cut.supervisions[0].text for cut in back] == ["low", "high", "mid", "low"]
    for ours, theirs in zip(back, words, strict=True):
        samples = cut_audio(theirs)[:16000]
        assert np.array_equal(cut_audio(ours), np.pad(samples, (0, 16000 - len(samples))))


def test_the_order_of_the_words_is_written_down(words, tmp_path):
    write_words(words, tmp_path / "w.h5", ["mid", "low", "high"])
    assert [cut.supervisions[0].text for cut in load_corpus(tmp_path / "w.h5")] == [
        "low",
        "high",
        "mid",
        "low",
    ]
    with h5py.File(tmp_path / "w.h5", "a") as file:
        del file["ds/label"].attrs["words"]
    with pytest.raises(InputError, match="nothing says which words"):
        load_corpus(tmp_path / "w.h5")


def test_labels_may_be_words(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["ds/data"] = np.ones((2, 16000), "f4")
        file.create_dataset("ds/label", data=["yes", "no"], dtype=h5py.string_dtype())
    assert [cut.supervisions[0].text for cut in load_corpus(tmp_path / "w.h5")] == ["yes", "no"]


def test_words_that_cannot_be_written(words, folder, tmp_path):
    with pytest.raises(InputError, match="'high' is none of the 2 words"):
        write_words(words, tmp_path / "w.h5", ["low", "mid"])
    with pytest.raises(InputError, match="8000 Hz"):
        write_words(load_corpus(folder), tmp_path / "w.h5")
    with pytest.raises(InputError, match="no utterances"):
        write_words([], tmp_path / "w.h5")
    assert not list(tmp_path.glob("w.h5*"))


# ---- what is wrong -----------------------------------------------------------------------------------------


def test_files_that_cannot_be_read(folder, tmp_path):
    path = tmp_path / "c.h5"
    with pytest.raises(InputError, match="no such HDF5 file"):
        load_corpus(path)
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match="not a whole HDF5 file"):
        load_corpus(path)
    path.unlink()
    write_hdf5(load_corpus(folder), path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="not a whole HDF5 file"):
        load_corpus(path)
    with pytest.raises(InputError, match="not a whole HDF5 file"):
        corpus_splits(path)


def test_files_of_another_layout(folder, tmp_path):
    path = tmp_path / "c.h5"

    def refused(match, **datasets):
        with h5py.File(path, "w") as file:
            for name, value in datasets.items():
                file[name.replace("_", "/")] = value
        with pytest.raises(InputError, match=match):
            load_corpus(path)

    refused("no dataset ds/data")
    refused("no dataset ds/label", ds_data=np.zeros((2, 16000)))
    refused(r"\(2,\)", ds_data=np.zeros((3, 16000)), ds_label=[0, 1])
    with h5py.File(path, "w") as file:
        file["ds/data"], file["ds/label"] = np.zeros((2, 16000)), [0, 7]
        file["ds/label"].attrs["words"] = ["a", "b"]
    with pytest.raises(InputError, match="outside its 2 words"):
        load_corpus(path)


@pytest.mark.parametrize(
    "name, value, match",
    [
        ("start", [0, 1, 2, 10**9], "outside its samples"),
        ("text", ["a"], "differ in length"),
        ("rate", None, "no dataset rate"),
    ],
)
def test_columns_that_do_not_fit(folder, tmp_path, name, value, match):
    path = tmp_path / "c.h5"
    write_hdf5(load_corpus(folder), path)
    with h5py.File(path, "a") as file:
        del file[name]
        if value is not None:
            file.create_dataset(name, data=value, dtype=h5py.string_dtype() if name == "text" else None)
    with pytest.raises(InputError, match=match):
        load_corpus(path)


def test_samples_that_cannot_be_read(folder, tmp_path):
    path = tmp_path / "c.h5"
    write_hdf5(load_corpus(folder), path)
    with h5py.File(path, "a") as file:
        file["samples"][3] = np.nan
    with pytest.raises(InputError, match="NaN"):
        cut_audio(next(iter(load_corpus(path))))


def test_files_that_cannot_be_written(folder, tmp_path):
    cuts = load_corpus(folder)
    with pytest.raises(InputError, match="cannot be written"):
        write_hdf5(cuts, tmp_path / "missing" / "c.h5")
    write_hdf5(cuts, tmp_path / "c.h5")
    with pytest.raises(InputError, match="already exists"):
        write_hdf5(cuts, tmp_path / "c.h5")
    with pytest.raises(InputError, match="two utterances"):
        write_hdf5([*cuts, *cuts], tmp_path / "d.h5")
    with pytest.raises(InputError, match="no utterances"):
        write_hdf5(CutSet.from_cuts([]), tmp_path / "d.h5")
    assert not list(tmp_path.glob("d.h5*"))
    with pytest.raises(InputError, match="no split 'dev'; it has train, test"):
        load_corpus(tmp_path / "c.h5", "dev")


@pytest.mark.skipif(not REAL.is_dir(), reason="the folder of real recordings is absent")
@pytest.mark.real
def test_real_recordings_come_back(tmp_path):
    cuts = load_corpus(REAL / "commands").subset(first=40)
    write_hdf5(cuts, tmp_path / "commands.h5")
    assert same(load_corpus(tmp_path / "commands.h5"), cuts)

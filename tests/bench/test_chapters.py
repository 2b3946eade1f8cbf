"""``asrlib bench chapters``: the same words, cut and joined, on chapters of tones."""

import shutil

import numpy as np
import pytest
import soundfile
import tiny
from commandline import edit
from cuts import utterance

from asrlib.bench.chapters import bench_chapters, find_chapters
from asrlib.data.corpora import load_corpus
from asrlib.errors import InputError
from asrlib.recognizer import Recognizer

TEXTS = {
    "1-10-0000": "low mid high",
    "1-10-0001": "mid low",
    "1-10-0010": "mid high low mid",
    "2-7-0000": "high",
    "2-7-0001": "low high",
}
NAMES = [
    "utterances, one by one",
    "chapters, cut at pauses, at most 1.5 s",
    "chapters, window 1.5 s, overlap 0.875, average",
    "chapters, window 1.5 s, overlap 0.5, middle",
    "chapters in one pass",
]


@pytest.fixture(autouse=True)
def one_thread():
    with tiny.one_thread():
        yield


def write(folder, texts, heard):
    """Write the tones of ``heard`` under the transcripts ``texts``, the last one first."""
    folder.mkdir()
    rows = ["path\tspeaker\ttext"]
    for name, text in reversed(texts.items()):
        soundfile.write(folder / f"{name}.wav", tiny.tones(heard.get(name, text)), tiny.RATE)
        rows.append(f"{name}.wav\ts{name[0]}\t{text}")
    (folder / "manifest.tsv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def chapters(tmp_path):
    """Two chapters of tones; in one of them a word is another one than the transcript says."""
    return write(tmp_path / "chapters", TEXTS, {"1-10-0010": "mid high low high"})


@pytest.fixture
def ctc(model):
    edit(model / "config.yml", "head: null", "head: ctc")
    return model


def test_every_way_is_scored_against_the_same_words(ctc, chapters, capsys):
    rows = bench_chapters(Recognizer.load(ctc), load_corpus(chapters), window=1.5)
    assert [row.name for row in rows] == NAMES
    for row in rows:
        edits = row.words.substitutions, row.words.deletions, row.words.insertions
        assert (*edits, row.words.length) == (1, 0, 0, 12), row.name
        assert row.seconds > 0
    printed = capsys.readouterr().out
    assert "2 chapters of " in printed and "5 utterances, 12 words" in printed
    assert printed.count("8.33") == 5  # one error in twelve words
    for name in NAMES:
        assert f"\n{name} " in printed


def test_chapters_are_the_utterances_in_order_without_a_pause(ctc, chapters, monkeypatch):
    heard, spoken = [], TEXTS | {"1-10-0010": "mid high low high"}
    transcribe = Recognizer.transcribe

    def spy(self, audio, sample_rate=None):
        heard.append(audio)
        return transcribe(self, audio, sample_rate)

    monkeypatch.setattr(Recognizer, "transcribe", spy)
    bench_chapters(Recognizer.load(ctc), load_corpus(chapters), window=1.5)
    last, first = [[tiny.tones(spoken[name]) for name in spoken if name[0] == speaker] for speaker in "21"]
    joined = [np.concatenate(last), np.concatenate(first)]  # in the order of the manifest
    expected = [*last, joined[0], *first, joined[1]]
    assert [len(samples) for samples in heard] == [len(samples) for samples in expected]
    for found, samples in zip(heard, expected, strict=True):
        np.testing.assert_allclose(found.numpy(), samples, atol=2**-15)  # 16 bits in the file


def test_a_transducer_averages_no_windows(model, chapters):
    rows = bench_chapters(Recognizer.load(model), load_corpus(chapters), window=1.5)
    assert [row.name for row in rows] == [*NAMES[:2], *NAMES[3:]]


def test_samples_at_another_rate_are_resampled(ctc, tmp_path):
    folder = write(tmp_path / "fast", TEXTS, {})
    for path in folder.glob("1-*.wav"):
        text = TEXTS[path.stem]
        soundfile.write(path, tiny.tones(text, 16000), 16000)
    rows = bench_chapters(Recognizer.load(ctc), load_corpus(folder), window=1.5)
    assert [row.words.rate for row in rows] == [0.0] * 5


def test_ids_name_chapters():
    names = ["a/2-1-0001.flac", "b/2-1-0000.flac", "a/2-1-0000.flac", "ls_7-12-0009", "ls_7-12-0010-0"]
    found = find_chapters([utterance(name, 1.0) for name in names])
    assert {name: [cut.id for cut in chapter] for name, chapter in found.items()} == {
        "a/2-1": ["a/2-1-0000.flac", "a/2-1-0001.flac"],
        "b/2-1": ["b/2-1-0000.flac"],
        "ls_7-12": ["ls_7-12-0009", "ls_7-12-0010-0"],
    }


@pytest.mark.parametrize(
    "names, cause",
    [
        (["1-2-0000", "low-high.wav"], "utterance low-high.wav: its id names no chapter"),
        (["1-2-0000", "1-3-0000"], "no chapter has more than one utterance"),
        ([], "no chapter"),
    ],
)
def test_a_corpus_without_chapters_is_refused(names, cause):
    with pytest.raises(InputError, match=cause):
        find_chapters([utterance(name, 1.0) for name in names])


def test_a_model_of_single_words_is_refused(ctc, chapters):
    recognizer = Recognizer.load(ctc)
    recognizer.config.decoding.words = ["low", "high"]
    with pytest.raises(InputError, match=r"decoding\.words"):
        bench_chapters(recognizer, load_corpus(chapters))


def test_command(asrlib, fails, ctc, chapters, tmp_path):
    usual = ["bench", "chapters", ctc, "--corpus", chapters, "--split", "all"]
    code, printed, err = asrlib(*usual, "--window", "1.5")
    assert (code, err) == (0, "") and all(name in printed for name in NAMES)
    fails(*usual, "--window", "0", naming=["window is 0"])
    shutil.move(chapters / "1-10-0001.wav", chapters / "one.wav")
    edit(chapters / "manifest.tsv", "1-10-0001.wav", "one.wav")
    fails(*usual, naming=["one.wav", "speaker-chapter-number"])

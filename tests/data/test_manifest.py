"""asrlib.data.manifest: corpus folders read, split and written."""

import json
from collections import Counter, defaultdict

import numpy as np
import pytest
import soundfile
from folders import fails, make_folder, tone

from asrlib.data.audio import cut_audio
from asrlib.data.manifest import Row, assign_splits, folder_splits, load_folder, save_corpus


def test_a_folder_with_all_columns(tmp_path):
    rows = ["b.wav\tx\t0.5\tHELLO, World\ttest", "a.flac\ty\t0.5\tgrüß gott\ttrain"]
    folder = make_folder(tmp_path, rows, "path\tspeaker\tseconds\ttext\tsplit", encoding="utf-8-sig")
    (folder / "alignments.json").write_text(json.dumps({"b.wav": {"word": [["HELLO,", 0.1, 0.25]]}}))
    cuts = list(load_folder(folder))
    assert [cut.id for cut in cuts] == ["b.wav", "a.flac"]
    supervision = cuts[0].supervisions[0]
    assert (supervision.text, supervision.speaker) == ("HELLO, World", "x")  # as written
    (item,) = supervision.alignment["word"]
    assert (item.symbol, item.start, item.duration) == ("HELLO,", 0.1, 0.15)
    assert cuts[1].supervisions[0].alignment is None and cuts[1].supervisions[0].text == "grüß gott"
    assert cuts[0].custom["split"] == "test" and cuts[0].duration == 0.5 and cuts[0].sampling_rate == 16_000
    assert [cut.id for cut in load_folder(folder, "test")] == ["b.wav"]


def test_a_manifest_saved_on_windows(tmp_path):
    folder = make_folder(tmp_path, ["a.wav\ts\tone", "", "b.wav\ts\ttwo\u2028three"])
    data = (folder / "manifest.tsv").read_bytes().replace(b"\n", b"\r\n")
    (folder / "manifest.tsv").write_bytes(data)
    assert [cut.supervisions[0].text for cut in load_folder(folder)] == ["one", "two\u2028three"]


def test_split_by_speaker_is_stable_and_disjoint(tmp_path):
    def split(speakers):
        rows = [Row(0, f"{speaker}-{i}", "t", speaker, "") for speaker in speakers for i in range(2)]
        assign_splits(rows)
        found = defaultdict(set)
        for row in rows:
            found[row.split].add(row.speaker)
        assert sum(map(len, found.values())) == len(set(speakers))
        return found

    for number in (3, 4, 10, 30):
        found = split([f"s{i}" for i in range(number)])
        assert len(found["test"]) == len(found["dev"]) == max(1, round(number / 10))
        assert split([f"s{i}" for i in reversed(range(number))]) == found


@pytest.mark.parametrize("speakers", [(None,), ("a", "b")])
def test_split_by_utterance_below_three_speakers(speakers):
    rows = [Row(i, f"{i}.wav", "t", speakers[i % len(speakers)], "") for i in range(20)]
    assign_splits(rows)
    assert Counter(row.split for row in rows) == {"train": 16, "dev": 2, "test": 2}
    assign_splits(rows[:2])
    assert [row.split for row in rows[:2]] == ["train", "train"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "line 1 has no column 'path'"),
        ("path\tspeaker\na.wav\tx\n", "line 1 has no column 'text'"),
        ("file\ttext\na.wav\tone\n", "line 1 has no column 'path'"),
        ("path,text\na.wav,one\n", "line 1 has no column 'path'.*tab-separated"),
        ("path\ttext\n", "it has no utterances"),
        ("path\ttext\na.wav\tone\nb.wav\n", "line 3 has 1 fields, the header has 2"),
        ("path\ttext\na.wav\tone\ttwo\n", "line 2 has 3 fields"),
        ("path\ttext\na.wav\t \n", "line 2: the transcript is empty"),
        ("path\ttext\n\tone\n", "line 2: the path is empty"),
        ("path\ttext\tsplit\na.wav\tone\t\n", "line 2: the split is empty"),
        ("path\ttext\na.wav\tone\na.wav\ttwo\n", "line 3: a.wav is already in line 2"),
        ("path\ttext\na.wav\tone\n\nc.wav\ttwo\n", "line 4: .*c.wav: there is no such audio file"),
        ("path\ttext\nempty.wav\tone\n", "line 2: .*empty.wav: the file is empty"),
        ("path\ttext\nmanifest.tsv\tone\n", "line 2: .*cannot be read as audio"),
        ("path\ttext\ncut.wav\tone\n", "line 2: .*cut.wav: truncated"),
    ],
)
def test_a_manifest_that_cannot_be_used(tmp_path, text, message):
    soundfile.write(tmp_path / "a.wav", tone(), 16_000)
    soundfile.write(tmp_path / "b.wav", tone(), 16_000)
    (tmp_path / "empty.wav").touch()
    (tmp_path / "cut.wav").write_bytes((tmp_path / "a.wav").read_bytes()[:9_000])
    (tmp_path / "manifest.tsv").write_text(text)
    fails("manifest.tsv: " + message, load_folder, tmp_path)


def test_other_things_wrong_with_a_folder(tmp_path):
    fails("manifest.tsv does not exist; a corpus folder needs it", load_folder, tmp_path)
    (tmp_path / "manifest.tsv").write_bytes("path\ttext\na.wav\tgrün\n".encode("latin-1"))
    fails(r"manifest.tsv is not a UTF-8 text file \(byte 18\)", load_folder, tmp_path)
    make_folder(tmp_path, ["a.wav\ts\tone"])
    fails("there is no split 'test'; it has train", load_folder, tmp_path, "test")
    for broken in ("{", "[]", '{"a.wav": {"word": [["one", 1]]}}', '{"a.wav": {"word": [["one", 2, 1]]}}'):
        (tmp_path / "alignments.json").write_text(broken)
        fails("alignments.json is not (of the form|valid JSON)", load_folder, tmp_path)


def test_a_saved_corpus_comes_back(tmp_path):
    samples = tone(0.5, 8000).astype(np.float32)
    times = {"word": [("low", 0.1, 0.25), ("high", 0.3, 0.6)], "phone": []}
    rows = [("audio/a.flac", "ann", "dev", "low high", samples, times)]
    save_corpus(tmp_path / "corpus", rows, 8000)
    (cut,) = load_folder(tmp_path / "corpus", "dev")
    supervision = cut.supervisions[0]
    assert (cut.sampling_rate, supervision.speaker, supervision.text) == (8000, "ann", "low high")
    words = [(item.symbol, item.start, item.end) for item in supervision.alignment["word"]]
    assert words == [("low", 0.1, 0.25), ("high", 0.3, 0.5)]  # no word ends after its audio
    np.testing.assert_allclose(cut_audio(cut), samples, atol=1 / 32767)
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]
    fails("corpus: already exists", save_corpus, tmp_path / "corpus", rows, 8000)


def test_splits_are_listed_in_the_usual_order(tmp_path):
    rows = [f"{n}.wav\tone\t{split}" for n, split in enumerate(["test", "exam", "train", "dev", "train"])]
    folder = make_folder(tmp_path, rows, "path\ttext\tsplit")
    assert folder_splits(folder) == ["train", "dev", "test", "exam"]
    fails("no split 'exams'; it has train, dev, test, exam", load_folder, folder, "exams")

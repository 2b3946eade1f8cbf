"""asrlib.data.corpora: folders of recordings, synthesised corpora, connected digits, reading audio."""

import json
import os
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrlib import InputError
from asrlib.data import corpora
from asrlib.data.corpora import clips, connected_digits, cut_audio, load_corpus, read_audio
from asrlib.data.espeak import DIGITS

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "real"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="the folder of real recordings is absent")


def tone(seconds=0.5, rate=16_000, channels=1):
    wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)
    return wave if channels == 1 else np.stack([wave, np.zeros_like(wave)], axis=1)


def make_folder(folder: Path, rows, header="path\tspeaker\ttext", encoding="utf-8"):
    """A corpus folder whose audio files exist for every row with a path."""
    folder.mkdir(parents=True, exist_ok=True)
    for row in rows:
        name = row.split("\t")[0]
        if name:
            soundfile.write(folder / name, tone(), 16_000)
    (folder / "manifest.tsv").write_text("\n".join([header, *rows]) + "\n", encoding=encoding)
    return folder


def fails(message, call, *arguments, **keywords):
    """The call raises InputError with one line that matches the message."""
    with pytest.raises(InputError, match=message) as caught:
        call(*arguments, **keywords)
    assert "\n" not in str(caught.value)


# -------------------------------------------------------------------------------- reading audio


@pytest.mark.parametrize(
    "name, subtype",
    [("a.wav", "PCM_16"), ("a.wav", "FLOAT"), ("a.wav", "PCM_24"), ("a.flac", None), ("a.ogg", "VORBIS"),
     ("a.opus", "OPUS"), ("a.mp3", None)],
)  # fmt: skip
@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
def test_every_format_mono_and_stereo(tmp_path, name, subtype, rate):
    for channels in (1, 2):
        path = tmp_path / f"{channels}{name}"
        file_format = "OGG" if name.endswith("opus") else None
        soundfile.write(path, tone(1.0, rate, channels), rate, subtype=subtype, format=file_format)
        samples, found = read_audio(path)
        assert samples.dtype == np.float32 and samples.ndim == 1
        assert found == rate and len(samples) == soundfile.info(path).frames
        level = np.sqrt((samples[rate // 4 : rate // 2] ** 2).mean())
        # one silent channel: the average is half as loud
        assert level == pytest.approx(0.3 / np.sqrt(2) / channels, rel=0.1)


def test_audio_that_is_missing_empty_or_no_audio(tmp_path):
    fails("nowhere.wav: there is no such audio file", read_audio, tmp_path / "nowhere.wav")
    fails("this is a folder", read_audio, tmp_path)
    (tmp_path / "empty.wav").touch()
    fails(r"empty.wav: the file is empty \(0 bytes\)", read_audio, tmp_path / "empty.wav")
    (tmp_path / "text.wav").write_text("this is no sound at all")
    fails("text.wav: no audio that can be read", read_audio, str(tmp_path / "text.wav"))
    soundfile.write(tmp_path / "header.wav", np.zeros(0), 16_000)
    fails("header.wav: the file holds no samples", read_audio, tmp_path / "header.wav")
    soundfile.write(tmp_path / "nan.wav", np.array([0.0, np.nan]), 16_000, subtype="FLOAT")
    fails("nan.wav: holds samples that are no numbers", read_audio, tmp_path / "nan.wav")


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.opus", "a.mp3"])
@pytest.mark.parametrize("keep", [0.3, 0.7, 0.95])
def test_truncated_audio(tmp_path, name, keep):
    path = tmp_path / name
    noise = 0.1 * np.random.default_rng(0).standard_normal(3 * 16_000)
    soundfile.write(path, noise, 16_000, format="OGG" if name == "a.opus" else None,
                    subtype="OPUS" if name == "a.opus" else None)  # fmt: skip
    read_audio(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep)])
    fails(f"{name}: .*(truncated|decoded to its end|no audio)", read_audio, path)


def test_a_wav_written_into_a_pipe_has_no_length_and_is_read(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(), 16_000, subtype="PCM_16")
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert len(read_audio(path)[0]) == 8_000


# lhotse leaves the file open when it moves audio into memory
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_cut_audio_equals_lhotse(tmp_path):
    folder = make_folder(tmp_path, ["a.wav\ts\tone"])
    soundfile.write(folder / "stereo.flac", tone(0.5, 16_000, 2), 16_000)
    (folder / "manifest.tsv").write_text("path\ttext\na.wav\tone\nstereo.flac\ttwo\n")
    mono, stereo = load_corpus(folder)
    np.testing.assert_array_equal(cut_audio(mono), mono.load_audio()[0])
    np.testing.assert_allclose(cut_audio(stereo), stereo.load_audio().mean(axis=0), atol=1e-7)
    part = mono.truncate(offset=0.1, duration=0.2)
    np.testing.assert_array_equal(cut_audio(part), part.load_audio()[0])
    changed = mono.perturb_speed(1.1)
    np.testing.assert_array_equal(cut_audio(changed), changed.load_audio()[0])
    in_memory = mono.move_to_memory(audio_format="wav")
    np.testing.assert_array_equal(cut_audio(in_memory), cut_audio(mono))


def test_cut_audio_names_the_file_that_is_cut_off_later(tmp_path):
    folder = make_folder(tmp_path, ["a.flac\ts\tone"])
    soundfile.write(folder / "a.flac", np.random.default_rng(0).uniform(-0.5, 0.5, 40_000), 16_000)
    (cut,) = load_corpus(folder)
    data = (folder / "a.flac").read_bytes()
    (folder / "a.flac").write_bytes(data[: len(data) // 2])
    fails("a.flac: ", cut_audio, cut)
    fails("a.flac_sp1.1: its audio cannot be read|a.flac", cut_audio, cut.perturb_speed(1.1))
    (folder / "a.flac").unlink()
    fails("a.flac: ", cut_audio, cut)


# -------------------------------------------------------------------------------- folders


def test_a_folder_with_all_columns(tmp_path):
    rows = ["b.wav\tx\t0.5\tHELLO, World\ttest", "a.flac\ty\t0.5\tgrüß gott\ttrain"]
    folder = make_folder(tmp_path, rows, "path\tspeaker\tseconds\ttext\tsplit", encoding="utf-8-sig")
    (folder / "alignments.json").write_text(json.dumps({"b.wav": {"word": [["HELLO,", 0.1, 0.25]]}}))
    cuts = list(load_corpus(str(folder)))
    assert [cut.id for cut in cuts] == ["b.wav", "a.flac"]
    supervision = cuts[0].supervisions[0]
    assert (supervision.text, supervision.speaker) == ("HELLO, World", "x")  # as written
    (item,) = supervision.alignment["word"]
    assert (item.symbol, item.start, item.duration) == ("HELLO,", 0.1, 0.15)
    assert cuts[1].supervisions[0].alignment is None and cuts[1].supervisions[0].text == "grüß gott"
    assert cuts[0].custom["split"] == "test" and cuts[0].duration == 0.5 and cuts[0].sampling_rate == 16_000
    assert [cut.id for cut in load_corpus(folder, "test")] == ["b.wav"]


def test_a_manifest_saved_on_windows(tmp_path):
    folder = make_folder(tmp_path, ["a.wav\ts\tone", "", "b.wav\ts\ttwo\u2028three"])
    data = (folder / "manifest.tsv").read_bytes().replace(b"\n", b"\r\n")
    (folder / "manifest.tsv").write_bytes(data)
    assert [cut.supervisions[0].text for cut in load_corpus(folder)] == ["one", "two\u2028three"]


def test_split_by_speaker_is_stable_and_disjoint(tmp_path):
    def split(speakers):
        rows = [corpora._Row(0, f"{speaker}-{i}", "t", speaker, "") for speaker in speakers for i in range(2)]
        corpora._split_rows(rows)
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
    rows = [corpora._Row(i, f"{i}.wav", "t", speakers[i % len(speakers)], "") for i in range(20)]
    corpora._split_rows(rows)
    assert Counter(row.split for row in rows) == {"train": 16, "dev": 2, "test": 2}
    corpora._split_rows(rows[:2])
    assert [row.split for row in rows[:2]] == ["train", "train"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "line 1 has no column 'path'"),
        ("path\tspeaker\na.wav\tx\n", "line 1 has no column 'text'"),
        ("file\ttext\na.wav\tone\n", "line 1 has no column 'path'"),
        ("path,text\na.wav,one\n", "line 1 has no column 'path'.*tab-separated"),
        ("path\ttext\n", "there is no utterance in it"),
        ("path\ttext\na.wav\tone\nb.wav\n", "line 3 has 1 fields, the header has 2"),
        ("path\ttext\na.wav\tone\ttwo\n", "line 2 has 3 fields"),
        ("path\ttext\na.wav\t \n", "line 2: the transcript is empty"),
        ("path\ttext\n\tone\n", "line 2: the path is empty"),
        ("path\ttext\tsplit\na.wav\tone\t\n", "line 2: the split is empty"),
        ("path\ttext\na.wav\tone\na.wav\ttwo\n", "line 3: a.wav is already in line 2"),
        ("path\ttext\na.wav\tone\n\nc.wav\ttwo\n", "line 4: .*c.wav: there is no such audio file"),
        ("path\ttext\nempty.wav\tone\n", "line 2: .*empty.wav: the file is empty"),
        ("path\ttext\nmanifest.tsv\tone\n", "line 2: .*no audio that can be read"),
        ("path\ttext\ncut.wav\tone\n", "line 2: .*cut.wav: truncated"),
    ],
)
def test_a_manifest_that_cannot_be_used(tmp_path, text, message):
    soundfile.write(tmp_path / "a.wav", tone(), 16_000)
    soundfile.write(tmp_path / "b.wav", tone(), 16_000)
    (tmp_path / "empty.wav").touch()
    (tmp_path / "cut.wav").write_bytes((tmp_path / "a.wav").read_bytes()[:9_000])
    (tmp_path / "manifest.tsv").write_text(text)
    fails("manifest.tsv: " + message, load_corpus, tmp_path)


def test_other_things_wrong_with_a_folder(tmp_path):
    fails("nosuch: neither a folder nor one of the corpora digits, commands", load_corpus, "nosuch")
    fails("manifest.tsv: there is no such file", load_corpus, tmp_path)
    (tmp_path / "manifest.tsv").write_bytes("path\ttext\na.wav\tgrün\n".encode("latin-1"))
    fails(r"manifest.tsv: not UTF-8 \(byte 18\)", load_corpus, tmp_path)
    make_folder(tmp_path, ["a.wav\ts\tone"])
    fails("there is no split 'test'; it has train", load_corpus, tmp_path, "test")
    for broken in ("{", "[]", '{"a.wav": {"word": [["one", 1]]}}', '{"a.wav": {"word": [["one", 2, 1]]}}'):
        (tmp_path / "alignments.json").write_text(broken)
        fails("alignments.json: not of the form", load_corpus, tmp_path)


# -------------------------------------------------------------------------------- synthesised corpora

TINY = {name: {"train": 12, "dev": 4, "test": 5} for name in corpora.SIZES}


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    monkeypatch.setenv("ASRLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(corpora, "SIZES", TINY)
    return tmp_path / "cache"


@pytest.mark.parametrize("name", TINY)
def test_synthesised_corpora(tiny, name):
    cuts = list(load_corpus(name))
    assert Counter(cut.custom["split"] for cut in cuts) == TINY[name]
    for cut in cuts:
        supervision = cut.supervisions[0]
        words = supervision.text.split()
        assert supervision.text == " ".join(words) and supervision.text.replace(" ", "").isalpha()
        assert supervision.text.islower()
        assert [item.symbol for item in supervision.alignment["word"]] == words
        assert len(supervision.alignment["phone"]) >= len(words)
        assert 0.04 < supervision.alignment["word"][0].start
        assert supervision.alignment["word"][-1].end < cut.duration - 0.04
        if name == "digits":
            assert set(words) <= set(DIGITS) and 1 <= len(words) <= 7
        if name == "commands":
            assert len(words) == 1 and words[0] in corpora.COMMANDS
        samples = cut_audio(cut)
        assert len(samples) == cut.num_samples and cut.sampling_rate == 16_000
        assert 0.05 < np.abs(samples).max() <= 1
    assert len(load_corpus(name, "dev")) == 4


def test_no_timbre_is_in_two_splits():
    for foreign in (False, True):
        pools = corpora._voice_pools(foreign)
        assert pools == corpora._voice_pools(foreign)
        timbres = {split: {voice.split("+")[1] for voice in pool} for split, pool in pools.items()}
        assert min(map(len, timbres.values())) > 20
        for one, other in (("train", "dev"), ("train", "test"), ("dev", "test")):
            assert not timbres[one] & timbres[other]


def test_the_grammar_has_some_hundred_words_and_every_slot_exists():
    import random

    draw = random.Random(0)
    words = {word for _ in range(3000) for word in corpora._sentence_text(draw).split()}
    assert 400 < len(words) < 600 and all(word.isalpha() and word.islower() for word in words)
    assert len(corpora.COMMANDS) == 35


def test_a_corpus_is_rendered_once(tiny, monkeypatch):
    first = cut_audio(load_corpus("commands")[0])
    monkeypatch.setattr(corpora, "synthesise", None)
    np.testing.assert_array_equal(cut_audio(load_corpus("commands")[0]), first)
    monkeypatch.setattr(corpora, "RECIPE", -1)
    with pytest.raises(TypeError):  # a new recipe renders again, and an error leaves nothing behind
        load_corpus("commands")
    assert len([path for path in tiny.iterdir() if path.is_dir()]) == 1


def test_texts_and_voices_are_the_same_at_every_rendering(tiny):
    corpora.render_corpus("digits", tiny / "a")
    corpora.render_corpus("digits", tiny / "b")
    first, second = (corpora._read_manifest(tiny / name / "manifest.tsv") for name in "ab")
    assert first == second and len(first) == 21


def test_rendering_with_a_full_disk_or_in_a_wrong_place(tiny, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    fails("unknown corpus 'nosuch'", corpora.render_corpus, "nosuch", tiny / "a")
    tiny.mkdir()
    fails("cache: exists already", corpora.render_corpus, "digits", tiny)
    with monkeypatch.context() as patch:
        patch.setattr(soundfile, "write", full)
        fails("cannot be written .*No space left.*ASRLIB_CACHE", load_corpus, "digits")
    assert [path.name for path in tiny.iterdir() if path.is_dir()] == []
    (tiny / "file").touch()
    monkeypatch.setenv("ASRLIB_CACHE", str(tiny / "file"))
    fails("the cache cannot be written.*ASRLIB_CACHE", load_corpus, "digits")


PROGRAM = """
from asrlib.data import corpora
corpora.SIZES = {"digits": {"train": 400, "dev": 2, "test": 2}}
print(len(corpora.load_corpus("digits")))
"""


def start(tiny):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "ASRLIB_CACHE": str(tiny)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def folders(place, pattern):
    return [path for path in place.glob(pattern) if path.is_dir()]


@pytest.mark.skipif(os.name == "nt", reason="no kill -9 and no file locks")
def test_killed_while_rendering_then_two_processes_at_once(tiny):
    victim = start(tiny)
    while not list(tiny.glob(".digits-*/audio/*50.flac")):
        assert victim.poll() is None, victim.communicate()[1]
        time.sleep(0.01)
    victim.kill()
    victim.communicate()
    assert not list(tiny.glob("digits-*")) and folders(tiny, ".digits-*")

    both = [start(tiny), start(tiny)]
    for process in both:
        out, error = process.communicate()
        assert out == "404\n", error
    assert len(folders(tiny, "digits-*")) == 1 and not folders(tiny, ".digits-*")


# -------------------------------------------------------------------------------- connected digits


@pytest.fixture
def isolated(tmp_path):
    """Two speakers, each digit twice: a tone of its own pitch between silences of faint noise, at 8 kHz."""
    noise = np.random.default_rng(0)
    rows = []
    for speaker, base in (("ann", 500), ("bob", 900)):
        for take in range(2):
            for number, digit in enumerate(DIGITS):
                wave = np.sin(2 * np.pi * (base + 50 * number) * np.arange(2400) / 8000)
                samples = np.pad(0.3 * wave, (800, 1600)) + 1e-3 * noise.standard_normal(4800)
                name = f"{digit}-{speaker}-{take}.wav"
                soundfile.write(tmp_path / name, samples, 8000)
                rows.append(f"{name}\t{speaker}\t{digit.upper()}")
    soundfile.write(tmp_path / "hello.wav", tone(), 16_000)
    rows.append("hello.wav\tcid\thello there")
    (tmp_path / "manifest.tsv").write_text("\n".join(["path\tspeaker\ttext", *rows]) + "\n")
    return load_corpus(tmp_path)


def test_connected_digits(isolated):
    cuts = list(connected_digits(isolated, None, 60, seed=1))
    assert len(cuts) == 60 and Counter(c.supervisions[0].speaker for c in cuts) == {"ann": 30, "bob": 30}
    assert {len(c.supervisions[0].text.split()) for c in cuts} == set(range(1, 8))
    pauses = []
    for cut in cuts:
        supervision, samples = cut.supervisions[0], cut_audio(cut)
        items = supervision.alignment["word"]
        assert " ".join(item.symbol for item in items) == supervision.text
        base = {"ann": 500, "bob": 900}[supervision.speaker]
        for item in items:
            assert item.duration == pytest.approx(0.3, abs=0.021)
            # the tone between the word's times is the one of that digit of that speaker
            middle = samples[int(item.start * 8000) + 200 : int(item.end * 8000) - 200]
            peak = np.abs(np.fft.rfft(middle, 8000)).argmax()
            assert abs(peak - (base + 50 * DIGITS.index(item.symbol))) <= 10
        pauses += [b.start - a.end for a, b in zip(items, items[1:], strict=False)]
        # pauses hold the recordings' own noise, neither silence nor more
        lead = samples[: int(items[0].start * 8000) - 400]
        if len(lead) > 200:
            assert 3e-4 < lead.std() < 2e-3
        np.testing.assert_array_equal(samples, cut.load_audio()[0])
    assert 0.15 < np.mean(np.array(pauses) < 0.09) < 0.45 and max(pauses) < 0.5


def test_pauses_between_digits_hiss_as_loud_as_the_recordings(tmp_path):
    noise = np.random.default_rng(0)
    tone = 0.3 * np.sin(2 * np.pi * 500 * np.arange(2400) / 8000)
    rows = []
    for number, digit in enumerate(DIGITS * 2):
        # every other one is trimmed to the bone: its quietest part is speech
        samples = tone if number % 2 else np.pad(tone, (800, 1600))
        samples = samples + 0.02 * noise.standard_normal(len(samples))
        soundfile.write(tmp_path / f"{number}.wav", samples, 8000)
        rows.append(f"{number}.wav\tann\t{digit}")
    (tmp_path / "manifest.tsv").write_text("\n".join(["path\tspeaker\ttext", *rows]) + "\n")
    for cut in connected_digits(load_corpus(tmp_path), ["ann"], 20, seed=1):
        ends = cut_audio(cut)[:400], cut_audio(cut)[-400:]  # 50 ms, the shortest of pauses at the ends
        assert all(0.013 < end.std() < 0.023 for end in ends)


def test_connected_digits_are_a_function_of_the_seed(isolated):
    def everything(seed):
        cuts = connected_digits(isolated, ["bob"], 5, seed)
        return [(cut.id, cut.supervisions[0].text, cut_audio(cut).tobytes()) for cut in cuts]

    assert everything(3) == everything(3) != everything(4)


def test_connected_digits_with_bad_input(isolated, tmp_path):
    fails("unknown speaker 'dan'; the corpus has ann, bob, cid", connected_digits, isolated, ["dan"], 3)
    fails("speaker 'cid' has no recording of one digit word", connected_digits, isolated, ["ann", "cid"], 3)
    fails("n=0; at least one utterance", connected_digits, isolated, None, 0)
    no_digits = isolated.filter(lambda cut: "hello" in cut.id)
    fails("no cut of the corpus is one digit word", connected_digits, no_digits, None, 3)
    mixed = isolated + load_corpus(make_folder(tmp_path / "mixed", ["a.wav\tann\tone"]))
    fails(r"several sampling rates, \[8000, 16000\] Hz", connected_digits, mixed, None, 3)


@needs_real
@pytest.mark.real
def test_connected_digits_of_real_speakers():
    cuts = connected_digits(load_corpus(REAL / "fsdd"), ["george", "nicolas"], 50, seed=0)
    assert {cut.supervisions[0].speaker for cut in cuts} == {"george", "nicolas"}
    for cut in cuts:
        samples = cut_audio(cut)
        loud = np.abs(samples).max()
        for item in cut.supervisions[0].alignment["word"]:
            assert np.abs(samples[int(item.start * 8000) : int(item.end * 8000)]).max() > 0.05 * loud


@needs_real
@pytest.mark.real
@pytest.mark.parametrize(
    "name, count", [("fsdd", 2000), ("librispeech-251", 248), ("speechocean-train", 2500)]
)
def test_folders_of_real_recordings_load_in_seconds(name, count):
    import lhotse  # noqa: F401  its import is not what is timed

    start = time.perf_counter()
    cuts = load_corpus(REAL / name)
    assert time.perf_counter() - start < 10
    assert len(cuts) == count and {cut.custom["split"] for cut in cuts} == {"train", "dev", "test"}
    for cut in list(cuts)[:5]:
        assert len(cut_audio(cut)) == cut.num_samples


# -------------------------------------------------------------------------------- the kit's clips


def test_clips():
    cuts = list(clips())
    assert 6 <= len(cuts) <= 10 and len({cut.supervisions[0].speaker for cut in cuts}) >= 5
    size = 0
    for cut in cuts:
        supervision, samples = cut.supervisions[0], cut_audio(cut)
        items = supervision.alignment["word"]
        assert [item.symbol for item in items] == supervision.text.split() and supervision.alignment["phone"]
        speech = [np.sqrt((samples[int(i.start * 16_000) : int(i.end * 16_000)] ** 2).mean()) for i in items]
        margin = np.sqrt((samples[: int(items[0].start * 16_000)] ** 2).mean())
        assert min(speech) > 10 * margin
        size += Path(cut.recording.sources[0].source).stat().st_size
    assert size < 600_000


def test_clips_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("ASRLIB_DATA", str(tmp_path))
    fails("clips: the kit's clips are not here; set ASRLIB_DATA", clips)
    make_folder(tmp_path / "clips", ["a.wav\ts\tone"])
    assert len(clips()) == 1

"""asrlib.data.connected: isolated digits strung into utterances."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from folders import fails, make_folder, tone

from asrlib.data.audio import cut_audio
from asrlib.data.connected import connected_digits
from asrlib.data.grammar import DIGITS
from asrlib.data.manifest import load_folder

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "real"


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
    return load_folder(tmp_path)


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
    for cut in connected_digits(load_folder(tmp_path), ["ann"], 20, seed=1):
        ends = cut_audio(cut)[:400], cut_audio(cut)[-400:]  # 50 ms, the shortest of pauses at the ends
        assert all(0.013 < end.std() < 0.023 for end in ends)


def test_connected_digits_are_a_function_of_the_seed(isolated):
    def everything(seed):
        cuts = connected_digits(isolated, ["bob"], 5, seed)
        return [(cut.id, cut.supervisions[0].text, cut_audio(cut).tobytes()) for cut in cuts]

    assert everything(3) == everything(3) != everything(4)


def test_a_share_of_the_digits_is_cut_closely(isolated):
    def lengths(closely):
        cuts = connected_digits(isolated, ["ann"], 60, seed=1, closely=closely)
        return [item.duration for cut in cuts for item in cut.supervisions[0].alignment["word"]]

    whole, half, all_ = (lengths(share) for share in (0.0, 0.5, 1.0))
    assert min(whole) > 0.27 and min(all_) > 0.11
    shorter = [float(np.mean(np.array(each) < 0.27)) for each in (half, all_)]
    assert 0.1 < shorter[0] < 0.75 * shorter[1] < 0.5


def test_connected_digits_with_bad_input(isolated, tmp_path):
    fails("unknown speaker 'dan'; the corpus has ann, bob, cid", connected_digits, isolated, ["dan"], 3)
    fails(
        "speaker 'cid' has no recording of a single digit word", connected_digits, isolated, ["ann", "cid"], 3
    )
    fails("n is 0; it must be at least 1", connected_digits, isolated, None, 0)
    fails("closely is 1.5; it must be from 0 to 1", connected_digits, isolated, ["ann"], 3, closely=1.5)
    no_digits = isolated.filter(lambda cut: "hello" in cut.id)
    fails("no cut of the corpus is a single digit word", connected_digits, no_digits, None, 3)
    mixed = isolated + load_folder(make_folder(tmp_path / "mixed", ["a.wav\tann\tone"]))
    fails(r"several sample rates, \[8000, 16000\] Hz", connected_digits, mixed, None, 3)


@pytest.mark.skipif(not REAL.is_dir(), reason="the folder of real recordings is absent")
@pytest.mark.real
def test_connected_digits_of_real_speakers():
    cuts = connected_digits(load_folder(REAL / "fsdd"), ["george", "nicolas"], 50, seed=0)
    assert {cut.supervisions[0].speaker for cut in cuts} == {"george", "nicolas"}
    for cut in cuts:
        samples = cut_audio(cut)
        loud = np.abs(samples).max()
        for item in cut.supervisions[0].alignment["word"]:
            assert np.abs(samples[int(item.start * 8000) : int(item.end * 8000)]).max() > 0.05 * loud

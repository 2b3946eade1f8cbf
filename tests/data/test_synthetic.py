"""asrlib.data.synthetic: corpora rendered once, whole, and with voices of one split each."""

import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from folders import fails

from asrlib.data import synthetic
from asrlib.data.audio import cut_audio
from asrlib.data.espeak import synthesize
from asrlib.data.grammar import COMMANDS, DIGITS
from asrlib.data.synthetic import SYNTHETIC, voice_pools

SIZES = {"train": 12, "dev": 4, "test": 5}
TINY = {corpus.name: replace(corpus, sizes=SIZES) for corpus in SYNTHETIC}


@pytest.mark.parametrize("name", TINY)
def test_texts_times_and_audio(cache, name):
    cuts = list(TINY[name].load())
    assert Counter(cut.custom["split"] for cut in cuts) == SIZES
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
            assert len(words) == 1 and words[0] in COMMANDS
        samples = cut_audio(cut)
        assert len(samples) == cut.num_samples and cut.sampling_rate == 16_000
        assert 0.05 < np.abs(samples).max() <= 1
    assert len(TINY[name].load("dev")) == 4


def test_no_timbre_is_in_two_splits():
    for foreign in (False, True):
        pools = voice_pools(foreign)
        assert pools == voice_pools(foreign)
        timbres = {split: {voice.split("+")[1] for voice in pool} for split, pool in pools.items()}
        assert min(map(len, timbres.values())) > 20
        for one, other in (("train", "dev"), ("train", "test"), ("dev", "test")):
            assert not timbres[one] & timbres[other]


def test_a_corpus_is_rendered_once(cache, monkeypatch):
    first = cut_audio(TINY["commands"].load()[0])
    monkeypatch.setattr(synthetic, "synthesize", None)
    np.testing.assert_array_equal(cut_audio(TINY["commands"].load()[0]), first)
    monkeypatch.setattr(synthetic, "RECIPE", -1)
    with pytest.raises(TypeError):  # a new recipe renders again, and an error leaves nothing behind
        TINY["commands"].load()
    assert len([path for path in cache.iterdir() if path.is_dir()]) == 1


def test_a_corpus_is_the_same_at_every_rendering(cache):
    TINY["digits"].prepare(cache / "a")
    synthesize("something else in between", "en-us+klatt4")
    TINY["digits"].prepare(cache / "b")
    files = [path.relative_to(cache / "a") for path in sorted((cache / "a").rglob("*")) if path.is_file()]
    assert len(files) == 21 + 2
    for file in files:
        assert (cache / "a" / file).read_bytes() == (cache / "b" / file).read_bytes(), file


def test_rendering_with_a_full_disk_or_in_a_wrong_place(cache, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    cache.mkdir()
    fails("cache: already exists", TINY["digits"].prepare, cache)
    with monkeypatch.context() as patch:
        patch.setattr(soundfile, "write", full)
        fails("cannot be written .*No space left.*ASRLIB_CACHE", TINY["digits"].load)
    assert [path.name for path in cache.iterdir() if path.is_dir()] == []
    (cache / "file").touch()
    monkeypatch.setenv("ASRLIB_CACHE", str(cache / "file"))
    fails("the cache cannot be written.*ASRLIB_CACHE", TINY["digits"].load)


PROGRAM = """
from dataclasses import replace
from asrlib.data.synthetic import SYNTHETIC
print(len(replace(SYNTHETIC[0], sizes={"train": 400, "dev": 2, "test": 2}).load()))
"""


def start(cache):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "ASRLIB_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def folders_in(place, pattern):
    return [path for path in place.glob(pattern) if path.is_dir()]


@pytest.mark.skipif(os.name == "nt", reason="no kill -9 and no file locks")
def test_killed_while_rendering_then_two_processes_at_once(cache):
    victim = start(cache)
    while not list(cache.glob(".digits-*/audio/*50.flac")):
        assert victim.poll() is None, victim.communicate()[1]
        time.sleep(0.01)
    victim.kill()
    victim.communicate()
    assert not list(cache.glob("digits-*")) and folders_in(cache, ".digits-*")

    both = [start(cache), start(cache)]
    for process in both:
        out, error = process.communicate()
        assert out == "404\n", error
    assert len(folders_in(cache, "digits-*")) == 1 and not folders_in(cache, ".digits-*")


def test_renderings_in_the_cache_of_users_stay_valid(cache):
    """The names of the cache's folders: who changes one makes every user render the corpus again."""
    names = [corpus.folder().relative_to(cache).name for corpus in SYNTHETIC]
    assert names == ["digits-fc2746f8", "commands-bb4dfd5c", "sentences-702c9f42", "dictionary-5e9d5975"]

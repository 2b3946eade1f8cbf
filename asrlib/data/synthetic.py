"""Synthetic corpora: rendered once with espeak-ng, offline, and kept in the cache.

A corpus is an entry of ``SYNTHETIC``. Its texts come from ``asrlib.data.grammar``. Its voices are drawn from
``asrlib.data.voices`` such that no two splits share a voice. Lessons 05, 08 and 09.
"""

import hashlib
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from asrlib.data.cache import cache_folder, one_process_at_a_time
from asrlib.data.dictionary import dictionary_text
from asrlib.data.espeak import SAMPLE_RATE, Utterance, synthesize
from asrlib.data.espeak_library import engine_of_its_own
from asrlib.data.grammar import command_text, digit_text, sentence_text
from asrlib.data.manifest import MANIFEST, SPLITS, load_folder, save_corpus
from asrlib.data.voices import ACCENTS, RESPELLED, timbres

if TYPE_CHECKING:  # importing lhotse takes seconds, so it happens inside the functions
    import lhotse

# Increase it whenever a change below alters what is rendered; caches of the old renderings are then not used.
RECIPE = 4


@dataclass(frozen=True)
class SyntheticCorpus:
    """A corpus that is synthesized; an entry of the registry (``asrlib.data.corpora.Corpus``).

    ``draw_text`` draws the text of an utterance. ``sizes`` is the number of utterances in each split.
    ``foreign_accents`` adds foreign accents to the training split.
    """

    name: str
    draw_text: Callable[[random.Random], str]
    sizes: dict[str, int]
    foreign_accents: bool = False
    license: str = "none needed, it is synthesized"

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the splits."""
        return tuple(self.sizes)

    def folder(self, out: str | Path | None = None) -> Path:
        """Return ``out``, or the folder in the cache, which depends on the recipe and the sizes."""
        if out is not None:
            return Path(out).expanduser().resolve()
        stamp = hashlib.sha256(repr((RECIPE, self.sizes)).encode()).hexdigest()[:8]
        return cache_folder() / f"{self.name}-{stamp}"

    def prepare(self, out: str | Path | None = None) -> Path:
        """Render the corpus into the new folder ``out``, or once into the cache; return the folder.

        Raises ``InputError`` if ``out`` exists, or the folder cannot be written.
        """
        folder = self.folder(out)
        if out is not None:
            render(self, folder)
        elif not (folder / MANIFEST).is_file():
            with one_process_at_a_time(folder):
                if not (folder / MANIFEST).is_file():
                    render(self, folder)
        return folder

    def load(self, split: str | None = None, out: str | Path | None = None) -> "lhotse.CutSet":
        """Return the utterances of a split, rendering the corpus first if the cache does not have it.

        None means all splits. Raises ``InputError`` for a split that does not exist.
        """
        return load_folder(self.prepare() if out is None else self.folder(out), split)


def render(corpus: SyntheticCorpus, folder: Path) -> None:
    """Synthesize a corpus into a new folder: the same samples each time, whatever was synthesized before.

    Raises ``InputError`` if the folder exists or cannot be written.
    """
    from tqdm import tqdm

    total = sum(corpus.sizes.values())
    # disable=None: no progress bar unless standard error is a terminal
    progress = tqdm(_utterances(corpus), f"synthesizing {corpus.name}", total, leave=False, disable=None)
    with engine_of_its_own():
        save_corpus(folder, progress, SAMPLE_RATE)


def _utterances(corpus: SyntheticCorpus) -> Iterator[tuple[Any, ...]]:
    """Yield the tuples that ``save_corpus`` writes."""
    pools = voice_pools(corpus.foreign_accents)
    for split in SPLITS:
        draw = random.Random(f"{corpus.name} {split}")
        for index in range(corpus.sizes[split]):
            voice = draw.choice(pools[split])
            text = corpus.draw_text(draw)
            utterance = synthesize(
                text,
                voice,
                rate=draw.uniform(110, 240),
                pitch=draw.randint(30, 70),
                pitch_range=draw.randint(20, 80),
                gap=draw.choice([0, 0, 0, draw.randint(1, 12)]),
            )
            samples, times = _placed(utterance, draw)
            plain = " ".join(re.sub("[,.]", "", text).split())
            yield f"audio/{split}-{index:05d}.flac", voice, split, plain, samples, times


def voice_pools(foreign: bool) -> dict[str, list[str]]:
    """Return the voices of each split. A timbre belongs to one split only, in all accents.

    ``foreign`` adds foreign accents to the training split.
    """
    draw = random.Random("voices")
    named = list(timbres())
    draw.shuffle(named)
    shares = {"test": named[:12], "dev": named[12:20], "train": named[20:]}
    numbers = {"test": range(2000, 2040), "dev": range(1000, 1020), "train": range(400)}
    pools = {}
    for split in SPLITS:
        accents = list(ACCENTS)
        pools[split] = [f"{accent}+{name}" for name in shares[split] for accent in draw.sample(accents, 3)]
        pools[split] += [f"{draw.choice(accents)}+r{number}" for number in numbers[split]]
    if foreign:
        # in training only: the sound of a respelled word is a guess, which no test should rely on
        pools["train"] += [f"{accent}+r{5000 + i}" for i, accent in enumerate([*RESPELLED] * 8)]
    return pools


def _placed(utterance: Utterance, draw: random.Random) -> tuple[np.ndarray, dict]:
    """Place the speech, at a random level, in low noise with 0.05 to 0.35 s on either side."""
    rate = utterance.sample_rate
    lead, trail = (int(draw.uniform(0.05, 0.35) * rate) for _ in range(2))
    samples = np.pad(utterance.samples * draw.uniform(0.3, 1.8), (lead, trail))
    noise = np.random.default_rng(draw.getrandbits(32)).standard_normal(len(samples), dtype=np.float32)
    samples += noise * 10 ** (draw.uniform(-75, -45) / 20)
    shift = lead / rate
    times = {
        kind: [(symbol, start + shift, end + shift) for symbol, start, end in items]
        for kind, items in (("word", utterance.words), ("phone", utterance.phones))
    }
    return np.clip(samples, -1, 1), times


SYNTHETIC = (
    SyntheticCorpus("digits", digit_text, {"train": 4000, "dev": 200, "test": 400}, foreign_accents=True),
    SyntheticCorpus("commands", command_text, {"train": 4000, "dev": 400, "test": 600}),
    SyntheticCorpus("sentences", sentence_text, {"train": 6000, "dev": 200, "test": 300}),
    SyntheticCorpus("dictionary", dictionary_text, {"train": 8000, "dev": 200, "test": 300}),
)

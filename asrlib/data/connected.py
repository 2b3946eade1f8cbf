"""Connected digits: utterances joined from isolated digit recordings of a speaker. Lesson 09."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from asrlib.data.audio import cut_audio
from asrlib.data.grammar import DIGITS
from asrlib.data.joining import background, cut_closely, join, memory_cut, trim
from asrlib.errors import InputError
from asrlib.extras import extra

if TYPE_CHECKING:  # importing lhotse takes seconds, so it happens inside the functions
    import lhotse
    import lhotse.cut


def connected_digits(
    corpus: "lhotse.CutSet",
    speakers: Sequence[str] | None = None,
    n: int = 1000,
    seed: int = 0,
    closely: float = 0.0,
) -> "lhotse.CutSet":
    """Join isolated digit recordings into ``n`` utterances of 1 to 7 digits, each by one speaker. Lesson 09.

    Only those cuts of ``corpus`` whose text is a single digit word are used. ``speakers`` take turns; None
    means all speakers. Recordings are trimmed to their speech. Each time one is used, with probability
    ``closely`` it is cut once more by `asrlib.data.joining.cut_closely`, which may remove a weak sound at an
    edge. Three in four pauses between digits last 0.05 to 0.4 s, the others 0 s. Pauses contain the
    recordings' own noise, because digital silence would mark the boundaries.

    The audio is held in memory at the recordings' sample rate. ``alignment["word"]`` holds the words' times
    in seconds. The same arguments give the same utterances.

    Raises ``InputError`` for an unknown speaker, a speaker without a digit recording, mixed sample rates,
    ``n`` below 1, or ``closely`` outside 0 to 1.
    """
    with extra("train"):
        from lhotse import CutSet

    if n < 1:
        raise InputError(f"connected_digits: n is {n}; it must be at least 1")
    if not 0 <= closely <= 1:
        raise InputError(f"connected_digits: closely is {closely}; it must be from 0 to 1")
    takes = _digit_recordings(corpus, speakers)
    chosen = list(takes) if speakers is None else list(speakers)
    rate = _common_rate([cut for words in takes.values() for cuts in words.values() for cut in cuts])
    draw = np.random.default_rng(seed)
    trimmed = {
        speaker: {
            word: [trim(cut_audio(cut), rate) for cut in recordings]
            for word, recordings in takes[speaker].items()
        }
        for speaker in dict.fromkeys(chosen[:n])
    }
    noise = {  # from all of a speaker's recordings, which share a background
        speaker: background([take for some in words.values() for take in some])
        for speaker, words in trimmed.items()
    }
    cuts = []
    for index in range(n):
        speaker = chosen[index % len(chosen)]
        recordings = trimmed[speaker]
        known = [digit for digit in DIGITS if digit in recordings]
        parts = []
        for word in draw.choice(known, size=draw.integers(1, 8)):
            take = recordings[word][draw.integers(len(recordings[word]))]
            if closely and draw.random() < closely:
                take = cut_closely(take.samples, rate, draw)
            parts.append((str(word), take))
        samples, words = join(parts, noise[speaker], rate, draw)
        key, text = f"connected-{seed}-{index:05d}-{speaker}", " ".join(word for word, *_ in words)
        cuts.append(memory_cut(key, samples, rate, speaker, text, words))
    return CutSet.from_cuts(cuts).to_eager()


def _digit_recordings(corpus: "lhotse.CutSet", speakers: Sequence[str] | None) -> dict[str, dict[str, list]]:
    """Return the cuts of one digit word, by speaker and word. ``speakers`` None: all, sorted."""
    takes: dict[str, dict[str, list]] = {}
    everyone = set()
    for cut in corpus:
        supervision = cut.supervisions[0]
        everyone.add(str(supervision.speaker))
        word = supervision.text.strip().lower()
        if word in DIGITS:
            takes.setdefault(str(supervision.speaker), {}).setdefault(word, []).append(cut)
    chosen = sorted(takes) if speakers is None else list(speakers)
    if not chosen:
        raise InputError("connected_digits: no cut of the corpus is a single digit word (zero to nine)")
    for speaker in chosen:
        if speaker not in everyone:
            raise InputError(
                f"connected_digits: unknown speaker {speaker!r}; "
                f"the corpus has {', '.join(sorted(everyone)[:20])}"
            )
        if speaker not in takes:
            raise InputError(f"connected_digits: speaker {speaker!r} has no recording of a single digit word")
    return {speaker: takes[speaker] for speaker in chosen}


def _common_rate(cuts: list) -> int:
    rates = {cut.sampling_rate for cut in cuts}
    if len(rates) > 1:
        raise InputError(
            f"connected_digits: the recordings have several sample rates, {sorted(rates)} Hz; "
            "resample them to one (CutSet.resample)"
        )
    return rates.pop()

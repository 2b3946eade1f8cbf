"""An utterance of a corpus with short names for what lessons ask of it: ``clip.text``, ``clip.words``, ...

    clip = asrlib.clips()["audio/digits-1.flac"]
    clip.audio, clip.sampling_rate     samples in [-1, 1], Hz
    clip.text, clip.speaker            what is said, and by whom
    clip.words, clip.phones            [(symbol, start, end), ...] in seconds

lhotse keeps all of this in ``cut.supervisions[0]``. Importing lhotse takes seconds, so this module is
imported where a cut is made. Lesson 00.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from asrlib.data.audio import cut_audio
from asrlib.errors import InputError
from asrlib.extras import extra

with extra("train"):
    from lhotse.cut import MonoCut

Spans = list[tuple[str, float, float]]


class Clip(MonoCut):
    """A lhotse ``MonoCut`` of one utterance, with accessors."""

    @property
    def text(self) -> str:
        """The transcript, as the corpus has it."""
        return self.supervisions[0].text or ""

    @property
    def speaker(self) -> str | None:
        """The speaker's name; for a synthetic corpus, the voice."""
        return self.supervisions[0].speaker

    @property
    def words(self) -> Spans:
        """``(word, start, end)`` in seconds. Raises InputError where the corpus has no times."""
        return self._spans("word")

    @property
    def phones(self) -> Spans:
        """``(phone, start, end)`` in seconds, phones in IPA. Raises InputError where the corpus has none."""
        return self._spans("phone")

    @property
    def audio(self) -> Float[np.ndarray, " samples"]:
        """The samples in [-1, 1] at ``sampling_rate`` Hz, decoded at each access."""
        return cut_audio(self)

    def _spans(self, kind: str) -> Spans:
        alignment = self.supervisions[0].alignment or {}
        if kind not in alignment:
            raise InputError(
                f"{self.id}: the corpus has no {kind} times; align the text with asrlib.ctc_align"
            )
        return [(item.symbol, item.start, item.end) for item in alignment[kind]]

    def to_dict(self) -> dict:
        """Return what lhotse stores: it reads the utterance back as the ``MonoCut`` that it is."""
        return {**super().to_dict(), "type": "MonoCut"}

"""An utterance of a corpus with short attribute names: ``clip.text``, ``clip.words``, ... Lesson 00.

    clip = asrlib.clips()["audio/digits-1.flac"]
    clip.audio, clip.sampling_rate     samples in [-1, 1], and their rate in Hz
    clip.text, clip.speaker            the transcript and the speaker
    clip.words, clip.phones            [(symbol, start, end), ...] in seconds

lhotse keeps all of this in ``cut.supervisions[0]``. Importing lhotse takes seconds, so this module is
imported only where a cut is made.
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
    """A lhotse ``MonoCut`` of one utterance, with short names for its text, speaker, times and audio."""

    @property
    def text(self) -> str:
        """The transcript, as written in the corpus."""
        return self.supervisions[0].text or ""

    @property
    def speaker(self) -> str | None:
        """The speaker's name; for a synthetic corpus, the voice."""
        return self.supervisions[0].speaker

    @property
    def words(self) -> Spans:
        """The words as ``(word, start, end)`` in seconds.

        Raises ``InputError`` if the corpus has no times.
        """
        return self._spans("word")

    @property
    def phones(self) -> Spans:
        """The phones, in IPA, as ``(phone, start, end)`` in seconds.

        Raises ``InputError`` if the corpus has no times.
        """
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
        """Return the fields that lhotse stores. It reads the utterance back as a plain ``MonoCut``."""
        return {**super().to_dict(), "type": "MonoCut"}

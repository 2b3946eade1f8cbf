"""Which frames of a padded batch belong to their utterances. Lesson 03."""

from __future__ import annotations

from functools import cached_property

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def frame_mask(lengths: Int[Tensor, "batch"], frames: int) -> Bool[Tensor, "batch frames"]:
    """True where a frame belongs to its utterance; ``lengths`` in frames."""
    return torch.arange(frames, device=lengths.device) < lengths[:, None]


class FrameMask:
    """A mask that many layers share, with what they look up in it.

    ``valid`` is True where a frame belongs to its utterance. It must not change afterwards.
    """

    def __init__(self, valid: Bool[Tensor, "batch frames"]):
        self.valid = valid

    @classmethod
    def of(cls, mask: FrameMask | Bool[Tensor, "batch frames"] | None) -> FrameMask | None:
        """Wrap a mask that is a tensor; return a ``FrameMask``, or None, as it is."""
        return cls(mask) if isinstance(mask, Tensor) else mask

    @cached_property
    def rows(self) -> Int[Tensor, "valid"]:
        """Numbers of the valid frames among all batch · frames.

        Looked up once, when a layer first asks: the host waits for a GPU's answer.
        """
        return self.valid.flatten().nonzero()[:, 0]

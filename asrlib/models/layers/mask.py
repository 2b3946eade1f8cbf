"""Masks of the valid frames in a padded batch. Lesson 03."""

from __future__ import annotations

from functools import cached_property

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def frame_mask(lengths: Int[Tensor, "batch"], frames: int) -> Bool[Tensor, "batch frames"]:
    """Return a mask that is True where a frame belongs to its utterance. ``lengths`` are in frames."""
    return torch.arange(frames, device=lengths.device) < lengths[:, None]


class FrameMask:
    """A mask shared by many layers, with a cached list of its valid frames.

    ``valid`` is True where a frame belongs to its utterance. It must not change later.
    """

    def __init__(self, valid: Bool[Tensor, "batch frames"]):
        self.valid = valid

    @classmethod
    def of(cls, mask: FrameMask | Bool[Tensor, "batch frames"] | None) -> FrameMask | None:
        """Wrap a tensor in a ``FrameMask``. Return a ``FrameMask`` or None as it is."""
        return cls(mask) if isinstance(mask, Tensor) else mask

    @cached_property
    def rows(self) -> Int[Tensor, "valid"]:
        """The indices of the valid frames among all batch · frames.

        They are computed once, on first use, because the host has to wait for a GPU.
        """
        return self.valid.flatten().nonzero()[:, 0]

    @property
    def lengths(self) -> Int[Tensor, "batch"]:
        """The number of valid frames of each utterance."""
        return self.valid.sum(1)

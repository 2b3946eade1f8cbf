"""Which frames are valid: by hand, and looked up once."""

import torch

from asrlib.models.layers.mask import FrameMask, frame_mask


def test_frame_mask_by_hand():
    mask = frame_mask(torch.tensor([2, 0, 3]), 3)
    assert mask.tolist() == [[True, True, False], [False] * 3, [True] * 3]


def test_the_rows_of_valid_frames_are_looked_up_once():
    mask = FrameMask.of(frame_mask(torch.tensor([2, 0, 3]), 3))
    assert mask.rows.tolist() == [0, 1, 6, 7, 8]
    assert mask.rows is mask.rows


def test_of_keeps_what_is_no_tensor():
    mask = FrameMask(frame_mask(torch.tensor([1]), 2))
    assert FrameMask.of(mask) is mask and FrameMask.of(None) is None

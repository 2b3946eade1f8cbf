import pytest
import torch


@pytest.fixture
def small_tiles(monkeypatch):
    """So that a toy batch has several tiles, and a program several of them."""
    from asrlib.models.kernels import block_end, depthwise, norm_depthwise, tiles

    for module, sizes in {
        tiles: dict(ROWS=4, CHANNELS=8, PROGRAMS=6, PARTS=2),
        depthwise: dict(ROWS_BACK=4),
        norm_depthwise: dict(ROWS=4),
        block_end: dict(LONG=4, NARROW=8),
    }.items():
        for name, value in sizes.items():
            monkeypatch.setattr(module, name, value)
    torch.manual_seed(0)

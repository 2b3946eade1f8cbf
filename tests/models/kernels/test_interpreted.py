"""The kernels' tests, run by Triton's interpreter, which needs no GPU."""

from pathlib import Path

import kernels
import pytest

pytest.importorskip("triton")


@pytest.mark.slow
@kernels.on_cpu_alone
def test_through_the_interpreter():
    here = Path(__file__).parent
    names = ("test_norm.py", "test_depthwise.py", "test_block_end.py", "../test_contextnet_fused.py")
    kernels.run_interpreted(*(here / name for name in names))

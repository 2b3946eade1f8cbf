"""The kernels' tests, run by Triton's interpreter, which needs no GPU."""

from pathlib import Path

import kernels
import pytest

pytest.importorskip("triton")


@pytest.mark.slow
@kernels.on_cpu_alone
def test_through_the_interpreter():
    here = Path(__file__).parent
    names = "test_arguments.py", "test_ctc.py", "test_diagonals.py", "test_rnnt.py", "test_joint.py"
    kernels.run_interpreted(*(here / name for name in names))

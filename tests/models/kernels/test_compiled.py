"""What the interpreter cannot see: that the kernels compile for GPUs old and new, and fit into registers."""

import kernels
import pytest

pytest.importorskip("triton")

from asrlib.models.kernels import block_end, depthwise, norm, norm_depthwise, statistics, tiles  # noqa: E402

pytestmark = kernels.compiles
TYPES = {
    **dict.fromkeys("x y s grad d_x d_s between".split(), "*bf16"),
    **dict.fromkeys("lengths tracked".split(), "*i64"),
    **dict.fromkeys("parts taps out found weight bias sums running_mean running_var".split(), "*fp32"),
    **dict.fromkeys("gate mean d_mean shared by_taps by_norm".split(), "*fp32"),
}


def jobs():
    """Name, kernel, constants and warps, as the training of ContextNet launches them."""
    tile = {"ROWS": tiles.ROWS, "CHANNELS": tiles.CHANNELS}
    active = {"ACTIVATION": "swish", **tile}
    merge = {"ROWS": tiles.PARTS, "CHANNELS": tiles.NARROW}
    yield "sum of parts", tiles.sum_kernel, {"PARTS": tiles.PARTS, "NARROW": tiles.NARROW}, 4
    yield "statistics", statistics.collect_kernel, tile, 8
    yield "merge", statistics.merge_kernel, merge, 4
    yield "finish", statistics.finish_kernel, {"eps": 1e-3, "momentum": 0.01, **merge}, 4
    yield "normalize", norm.normalize_kernel, active, 8
    yield "normalize with tanh", norm.normalize_kernel, {**active, "ACTIVATION": "tanh"}, 8
    yield "norm reduce", norm.reduce_kernel, active, 8
    yield "norm backward", norm.backward_kernel, active, 8
    for stride in 1, 2:
        taps = {"BEFORE": 2, "K": 5, "STRIDE": stride, "CHANNELS": tiles.CHANNELS}
        back, both = {**taps, "ROWS": depthwise.ROWS_BACK}, {**taps, "ROWS": norm_depthwise.ROWS}
        yield f"depthwise, {stride}", depthwise.forward_kernel, {**taps, "ROWS": tiles.ROWS}, 8
        yield f"depthwise backward, {stride}", depthwise.backward_kernel, back, 4
        both |= {"ACTIVATION": "swish"}
        yield f"norm and depthwise backward, {stride}", norm_depthwise.backward_kernel, both, 4
    long = {"LONG": block_end.LONG, "NARROW": block_end.NARROW}
    yield "squeeze", block_end.squeeze_kernel, {**long, "LONG": 2 * block_end.LONG}, 8
    yield "end forward", block_end.forward_kernel, active, 8
    yield "end reduce", block_end.reduce_kernel, {"ACTIVATION": "swish", **long}, 4
    yield "end backward", block_end.backward_kernel, active, 8
    without = dict.fromkeys(("s", "found", "weight", "bias", "shared", "d_s"))
    yield "end backward without shortcut", block_end.backward_kernel, {**active, **without}, 8


@pytest.mark.parametrize("capability", kernels.CAPABILITIES)
@pytest.mark.parametrize("job", list(jobs()), ids=lambda job: job[0])
def test_compiles_without_spills(job, capability):
    _, kernel, constants, warps = job
    compiled = kernels.compile_kernel(kernel, constants, warps, TYPES, capability)
    assert compiled.asm["cubin"]
    assert kernels.spilled_bytes(compiled, capability) == 0

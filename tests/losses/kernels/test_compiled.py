"""What the interpreter cannot see: that the kernels compile for GPUs old and new, and fit into registers."""

import kernels
import pytest

pytest.importorskip("triton")

from asrlib.losses.kernels import arguments, choice, ctc, diagonals, joint, vocabulary  # noqa: E402

pytestmark = kernels.compiles
TYPES = {
    **dict.fromkeys("x logits grad encoder prediction h d_h".split(), "*bf16"),
    **dict.fromkeys("targets labels T_b U_b frames lengths".split(), "*i64"),
    **dict.fromkeys("log_probs log_blank log_label lse out".split(), "*fp32"),
    **dict.fromkeys("by_frame by_label grad_losses scale".split(), "*fp32"),
    **dict.fromkeys(("nodes", "log_p"), "*fp64"),
    "status": "*i32",
    "clamp": "fp32",
}


def jobs():
    """Name, kernel, constants and warps, as the training of ContextNet in bfloat16 launches them."""
    yield "prepare", arguments.prepare_kernel, {"BLOCK": arguments.BLOCK}, 4
    for limited in True, False:
        marks = {"LIMITED": limited, "MINUS": limited, "BLOCK": arguments.BLOCK_ROW}
        yield f"mark, {limited}", arguments.mark_kernel, marks, 4
    yield "ctc sweep", ctc.forward_backward_kernel, {"WRITTEN": True, "BLOCK": 64}, 2
    yield "ctc long sweep", ctc.forward_backward_kernel, {"WRITTEN": True, "BLOCK": choice.LONGEST_ROW}, 8
    yield "ctc gradient", ctc.gradient_kernel, {"BLOCK": 64}, 2
    vocabulary_sizes = {"V": 1000, "BLOCK": vocabulary.BLOCK_V}
    for fused in True, False:
        read = {"FUSED": fused, "CHECKED": True, **vocabulary_sizes}
        yield f"read, {fused}", vocabulary.read_kernel, read, 4
        gradient = {"FUSED": fused, "CLAMPED": not fused, "VISITED": 1e-9, **vocabulary_sizes}
        yield f"gradient, {fused}", vocabulary.gradient_kernel, gradient, 4
    yield "sweep", diagonals.sweep_kernel, {"BLOCK": 64}, 2
    yield "long sweep", diagonals.sweep_kernel, {"BLOCK": choice.LONGEST_ROW}, 16
    yield "flows", diagonals.flow_kernel, {"BLOCK": diagonals.BLOCK}, 4
    tile = {"LABELS": joint.LABELS, "WIDTH": joint.WIDTH}
    for activation in "tanh", "relu", "swish", "linear":
        active = {"ACTIVATION": activation, **tile}
        yield f"hidden, {activation}", joint.hidden_kernel, active, 4
        split = {"SOME": 2, "FRAMES": joint.FRAMES, **active}
        yield f"split, {activation}", joint.split_kernel, split, 4


@pytest.mark.parametrize("capability", kernels.CAPABILITIES)
@pytest.mark.parametrize("job", list(jobs()), ids=lambda job: job[0])
def test_compiles_without_spills(job, capability):
    _, kernel, constants, warps = job
    compiled = kernels.compile_kernel(kernel, constants, warps, TYPES, capability)
    assert compiled.asm["cubin"]
    assert kernels.spilled_bytes(compiled, capability) == 0

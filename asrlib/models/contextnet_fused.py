"""ContextNet's forward pass in training through fused Triton kernels, with less memory traffic. Lesson 04.

`ContextNetEncoder.forward` calls `fused_forward` in training if `can_fuse` allows it: on a GPU, or on a CPU
under Triton's interpreter. A layer consists of a depthwise kernel, a matrix product (cuBLAS), statistics, and
a kernel that normalizes. A layer's norm and the next layer's depthwise convolution are one autograd function,
which keeps and reads less. A block ends with the squeeze, the excitation (PyTorch), and one kernel for gates,
the shortcut's norm, sum and activation. Nothing depends on values that only the device knows, so a CUDA graph
can capture the whole pass.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from asrlib.backend import runs_triton
from asrlib.models.layers.activations import ACTIVATIONS
from asrlib.models.layers.conv import PointwiseConv, SeparableConv, output_length, pad_amounts
from asrlib.models.layers.mask import frame_mask
from asrlib.models.layers.se import SqueezeExcite


def can_fuse(encoder: nn.Module, features: Tensor) -> bool:
    """Return whether the kernels run on the device of `features` and support all of `encoder`'s blocks.

    They do not support Keras's padding, whose amount depends on each utterance's length.
    """
    if torch.compiler.is_compiling() or not runs_triton(features.device, _trial):
        return False
    from asrlib.models.kernels.activations import ACTIVATIONS as known

    convolutions = (module for module in encoder.modules() if isinstance(module, SeparableConv))
    if any(conv.padding == "keras-same" and conv.stride > 1 for conv in convolutions):
        return False
    used = (module for block in encoder.blocks for module in (block, *block.layers))
    return all(_name(module.activation) in known for module in used)


def _trial(device: torch.device) -> None:
    from asrlib.models.kernels.tiles import sum_parts

    sum_parts(torch.zeros(2, 2, device=device))


def fused_forward(
    encoder: nn.Module,
    features: Float[Tensor, "batch frames mels"],
    lengths: Int[Tensor, "batch"] | None = None,
) -> tuple[Float[Tensor, "batch frames_out channels"], Int[Tensor, "batch"]]:
    """Return the training output of `ContextNetEncoder.forward`, and its lengths in frames.

    Features past each length do not matter.
    """
    batch, frames, _ = features.shape
    kind = features.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else features.dtype
    if lengths is None:
        lengths = torch.full((batch,), frames, dtype=torch.long, device=features.device)
    # convert types here: autocast would convert weight by weight, with one launch each
    with torch.autocast(kind, enabled=False):
        weights = _Weights(encoder, dtype)
        x = torch.where(frame_mask(lengths, frames)[..., None], features, 0).to(dtype)
        for block in encoder.blocks:
            lengths_in, lengths = lengths, output_length(lengths, block.stride)
            x = encoder.run_block(_block, block, x, lengths_in, lengths, weights)
    return x, lengths


class _Weights:
    """The encoder's weights in the layout of the kernels, converted together to save two launches per layer.

    taps    filter taps of each separable convolution, (K, C), in their own dtype
    linear  weight and bias of each pointwise convolution, in `dtype`
    """

    def __init__(self, encoder: nn.Module, dtype: torch.dtype):
        self.taps: dict[nn.Module, Tensor] = {}
        separable = [m for m in encoder.modules() if isinstance(m, SeparableConv)]
        for kernel in {m.depthwise.shape[1] for m in separable}:
            some = [m for m in separable if m.depthwise.shape[1] == kernel]
            taps = torch.cat([m.depthwise.detach() for m in some]).T.contiguous()
            self.taps |= zip(some, taps.split([len(m.depthwise) for m in some], 1), strict=True)
        linears = [m.pointwise for m in separable]
        linears += [m.linear for m in encoder.modules() if isinstance(m, PointwiseConv)]
        own = [p.detach() for linear in linears for p in (linear.weight, linear.bias)]
        if own[0].dtype != dtype:
            exact, own = own, [torch.empty_like(p, dtype=dtype) for p in own]
            torch._foreach_copy_(own, exact)
        self.linear = dict(zip(linears, zip(own[::2], own[1::2], strict=True), strict=True))


def _block(block: nn.Module, x: Tensor, lengths: Tensor, lengths_out: Tensor, weights: _Weights) -> Tensor:
    from asrlib.models.kernels.block_end import block_end
    from asrlib.models.kernels.norm import masked_norm

    y, current, before = x, lengths, None
    for layer in block.layers:
        y = _separable(layer.conv, y, weights, before, current)
        current, before = lengths_out if layer.conv.stride > 1 else current, layer
    y = masked_norm(y, current, layer.norm, _name(layer.activation))
    shortcut = norm = excite = None
    parameters: list[Tensor] = []
    if block.shortcut is not None:
        shortcut, norm = _shortcut(block.shortcut, x, weights), block.shortcut_norm
    if block.se is not None and block.se.context == "global":
        excite, parameters = _Excitation(block.se), list(block.se.parameters())
    elif block.se is not None:
        exact = y.to(block.se.down.weight.dtype)
        y = block.se(exact, frame_mask(lengths_out, y.shape[1])).to(y.dtype)
    activation = _name(block.activation) if block.ends_active else "linear"
    if shortcut is None and excite is None and activation == "linear":
        return y
    return block_end(y, shortcut, lengths_out, excite, parameters, norm, activation)


class _Excitation:
    """Compute gates from (B, C) means in the parameters' own precision, which is cheap for so few numbers."""

    def __init__(self, se: SqueezeExcite):
        self.se = se

    def __call__(self, mean: Tensor) -> Tensor:
        hidden = self.se.activation(self.se.down(mean.to(self.se.down.weight.dtype)))
        return self.se.gate(self.se.up(hidden))


def _separable(
    module: SeparableConv,
    x: Tensor,
    weights: _Weights,
    before: nn.Module | None = None,
    lengths: Tensor | None = None,
) -> Tensor:
    """Return `module` of x. If there is a layer `before`, apply its norm and activation to x first."""
    from asrlib.models.kernels.depthwise import depthwise_conv
    from asrlib.models.kernels.norm_depthwise import norm_depthwise

    pads = pad_amounts(module.depthwise.shape[1], module.padding)
    convolution = module.depthwise, weights.taps[module], module.stride, *pads
    if before is None:
        x = depthwise_conv(x, *convolution)
    else:
        x = norm_depthwise(x, lengths, before.norm, _name(before.activation), *convolution)
    return _pointwise(module.pointwise, x, weights)


def _shortcut(module: SeparableConv | PointwiseConv, x: Tensor, weights: _Weights) -> Tensor:
    if isinstance(module, SeparableConv):
        return _separable(module, x, weights)
    return _pointwise(module.linear, x[:, :: module.stride], weights)


def _pointwise(linear: nn.Linear, x: Tensor, weights: _Weights) -> Tensor:
    return _BeforeNorm.apply(x, linear.weight, linear.bias, *weights.linear[linear])


class _BeforeNorm(torch.autograd.Function):
    """x @ weight.T + bias before a batch norm, which subtracts the mean: the gradient of the bias is zero.

    Computed as a sum of rounded numbers it would be noise, and Adam would take steps along it.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, low_weight, low_bias):
        rows = x.reshape(-1, x.shape[-1])
        ctx.save_for_backward(rows, low_weight, bias)
        ctx.shape, ctx.dtype = x.shape, weight.dtype
        return torch.addmm(low_bias, rows, low_weight.T).view(*x.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        rows, low_weight, bias = ctx.saved_tensors
        grad = grad.reshape(-1, grad.shape[-1])
        d_x = torch.mm(grad, low_weight).view(ctx.shape) if ctx.needs_input_grad[0] else None
        d_weight = _product(grad.T, rows, ctx.dtype) if ctx.needs_input_grad[1] else None
        return d_x, d_weight, torch.zeros_like(bias), None, None


def _product(a: Tensor, b: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a @ b in `dtype`. cuBLAS can write its float32 sums without rounding them first."""
    if a.is_cuda and a.dtype != dtype:
        return torch.mm(a, b, out_dtype=dtype)
    return torch.mm(a, b).to(dtype)


def _name(activation) -> str:
    """Return the kernels' name for one of `ACTIVATIONS`, or "" for any other function."""
    names = [name for name, function in ACTIVATIONS.items() if function is activation]
    return next((name for name in names if name != "silu"), "")

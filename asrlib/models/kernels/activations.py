"""Activation functions inside kernels, and their gradients."""

from __future__ import annotations

from typing import no_type_check

import triton
import triton.language as tl

ACTIVATIONS = ("linear", "swish", "relu", "tanh")


# `no_type_check` keeps the tests' shape checker from wrapping functions that Triton must compile.


@triton.jit
@no_type_check
def activate(z, ACTIVATION: tl.constexpr):
    """Return the activation of z, elementwise."""
    if ACTIVATION == "swish":
        z = z / (1 + tl.exp(-z))
    elif ACTIVATION == "relu":
        z = tl.maximum(z, 0)
    elif ACTIVATION == "tanh":
        z = 2 / (1 + tl.exp(-2 * z)) - 1
    return z


@triton.jit
@no_type_check
def activation_grad(grad, z, ACTIVATION: tl.constexpr):
    """Return the gradient with respect to z, given z and the gradient of `activate(z)`."""
    if ACTIVATION == "swish":
        s = 1 / (1 + tl.exp(-z))
        grad = grad * s * (1 + z * (1 - s))
    elif ACTIVATION == "relu":
        grad = tl.where(z > 0, grad, 0.0)
    elif ACTIVATION == "tanh":
        y = 2 / (1 + tl.exp(-2 * z)) - 1
        grad = grad * (1 - y * y)
    return grad

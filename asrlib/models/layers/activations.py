"""The activation functions that a configuration may name. Lesson 02."""

import torch
import torch.nn.functional as F

ACTIVATIONS = {"swish": F.silu, "silu": F.silu, "relu": F.relu, "tanh": torch.tanh, "linear": lambda x: x}

"""Triton kernels for the passes of the losses on a GPU."""

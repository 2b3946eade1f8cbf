"""The losses' passes as Triton kernels, for a GPU."""

"""Triton kernels for the encoder's training step on a GPU. Lesson 04.

Only `models.contextnet_fused` calls them. With TRITON_INTERPRET=1 in the environment before Python starts,
they run slowly on a CPU; the tests use this.
"""

"""The encoder's training step as Triton kernels, for a GPU (Lesson 04).

`models.contextnet_fused` chooses and calls them; nobody needs to call them otherwise. With TRITON_INTERPRET=1
in the environment before Python starts, they run on a CPU, slowly: so they are tested.
"""

"""CUDA kernels: one ``.cu`` file a family, one thin Python launcher beside it.

Nothing here is imported unless a GPU is in use. The CuPy backend runs on CuPy's own functions until a
kernel of a family exists; README, "How to add a kernel", shows the steps.
"""

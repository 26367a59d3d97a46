"""CUDA kernels: one ``.cu`` file a family, one thin Python launcher beside it.

Nothing here is imported unless a GPU is in use. ``launch`` is the road from Python to the files; the CuPy
backend runs on CuPy's own functions where no kernel exists. README, "How to add a kernel", shows the steps.
"""

"""Layers timed through their ops, forward and with all gradients: those of later families, beside PyTorch.

Separable and transposed convolutions, ConvLSTM, attention. Each function takes what makes arrays, and sizes,
and returns a ``Family``: our calls, and PyTorch's on the same memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple


class Family(NamedTuple):
    """One layer on both sides.

    Attributes
    ----------
    ours : dict of str to callable
        ``"forward"`` and ``"both"``.
    torchs : callable
        Given ``torch``, returns the same of PyTorch, one dict for each layout.
    """

    ours: dict
    torchs: Callable


# ---- tapes ------------------------------------------------------------------------------------------------
def tracked(run, arrays, dy) -> dict:
    """Return calls of an op: forward, and with the gradients of all arrays given that of its result."""
    from gpukeras import autograd
    from gpukeras.tensor import Tensor

    inputs, dy = [Tensor(a) for a in arrays], Tensor(dy)

    def both():
        with autograd.GradientTape() as tape:
            tape.watch(inputs)
            y = run(*inputs)
        tape.gradient(y, inputs, dy)

    return {"forward": lambda: run(*inputs), "both": both}


def torch_tracked(torch, run, tensors, dy) -> dict:
    """Return the same of a function of PyTorch."""
    leaves = [t.detach().requires_grad_() for t in tensors]

    def forward():
        with torch.no_grad():
            return run(*leaves)

    return {"forward": forward, "both": lambda: torch.autograd.grad(run(*leaves), leaves, dy)}


def _images(torch, arrays, layout):
    return [torch.from_dlpack(a).permute(0, 3, 1, 2).contiguous(memory_format=layout) for a in arrays]


def _kernels(torch, arrays, layout):
    """Return kernels (*window, I, O) as (O, I, *window)."""
    return [torch.from_dlpack(a).permute(3, 2, 0, 1).contiguous(memory_format=layout) for a in arrays]


def _layouts(torch):
    return torch.contiguous_format, torch.channels_last


# ---- families ---------------------------------------------------------------------------------------------
def separable(values, shape, filters: int) -> Family:
    """A depthwise convolution, 3x3, and one of single positions."""
    from gpukeras import ops

    c = shape[-1]
    x, dy = values.standard_normal(shape), values.standard_normal((*shape[:-1], filters))
    depthwise, pointwise = values.standard_normal((3, 3, c, 1)), values.standard_normal((1, 1, c, filters))

    def torchs(torch):
        from torch.nn.functional import conv2d

        for layout in _layouts(torch):
            a, d = _images(torch, (x, dy), layout)
            k, p = _kernels(torch, (depthwise.swapaxes(-1, -2), pointwise), layout)
            yield torch_tracked(
                torch, lambda a, k, p: conv2d(conv2d(a, k, None, 1, 1, 1, c), p), (a, k, p), d)

    return Family(tracked(lambda *t: ops.separable_conv(*t, padding="same"), (x, depthwise, pointwise), dy),
                  torchs)


def transposed(values, shape, filters: int, window: int) -> Family:
    """A transposed convolution that doubles height and width; the window is even."""
    from gpukeras import ops

    n, height, width, c = shape
    x, dy = values.standard_normal(shape), values.standard_normal((n, 2 * height, 2 * width, filters))
    kernel = values.standard_normal((window, window, filters, c))

    def torchs(torch):
        from torch.nn.functional import conv_transpose2d

        for layout in _layouts(torch):
            (a, d), (k,) = _images(torch, (x, dy), layout), _kernels(torch, (kernel,), layout)
            yield torch_tracked(
                torch, lambda a, k: conv_transpose2d(a, k, None, 2, window // 2 - 1), (a, k), d)

    return Family(tracked(lambda *t: ops.conv_transpose(*t, strides=2, padding="same"), (x, kernel), dy),
                  torchs)


def conv_lstm(values, shape, filters: int) -> Family:
    """A ConvLSTM with a window of 3x3 that returns the states of all steps; ``shape``: (N, T, H, W, C)."""
    from gpukeras.ops.recurrent_convolution import conv_lstm as run

    x, dy = values.standard_normal(shape), values.standard_normal((*shape[:-1], filters))
    weights = [0.1 * values.standard_normal(s) for s in (
        (3, 3, shape[-1], 4 * filters), (3, 3, filters, 4 * filters), (4 * filters,))]

    def torchs(torch):
        from torch_models import ConvLSTM, load

        a, d = (torch.from_dlpack(v).movedim(-1, 2).contiguous() for v in (x, dy))
        layer = ConvLSTM(shape[-1], filters).to(device=a.device, dtype=a.dtype)
        with torch.no_grad():
            load(layer, [torch.from_dlpack(w) for w in weights])
        names = [name for name, _ in layer.named_parameters()]

        def call(a, *weights):
            return torch.func.functional_call(layer, dict(zip(names, weights)), (a,))

        yield torch_tracked(torch, call, (a, *layer.parameters()), d)

    def ours(x, *weights):
        return run(x, None, None, *weights, padding="same")[0]

    return Family(tracked(ours, (x, *weights), dy), torchs)


def attention(values, shape, causal: bool = False) -> Family:
    """Softmax of products of queries and keys, times values; ``shape``: (N, T, heads, width)."""
    from gpukeras import ops

    inputs, dy = [values.standard_normal(shape) for _ in range(3)], values.standard_normal(shape)

    def torchs(torch):
        from torch.nn.functional import scaled_dot_product_attention

        *leaves, d = (torch.from_dlpack(v).transpose(1, 2) for v in (*inputs, dy))
        yield torch_tracked(
            torch, lambda q, k, v: scaled_dot_product_attention(q, k, v, is_causal=causal), leaves, d)

    return Family(tracked(lambda *t: ops.dot_product_attention(*t, is_causal=causal), inputs, dy), torchs)


# ---- operations -------------------------------------------------------------------------------------------
def operations(make, *sizes) -> float:
    """Return the operations of a family's forward pass by the plain algorithm."""
    shape, *rest = sizes
    places, width = math.prod(shape[:-1]), shape[-1]
    if make is separable:
        return 2.0 * places * width * (9 + rest[0])
    if make is transposed:
        return 2.0 * places * width * rest[0] * rest[1] ** 2
    if make is conv_lstm:
        return 2.0 * places * 9 * (width + rest[0]) * 4 * rest[0]
    return 4.0 * places * shape[1] * width / (2 if rest[0] else 1)

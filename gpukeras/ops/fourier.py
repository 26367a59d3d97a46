"""Fourier transforms. Complex numbers travel as pairs of real tensors, as in Keras."""

from __future__ import annotations

from gpukeras import dtypes
from gpukeras.backends.fft import frame_count
from gpukeras.op import op
from gpukeras.tensor import Tensor

from .math import floating
from .padding import pad_constant


# ---- complex signals -------------------------------------------------------------------------------------
def _pair_shape(name, rank):
    def rule(*parts, **settings):
        if len(parts) != 2:
            raise ValueError(f"{name} expects a pair (real part, imaginary part), came {len(parts)} tensors")
        re, im = map(tuple, parts)
        if len(re) != len(im) or any(None not in (n, m) and n != m for n, m in zip(re, im)):
            raise ValueError(f"{name}: the real part has shape {re}, the imaginary part {im}")
        if len(re) < rank:
            raise ValueError(f"{name} needs at least {rank} axes, came shape {re}")
        return [re, re]

    return rule


def _parts(name, x, rank):
    """Return the arrays of a pair, made floating, after checking it."""
    _pair_shape(name, rank)(*(t.shape for t in x))
    kind = dtypes.float_type(dtypes.result_type(*(t.dtype for t in x)))
    return [t.array.astype(kind, copy=False) for t in x]


def _transform(name, x, axes, inverse, norm):
    """Return a transform over ``axes`` with its gradient, which is the transform the other way."""
    re, im = _parts(name, x, len(axes))
    backend = x[0].backend
    other = "forward" if norm == "backward" else "backward"

    def vjp(dy):
        return fourier(_filled(dy), axes, not inverse, other)

    return backend.fourier(re, im, axes, inverse, norm), vjp


def _filled(pair):
    """Return the gradients of a pair, zeros where nothing depends on one of them."""
    re, im = pair
    return _zeros(im) if re is None else re, _zeros(re) if im is None else im


def _zeros(like):
    return Tensor(like.backend.xp.zeros_like(like.array))


@op(shape=_pair_shape("fourier", 1), dtype="float", tensors="list")
def fourier(x, axes, inverse, norm):
    """Do the work of the gradients of ``fft``, ``fft2`` and ``ifft2``."""
    return _transform("fourier", x, axes, inverse, norm)


@op(shape=_pair_shape("fft", 1), dtype="float", tensors="list")
def fft(x):
    """Return the discrete Fourier transform of complex signals, over the last axis.

    Parameters
    ----------
    x : tuple (real part, imaginary part) of tensors of one shape

    Returns
    -------
    tuple (real part, imaginary part), of the same shape

    Notes
    -----
    ``y[k] = sum_t x[t] exp(-2 pi i k t / n)``.

    Examples
    --------
    >>> from gpukeras import ops
    >>> re, im = ops.fft((ops.array([1.0, 0.0, -1.0, 0.0]), ops.zeros(4)))
    >>> re.tolist()
    [0.0, 2.0, 0.0, 2.0]
    """
    return _transform("fft", x, (-1,), False, "backward")


@op(shape=_pair_shape("fft2", 2), dtype="float", tensors="list")
def fft2(x):
    """Return the Fourier transform of complex signals over the last two axes; see ``fft``."""
    return _transform("fft2", x, (-2, -1), False, "backward")


@op(shape=_pair_shape("ifft2", 2), dtype="float", tensors="list")
def ifft2(x):
    """Return the signals whose transform by ``fft2`` the pair ``x`` is.

    Examples
    --------
    >>> from gpukeras import ops
    >>> re, im = ops.ifft2(ops.fft2((ops.array([[1.0, 2.0]]), ops.zeros((1, 2)))))
    >>> re.tolist()
    [[1.0, 2.0]]
    """
    return _transform("ifft2", x, (-2, -1), True, "backward")


# ---- real signals -----------------------------------------------------------------------------------------
def _rfft_shape(x, fft_length=None):
    if not len(x):
        raise ValueError("rfft needs at least one axis, came a scalar")
    size = x[-1] if fft_length is None else fft_length
    shape = (*x[:-1], None if size is None else size // 2 + 1)
    return [shape, shape]


@op(shape=_rfft_shape, dtype="float")
def rfft(x, fft_length=None):
    """Return the Fourier transform of real signals over the last axis: the half that determines the rest.

    Parameters
    ----------
    x : tensor, shape (..., T)
    fft_length : int, optional
        Signals are cut, or filled with zeros, to this length; T unless given.

    Returns
    -------
    tuple (real part, imaginary part), each of shape (..., fft_length // 2 + 1)

    Examples
    --------
    >>> from gpukeras import ops
    >>> re, im = ops.rfft(ops.array([1.0, 0.0, -1.0, 0.0]))
    >>> re.tolist()
    [0.0, 2.0, 0.0]
    """
    _rfft_shape(x.shape)
    return _half(x, x.shape[-1] if fft_length is None else fft_length, False)


@op(shape=lambda re, im, fft_length: (*re[:-1], fft_length), dtype="float", tensors=2)
def half_transposed(re, im, fft_length, weighted):
    """Do the work of the gradient of ``rfft`` (and, weighted, of ``irfft``)."""
    return _half_back(re, im, fft_length, weighted)


@op(shape=lambda x, length, weighted: _rfft_shape(x, length), dtype="float")
def half_weighted(x, length, weighted):
    """Do the work of the gradient of ``irfft``: ``rfft`` with the points counted as ``irfft`` counts them."""
    return _half(x, length, weighted)


def _half(x, length, weighted):
    xp, a = floating(x)
    re, im = x.backend.real_fourier(a, length)
    if weighted:
        counts = _counts(xp, length, re.dtype)
        counts /= length
        re, im = re * counts, im * counts
    size = x.shape[-1]

    def vjp(dy):
        return _fit(half_transposed(*_filled(dy), length, weighted), size)

    return (re, im), vjp


def _half_back(re, im, length, weighted):
    """Return the transpose of ``_half``; weighted, that of the weighted one, which is ``irfft``'s inverse."""
    (xp, a), b = floating(re), floating(im)[1]
    bins, size = length // 2 + 1, re.shape[-1]
    backend = re.backend
    if weighted:
        y = backend.inverse_real_fourier(a, b, length)
    else:
        halves = 1 / _counts(xp, length, a.dtype)[: min(bins, size)]
        y = backend.inverse_real_fourier(a[..., :bins] * halves, b[..., :bins] * halves, length, "forward")

    def vjp(dy):
        pair = half_weighted(dy, length, weighted)
        return _fit(pair[0], size), _fit(pair[1], size)

    return y, vjp


def _counts(xp, length: int, kind):
    """Return how often each point of the half occurs in the whole: the ends once, the others twice."""
    counts = xp.full((length // 2 + 1,), 2, kind)
    counts[:1] = 1
    if length % 2 == 0:
        counts[-1:] = 1
    return counts


def _fit(x, size: int):
    """Return ``x`` with its last axis cut or filled with zeros to ``size``."""
    have = x.shape[-1]
    if have > size:
        return x[..., :size]
    if have < size:
        return pad_constant(x, [(0, 0)] * (x.ndim - 1) + [(0, size - have)], 0)
    return x


def _irfft_shape(*parts, fft_length=None):
    re = _pair_shape("irfft", 1)(*parts)[0]
    size = fft_length
    if size is None:
        size = None if re[-1] is None else 2 * (re[-1] - 1)
    return (*re[:-1], size)


@op(shape=_irfft_shape, dtype="float", tensors="list")
def irfft(x, fft_length=None):
    """Return the real signals whose transform by ``rfft`` the pair ``x`` is.

    Parameters
    ----------
    x : tuple (real part, imaginary part) of tensors, shape (..., K)
    fft_length : int, optional
        Length of the signals; ``2 (K - 1)`` unless given, which is even.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.irfft(ops.rfft(ops.array([0.0, 1.0, 2.0, 3.0]))).tolist()
    [0.0, 1.0, 2.0, 3.0]
    """
    re, im = _parts("irfft", x, 1)
    length = 2 * (re.shape[-1] - 1) if fft_length is None else fft_length
    return _half_back(Tensor(re), Tensor(im), length, True)


# ---- signals in pieces ------------------------------------------------------------------------------------
def _frames_shape(x, sequence_length, sequence_stride):
    for name, value in (("sequence_length", sequence_length), ("sequence_stride", sequence_stride)):
        if value < 1:
            raise ValueError(f"extract_sequences: {name} must be at least 1, came {value}")
    if not len(x):
        raise ValueError("extract_sequences needs at least one axis, came a scalar")
    count = None if x[-1] is None else frame_count(x[-1], sequence_length, sequence_stride)
    return (*x[:-1], count, sequence_length)


@op(shape=_frames_shape)
def extract_sequences(x, sequence_length, sequence_stride):
    """Return overlapping pieces of signals.

    Parameters
    ----------
    x : tensor, shape (..., T)
    sequence_length : int
        Elements of a piece.
    sequence_stride : int
        From the beginning of one piece to that of the next.

    Returns
    -------
    tensor, shape (..., (T - sequence_length) // sequence_stride + 1, sequence_length)

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.extract_sequences(ops.arange(5), 3, 2).tolist()
    [[0, 1, 2], [2, 3, 4]]
    """
    _frames_shape(x.shape, sequence_length, sequence_stride)
    total = x.shape[-1]

    def vjp(dy):
        return overlap_add(dy, sequence_stride, total)

    return x.backend.frames(x.array, sequence_length, sequence_stride), vjp


@op(shape=lambda x, sequence_stride, total: (*x[:-2], total))
def overlap_add(x, sequence_stride, total):
    """Return the sums of overlapping pieces: the gradient of ``extract_sequences``."""
    count, length = x.shape[-2:]

    def vjp(dy):
        return extract_sequences(dy, length, sequence_stride)[..., :count, :]

    return x.backend.overlap_add(x.array, sequence_stride, total), vjp

"""Attention: every query takes a mean of the values, weighted by how well their keys go with it."""

from __future__ import annotations

import math
from typing import Any

from gpukeras import autograd, dtypes
from gpukeras.backends.attention import in_c_order
from gpukeras.op import op
from gpukeras.ops.dropout import _draw_factor, _generator
from gpukeras.ops.normalization import _differentiate
from gpukeras.tensor import Tensor

_STATE = autograd.STATE
HIDDEN = {"float16": -3e4}  # added to scores that do not count; other types: -1e9
IDLE = ("flow", "mean", "zero")


# ---- shapes ------------------------------------------------------------------------------------------
def _check(query, key, value) -> None:
    """Raise where the shapes of queries, keys and values do not go together."""
    shapes = tuple(map(tuple, (query, key, value)))
    q, k, v = shapes
    came = f"came query {q}, key {k}, value {v}"
    if len({len(s) for s in shapes}) > 1 or len(q) not in (3, 4):
        raise ValueError(
            "attention: query, key and value need the axes (batch, time, heads, features), or all of them "
            f"(batch, time, features); {came}"
        )

    def same(*sizes):
        return len({n for n in sizes if n is not None}) <= 1

    if not same(q[0], k[0], v[0]) or not same(k[1], v[1]) or not same(q[-1], k[-1]):
        raise ValueError(
            "attention: the batch sizes must be equal, keys and values equally many, and queries and keys of "
            f"one width; {came}"
        )
    if len(q) == 4 and (not same(k[2], v[2]) or None not in (q[2], k[2]) and q[2] % max(k[2], 1)):
        raise ValueError(
            "attention: there must be as many heads of keys as of values, and a multiple of that of queries; "
            f"{came}"
        )


def _shape(query, key, value, bias=None, mask=None, *args, scores=None, **kwargs):
    _check(query, key, value)
    y = (*query[:-1], value[-1])
    if scores is None:
        return y
    heads = (query[2],) if len(query) == 4 else ()
    return [y, (query[0], *heads, query[1], key[1])]


def _dtype(query, key, value, bias=None, mask=None, *args, scores=None, **kwargs):
    kind = dtypes.float_type(dtypes.result_type(query, key, value)).name
    return kind if scores is None else [kind, kind]


# ---- ops ---------------------------------------------------------------------------------------------
@op(shape=_shape, dtype=_dtype, tensors=5)
def attention(query, key, value, bias=None, mask=None, *, scale=1.0, causal=False, window=None, rate=0.0,
              seed=None, idle="flow", scores=None):
    """Return softmax(query key^T scale + bias) value over what a mask lets count.

    Parameters
    ----------
    query : tensor, shape (B, T, N, H)
        N heads. Without the axis of heads, (B, T, H), there is one.
    key : tensor, shape (B, S, K, H)
        Where N is a multiple of K, neighbouring heads share a key.
    value : tensor, shape (B, S, K, V)
    bias : tensor, optional
        Broadcasts to (B, N, T, S).
    mask : tensor, optional
        Where false, a score does not count; broadcasts to (B, N, T, S).
    scale : float
    causal : bool
        Query t sees keys 0 to t only.
    window : int, optional
        Query t sees keys less than so far from t only.
    rate : float
        Dropout of the softmax; ``seed`` as in ``ops.dropout``.
    idle : {"flow", "mean", "zero"}
        What becomes of a query that sees nothing. ``"mean"``: the mean of all values, whatever the scores;
        ``"zero"``: zeros; ``"flow"``: scores that are rounded off, as large a number is subtracted from
        all, but have their gradient. These are the meanings of three layers and functions of Keras.
    scores : {None, "plain", "dropped"}
        Return the softmax as well, (B, N, T, S), before or after dropout.

    Returns
    -------
    tensor, shape (B, T, N, V), or that and the softmax
    """
    _check(query.shape, key.shape, value.shape)
    call = _Call(query, key, value, bias, mask, scale, causal, window, idle)
    return call.run(_Drop(query.backend, rate, seed) if rate else None, scores)


@op(shape=_shape, dtype=_dtype, tensors=5)
def dot_product_attention(query, key, value, bias=None, mask=None, scale=None, is_causal=False,
                          flash_attention=None, attn_logits_soft_cap=None):
    """Return attention with scaled dot products: softmax(query key^T scale + bias) value.

    Parameters
    ----------
    query : tensor, shape (B, T, N, H)
    key : tensor, shape (B, S, K, H)
        N is a multiple of K; neighbouring heads of queries share a key.
    value : tensor, shape (B, S, K, V)
    bias : tensor, optional
        Added to the scores; broadcasts to (B, N, T, S).
    mask : boolean tensor, optional
        Which scores count; broadcasts to (B, N, T, S). A query for which none does gets the mean of all
        values.
    scale : float, optional
        ``1 / sqrt(H)`` unless given.
    is_causal : bool
        Whether query t sees keys 0 to t only.
    flash_attention : bool, optional
        Accepted as Keras has it; there is one way to compute, whatever it says.
    attn_logits_soft_cap : float, optional
        Limit of the scores: ``cap * tanh(score / cap)`` takes their place.

    Returns
    -------
    tensor, shape (B, T, N, V)

    References
    ----------
    Vaswani et al., 2017, arXiv:1706.03762. Ainslie et al., 2023, arXiv:2305.13245 (shared keys).

    Examples
    --------
    >>> import gpukeras as keras
    >>> query, key = keras.ops.ones((2, 4, 8, 16)), keras.ops.ones((2, 6, 8, 16))
    >>> keras.ops.dot_product_attention(query, key, key).shape
    (2, 4, 8, 16)
    """
    if query.ndim != 4:
        raise ValueError(
            "dot_product_attention: query, key and value need the axes (batch, time, heads, features), came "
            f"query of shape {query.shape}"
        )
    _check(query.shape, key.shape, value.shape)
    scale = 1 / math.sqrt(max(1, query.shape[-1])) if scale is None else float(scale)
    call = _Call(query, key, value, bias, mask, scale, is_causal, None, "mean", attn_logits_soft_cap)
    return call.run_as_formula() if attn_logits_soft_cap else call.run(None, None)


class _Drop:
    """Dropout of a softmax, as backends want it."""

    def __init__(self, backend, rate, seed):
        if isinstance(rate, bool) or not 0 <= rate <= 1:
            raise ValueError(f"attention: the dropout rate must lie between 0 and 1, came {rate!r}")
        self.backend, self.rate, self.seed = backend, float(rate), seed

    def factor(self, shape, dtype):
        """Return what a softmax of this shape is to be multiplied by."""
        return _draw_factor(self.seed, self.backend, shape, self.rate, dtype)

    def __call__(self, p):
        """Return dropout of ``p`` and the function that makes its gradient."""
        backend = self.backend
        fused = backend.fused_dropout(lambda: _generator(backend, self.seed), p, self.rate)
        if fused is not None:
            return fused
        factor = self.factor(p.shape, p.dtype)
        return backend.times(p, factor), lambda d: backend.times(d, factor)


class _Call:
    """One attention: arrays with heads before time, what is added to the scores, and which queries see."""

    def __init__(self, query, key, value, bias, mask, scale, causal, window, idle, cap=None):
        self.inputs = query, key, value, bias
        self.backend = query.backend
        self.kind = dtypes.float_type(dtypes.result_type(*(x.dtype.name for x in (query, key, value))))
        self.scale, self.idle, self.cap = scale, idle, cap
        self.rank = query.ndim
        xp = self.backend.xp
        self.sizes = query.shape[1], key.shape[1]
        shape = (query.shape[0], query.shape[2] if self.rank == 4 else 1, *self.sizes)
        seen: Any = None if mask is None else _wide("mask", mask.array.astype(bool), shape, self.rank)
        near = self._near(xp, causal, window)
        if near is not None:
            seen = near[None, None] if seen is None else xp.logical_and(seen, near)
        self.hidden: Any = None
        self.alive: Any = None
        if idle != "flow" and not (mask is None and window is None):  # else every query sees something
            self.alive = seen.any(axis=-1, keepdims=True)
        if seen is not None:
            self.hidden = xp.logical_not(seen).astype(self.kind)
            self.hidden *= HIDDEN.get(self.kind.name, -1e9)
        self.bias: Any = None if bias is None else _wide("bias", bias.array, shape, self.rank)

    def _near(self, xp, causal, window):
        """Return which keys each query may see by their places, (T, S)."""
        if not causal and window is None:
            return None
        ahead = xp.arange(self.sizes[1]) - xp.arange(self.sizes[0])[:, None]
        if window is None:
            return ahead <= 0
        near = ahead > -window
        return xp.logical_and(near, ahead <= 0 if causal else ahead < window)

    def _arrays(self):
        found = []
        for x in self.inputs[:3]:
            a = x.array.astype(self.kind, copy=False)
            found.append(a[:, None] if self.rank == 3 else a.swapaxes(1, 2))
        return found

    def _back(self, a):
        """Return an array with heads first as the caller has it."""
        return a[:, 0] if self.rank == 3 else a.swapaxes(1, 2)

    def run(self, drop, scores):
        """Return result and vjp of the op."""
        backend, xp = self.backend, self.backend.xp
        q, k, v = self._arrays()
        alive = None if self.alive is None else self.alive.astype(self.kind)
        bias, extra = self.bias, self.hidden
        if alive is not None and self.idle == "mean":
            q = q * alive
            bias = None if bias is None else bias * alive
        if bias is not None:
            bias = bias.astype(self.kind, copy=False)
            extra = bias if extra is None else extra + bias
        y, seen = backend.attention_forward(q, k, v, extra, self.scale, drop)
        idle_zero = alive is not None and self.idle == "zero"
        result = y * alive if idle_zero else y

        def vjp(dys):
            dy, dp = dys if scores else (dys, None)
            if _STATE.tapes:
                return self._second_order(dys if scores else (dy,), drop and seen, scores)
            g = xp.zeros(y.shape, y.dtype) if dy is None else self._heads(dy.array)
            given = None if dp is None else self._scores(dp.array)
            if idle_zero:
                g = g * alive
                given = None if given is None else given * alive
            named = {"ddropped" if scores == "dropped" else "dp": given}
            dq, dk, dv, ds = backend.attention_backward(g, y, seen, self.bias is not None, **named)
            if alive is not None and self.idle == "mean":
                dq = dq * alive
                ds = None if ds is None else ds * alive
            return (*(_like(self._back(d), x) for d, x in zip((dq, dk, dv), self.inputs)),
                    None if ds is None else _unbroadcast(ds, self.bias.shape, self.inputs[3]), None)

        found = in_c_order(self._back(result))
        if not scores:
            return found, vjp
        p = backend.attention_weights(seen)[scores == "dropped"]
        p = p * alive if idle_zero else p
        return (found, p[:, 0] if self.rank == 3 else p), vjp

    def _heads(self, a):
        a = a.astype(self.kind, copy=False)
        return a[:, None] if self.rank == 3 else a.swapaxes(1, 2)

    def _scores(self, a):
        a = a.astype(self.kind, copy=False)
        return a[:, None] if self.rank == 3 else a

    # ---- as ops ---------------------------------------------------------------------------------------
    def run_as_formula(self):
        """Return result and vjp of the op by other ops; its gradient runs through the formula once more."""
        with autograd.no_recording():
            y = self._formula(None, None)(*self.inputs)

        def vjp(dy):
            return (*_differentiate(self._formula(None, None), self.inputs, (dy,)), None)

        return y.array, vjp

    def _second_order(self, dys, seen, scores):
        factor = None
        if seen is not None:  # what dropout multiplied by
            p, dropped = self.backend.attention_weights(seen)
            undo = getattr(seen, "undo", None)
            factor = Tensor(seen.factor if undo is None else undo(self.backend.xp.ones_like(p)))
        return (*_differentiate(self._formula(factor, scores), self.inputs, dys), None)

    def _formula(self, factor, scores):
        from gpukeras import ops

        alive = None if self.alive is None else Tensor(self.alive)

        def formula(query, key, value, bias):
            q, k, v = (ops.cast(x, self.kind.name) for x in (query, key, value))
            if self.rank == 3:
                q, k, v = (ops.expand_dims(x, 1) for x in (q, k, v))
            else:
                k, v = (ops.repeat(x, query.shape[2] // x.shape[2], axis=2) for x in (k, v))
                q, k, v = (ops.swapaxes(x, 1, 2) for x in (q, k, v))
            if alive is not None and self.idle == "mean":
                q = q * ops.cast(alive, q.dtype)
            s = ops.matmul(q, ops.swapaxes(k, -1, -2)) * self.scale
            if self.cap:
                s = ops.tanh(s / self.cap) * self.cap
            if bias is not None:
                wide = ops.reshape(bias, self.bias.shape)
                if alive is not None and self.idle == "mean":
                    wide = wide * ops.cast(alive, q.dtype)
                s = s + ops.cast(wide, q.dtype)
            s = s if self.hidden is None else s + Tensor(self.hidden)
            p = ops.softmax(s)
            dropped = p if factor is None else p * factor
            y = ops.matmul(dropped, v)
            p = dropped if scores == "dropped" else p
            if alive is not None and self.idle == "zero":
                y, p = y * ops.cast(alive, y.dtype), p * ops.cast(alive, p.dtype)
            y = ops.squeeze(y, 1) if self.rank == 3 else ops.swapaxes(y, 1, 2)
            if not scores:
                return y
            return y, ops.squeeze(p, 1) if self.rank == 3 else p

        return formula


def _wide(name, a, shape, rank):
    """Return ``a`` with four axes, after a check that it broadcasts to (B, N, T, S)."""
    wanted = shape if rank == 4 else (shape[0], *shape[2:])
    fits = a.ndim <= rank and all(n in (1, m) for n, m in zip(a.shape[::-1], wanted[::-1]))
    if not fits:
        raise ValueError(f"attention: the {name} must broadcast to shape {wanted}, came {a.shape}")
    if rank == 3 and a.ndim == 3:
        return a[:, None]
    return a.reshape((1,) * (4 - a.ndim) + a.shape)


def _unbroadcast(ds, shape, source):
    """Return the sum of ``ds`` over the axes along which an array of ``shape`` was repeated."""
    axes = tuple(i for i, n in enumerate(shape) if n == 1 and ds.shape[i] != 1)
    if axes:
        ds = ds.sum(axis=axes, keepdims=True)
    return _like(ds.reshape(source.shape), source)


def _like(gradient, source):
    kind = source.array.dtype
    return gradient if gradient.dtype == kind else gradient.astype(kind)


# ---- additive scores ---------------------------------------------------------------------------------
@op(shape=lambda query, key, weight: (*query[:-1], key[1]), dtype="float", tensors=3)
def additive_scores(query, key, weight):
    """Return the sums over d of weight_d tanh(query_td + key_sd), for every query t and key s.

    Parameters
    ----------
    query : tensor, shape (B, T, D)
    key : tensor, shape (B, S, D)
    weight : tensor, shape (D,)

    Returns
    -------
    tensor, shape (B, T, S)

    References
    ----------
    Bahdanau et al., 2014, arXiv:1409.0473.
    """
    kind = dtypes.float_type(dtypes.result_type(*(x.dtype.name for x in (query, key, weight))))
    q, k, w = (x.array.astype(kind, copy=False) for x in (query, key, weight))
    if q.ndim != 3 or k.ndim != 3 or q.shape[0] != k.shape[0] or not q.shape[2] == k.shape[2] == w.size:
        raise ValueError(
            "additive attention needs queries (batch, time, width) and keys of equal batch size and width, "
            f"came {query.shape} and {key.shape}"
        )
    backend = query.backend
    t = backend.additive_scores(q, k)
    y = backend.matmul(t.reshape(-1, w.size), w.reshape(-1, 1)).reshape(t.shape[:-1])

    def vjp(dy):
        if _STATE.tapes:
            return _differentiate(_additive_formula, (query, key, weight), (dy,))
        found = backend.additive_scores_backward(dy.array.astype(kind, copy=False), t, w)
        return tuple(_like(d.reshape(x.shape), x) for d, x in zip(found, (query, key, weight)))

    return y, vjp


def _additive_formula(query, key, weight):
    from gpukeras import ops

    both = ops.tanh(ops.expand_dims(query, 2) + ops.expand_dims(key, 1))
    return ops.sum(both * weight, axis=-1)


def weighted_values(scores, value, mask=None, causal=False, rate=0.0, seed=None):
    """Return softmax(scores) value, and that softmax after dropout.

    Parameters
    ----------
    scores : tensor, shape (B, T, S)
    value : tensor, shape (B, S, V)
    mask : tensor, optional
        Where false, a score does not count; broadcasts to (B, T, S).
    causal : bool
        Query t sees values 0 to t only.
    rate : float
        Dropout; ``seed`` as in ``ops.dropout``.
    """
    from gpukeras import ops

    kind = str(scores.dtype)
    hidden = HIDDEN.get(kind, -1e9)
    seen = None if mask is None else ops.cast(mask, "bool")
    if causal:
        past = ops.expand_dims(ops.arange(scores.shape[2]), 0) <= ops.expand_dims(
            ops.arange(scores.shape[1]), 1)
        seen = past if seen is None else ops.logical_and(seen, past)
    if seen is not None:
        scores = scores + ops.cast(ops.logical_not(seen), kind) * hidden
    weights = ops.softmax(scores)
    if rate:
        weights = ops.dropout(weights, rate, seed=seed)
    return ops.matmul(weights, value), weights

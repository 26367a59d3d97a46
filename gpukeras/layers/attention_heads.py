"""Attention with many heads: what its layers share, and MultiHeadAttention."""

from __future__ import annotations

import math
import string
from typing import Any

from gpukeras import ops, random, regularizers
from gpukeras.layers.arguments import take_arguments, written_arguments
from gpukeras.layers.einsum_dense import EinsumDense
from gpukeras.layers.layer import Layer
from gpukeras.ops.attention import attention
from gpukeras.symbolic import KerasTensor

_OF_PROJECTIONS = (
    "kernel_initializer", "bias_initializer", "kernel_regularizer", "bias_regularizer", "kernel_constraint",
    "bias_constraint",
)


class Heads(Layer):
    """What both layers share: projections, masks, and the attention between them."""

    capturable = True
    _most_axes = 20

    def __init__(self, dropout, use_bias, sliding_window, flash_attention, activity_regularizer, use_gate,
                 seed, of_projections, **kwargs):
        super().__init__(**kwargs)
        if sliding_window is not None and (isinstance(sliding_window, bool) or not isinstance(
                sliding_window, int) or sliding_window < 1):
            raise ValueError(
                f"layer {self.name!r}: sliding_window must be None or a positive integer, came "
                f"{sliding_window!r}"
            )
        if isinstance(dropout, bool) or not 0 <= dropout <= 1:
            raise ValueError(f"layer {self.name!r}: dropout must be between 0 and 1, came {dropout!r}")
        self.dropout, self.use_bias, self.sliding_window = dropout, bool(use_bias), sliding_window
        self.flash_attention, self.use_gate, self.seed = flash_attention, bool(use_gate), seed
        self._activity_regularizer = regularizers.get(activity_regularizer)  # of every projection
        take_arguments(self, **of_projections)
        self.seed_generator = random.SeedGenerator(seed) if dropout > 0 else None
        self.supports_masking = True
        self._query_dense: Any = None
        self._key_dense = self._gate_dense = self._value_dense = self._output_dense = self._query_dense

    def _projection(self, name, rank, summed, new, **kwargs):
        """Return a dense layer that makes ``new`` axes of the last ``summed`` ones of inputs of ``rank``."""
        letters = string.ascii_lowercase
        x, made = letters[:rank], letters[rank:rank + len(new)]
        kept, gone = x[:rank - summed], x[rank - summed:]
        return EinsumDense(
            f"{x},{gone}{made}->{kept}{made}", output_shape=(*[None] * (len(kept) - 1), *new),
            bias_axes=made if self.use_bias else None, name=name, dtype=self.dtype_policy,
            activity_regularizer=self._activity_regularizer,
            **{n: getattr(self, n) for n in _OF_PROJECTIONS}, **kwargs,
        )

    def _add(self, name, label, shape, *args, **kwargs) -> None:
        dense = self._projection(label, len(shape), *args, **kwargs)
        setattr(self, name, dense)
        dense.build(tuple(shape))

    def _build_projections(self, query_shape, value_shape, key_shape, heads, shared, width, value_width, new):
        self._check_shapes(query_shape, value_shape, key_shape)
        key_shape = value_shape if key_shape is None else key_shape
        self._add("_query_dense", "query", query_shape, 1, (heads, width))
        self._add("_key_dense", "key", key_shape, 1, (shared, width))
        if self.use_gate:
            self._add("_gate_dense", "gate", query_shape, 1, (heads, value_width), activation="sigmoid")
        self._add("_value_dense", "value", value_shape, 1, (shared, value_width))
        inner = (*query_shape[:-1], heads, value_width)
        self._add("_output_dense", "attention_output", inner, 2, new)
        self.built = True

    def _check_shapes(self, query_shape, value_shape, key_shape) -> None:
        ranks = {len(s) for s in (query_shape, value_shape, key_shape) if s is not None}
        if len(ranks) > 1 or not 3 <= min(ranks) <= self._most_axes:
            raise ValueError(
                f"layer {self.name!r} ({type(self).__name__}) needs query, value and key of shape (batch, "
                f"time, features){', or with more axes of time' * (self._most_axes > 3)}; came query "
                f"{tuple(query_shape)}, value {tuple(value_shape)}"
                + ("" if key_shape is None else f", key {tuple(key_shape)}")
            )

    def _project(self, dense, x):
        """Call a projection; masks are the business of this layer."""
        if dense.activity_regularizer is None:
            return dense.call(x)
        return dense(x if x._keras_mask is None else ops.reshape(x, x.shape))

    def _mask(self, query_mask, value_mask, key_mask, attention_mask):
        """Return which scores count, (N, T, S), or ``None`` where all do."""
        found = None if attention_mask is None else ops.cast(attention_mask, "bool")
        for mask, axis in ((query_mask, -1), (value_mask, -2), (key_mask, -2)):
            if mask is not None:
                mask = ops.expand_dims(ops.cast(mask, "bool"), axis)
                found = mask if found is None else ops.logical_and(found, mask)
        return found

    def _attend(self, query, key, value, mask, scale, scores, training, causal):
        """Return outputs and weights of queries (N, T, heads, width) and the like."""
        rate = self.dropout if training else 0.0
        settings = {
            "mask": mask, "scale": scale, "causal": bool(causal), "window": self.sliding_window,
            "rate": rate, "seed": self.seed_generator,
        }
        # What becomes of a query that may see nothing differs between the two ways that Keras computes.
        plain = not scores and not self.dropout and self._is_plain(query)
        found = attention(query, key, value, idle="mean" if plain else "zero",
                          scores="plain" if scores else None, **settings)
        return found if scores else (found, None)

    def _is_plain(self, query) -> bool:
        return True

    def _finish(self, query, outputs):
        """Return the outputs after gate and last projection."""
        if self._gate_dense is not None:
            outputs = outputs * self._project(self._gate_dense, query)
        return self._project(self._output_dense, outputs)

    def get_config(self):
        return super().get_config() | {
            "dropout": self.dropout, "use_bias": self.use_bias, "use_gate": self.use_gate,
            "sliding_window": self.sliding_window, "seed": self.seed,
            "activity_regularizer": regularizers.serialize(self._activity_regularizer)
            if self._activity_regularizer is not None else None,
        } | written_arguments(self, *_OF_PROJECTIONS)


class MultiHeadAttention(Heads):
    """Attention with several heads: each has projections of its own of query, key and value.

    Parameters
    ----------
    num_heads : int
    key_dim : int
        Size of a head's queries and keys.
    value_dim : int, optional
        Size of a head's values; ``key_dim`` unless given.
    dropout : float
        Part of the weights set to 0 in training.
    use_bias : bool
    output_shape : int or tuple of int, optional
        Size of the outputs after the axes of time; that of the queries unless given.
    attention_axes : int or tuple of int, optional
        Axes of time that are attended over; all between the first and the last unless given.
    sliding_window : int, optional
        A query sees keys less than so far from it only.
    flash_attention : bool, optional
        Accepted as Keras has it; there is one way to compute, whatever it says.
    kernel_initializer, bias_initializer : str or Initializer
    kernel_regularizer, bias_regularizer : str or Regularizer, optional
    activity_regularizer : str or Regularizer, optional
        Of the outputs of every projection.
    kernel_constraint, bias_constraint : str or Constraint, optional
    use_gate : bool
        Whether a projection of the query, after a sigmoid, multiplies what the heads found.
    seed : int, optional
        Of the dropout.
    softmax_robust_masking : bool
        Of Keras 2; masks are exact whatever it says.

    Notes
    -----
    Called with ``query`` (N, T, D), ``value`` (N, S, D) and, unless it is the value, ``key`` (N, S, D).
    ``attention_mask`` (N, T, S) is true where a query may see a key; the masks that travel with the
    inputs count as well. ``use_causal_mask=True``: query t sees keys 0 to t only. With
    ``return_attention_scores=True`` the weights (N, heads, T, S) are returned, too. A query that may see
    nothing gets the mean of all values or, where weights are returned or ``dropout`` is set, zeros.

    References
    ----------
    Vaswani et al., 2017, arXiv:1706.03762. Qiu et al., 2025, arXiv:2505.06708 (gate).

    Examples
    --------
    >>> import gpukeras as keras
    >>> layer = keras.layers.MultiHeadAttention(num_heads=2, key_dim=3)
    >>> x = keras.ops.ones((4, 5, 6))
    >>> y, weights = layer(x, x, return_attention_scores=True, use_causal_mask=True)
    >>> y.shape, weights.shape
    ((4, 5, 6), (4, 2, 5, 5))
    """

    def __init__(
        self, num_heads, key_dim, value_dim=None, dropout=0.0, use_bias=True, output_shape=None,
        attention_axes=None, sliding_window=None, flash_attention=None, kernel_initializer="glorot_uniform",
        bias_initializer="zeros", kernel_regularizer=None, bias_regularizer=None, activity_regularizer=None,
        kernel_constraint=None, bias_constraint=None, use_gate=False, seed=None, softmax_robust_masking=None,
        **kwargs,
    ):
        super().__init__(
            dropout, use_bias, sliding_window, flash_attention, activity_regularizer, use_gate, seed,
            {"kernel_initializer": kernel_initializer, "bias_initializer": bias_initializer,
             "kernel_regularizer": kernel_regularizer, "bias_regularizer": bias_regularizer,
             "kernel_constraint": kernel_constraint, "bias_constraint": bias_constraint}, **kwargs,
        )
        value_dim = key_dim if value_dim is None else value_dim
        for name, value in (("num_heads", num_heads), ("key_dim", key_dim), ("value_dim", value_dim)):
            if isinstance(value, bool) or not hasattr(value, "__index__") or value < 1:
                raise ValueError(f"layer {self.name!r}: {name} must be a positive integer, came {value!r}")
        self.num_heads, self.key_dim, self.value_dim = int(num_heads), int(key_dim), int(value_dim)
        self._output_shape = (output_shape,) if isinstance(output_shape, int) else (
            None if output_shape is None else tuple(output_shape))
        axes = (attention_axes,) if isinstance(attention_axes, int) else attention_axes
        self.attention_axes = None if axes is None else tuple(axes)
        if self.attention_axes == ():
            raise ValueError(
                f"layer {self.name!r}: attention_axes must name an axis, came {attention_axes!r}"
            )

    query_dense = property(lambda self: self._query_dense, doc="The projection of the queries.")
    key_dense = property(lambda self: self._key_dense, doc="The projection of the keys.")
    value_dense = property(lambda self: self._value_dense, doc="The projection of the values.")
    output_dense = property(lambda self: self._output_dense, doc="The projection of what the heads found.")

    def build(self, query_shape, value_shape, key_shape=None):  # type: ignore[override]
        rank = len(query_shape)
        if self.attention_axes is None:
            self.attention_axes = tuple(range(1, rank - 1))
        else:
            self.attention_axes = tuple(a % rank for a in self.attention_axes)
        if not {*self.attention_axes} <= {*range(1, rank - 1)}:
            raise ValueError(
                f"layer {self.name!r}: attention_axes={self.attention_axes} must be axes of time of a query "
                f"of shape {tuple(query_shape)}, from 1 to {rank - 2}"
            )
        self._build_projections(
            query_shape, value_shape, key_shape, self.num_heads, self.num_heads, self.key_dim,
            self.value_dim, self._output_shape or (query_shape[-1],),
        )

    def call(self, query, value, key=None, query_mask=None, value_mask=None, key_mask=None,
             attention_mask=None, return_attention_scores=False, training=None, use_causal_mask=False):
        key = value if key is None else key
        mask = self._mask(query_mask, value_mask, key_mask, attention_mask)
        order = _Order(len(query.shape), self.attention_axes)
        q, k, v = (
            self._project(dense, x)
            for dense, x in ((self._query_dense, query), (self._key_dense, key), (self._value_dense, value))
        )
        rows, columns = order.times(q), order.times(k)
        if mask is not None:
            mask = order.mask(mask, order.others(q), rows, columns)
        outputs, weights = self._attend(
            order.flat(q), order.flat(k), order.flat(v), mask, 1 / math.sqrt(self.key_dim),
            return_attention_scores, training, use_causal_mask,
        )
        outputs = self._finish(query, order.restored(outputs, q))
        if not return_attention_scores:
            return outputs
        return outputs, ops.reshape(weights, (*order.others(q), self.num_heads, *rows, *columns))

    def _is_plain(self, query) -> bool:
        return self._query_dense.input_spec.ndim == 3

    def compute_output_shape(self, query_shape, value_shape, key_shape=None):
        key_shape = value_shape if key_shape is None else key_shape
        self._check_shapes(query_shape, value_shape, key_shape)
        if any(None not in (n, m) and n != m for n, m in zip(value_shape[1:-1], key_shape[1:-1])):
            raise ValueError(
                f"layer {self.name!r}: keys and values must be equally many, came value "
                f"{tuple(value_shape)} and key {tuple(key_shape)}"
            )
        return (*query_shape[:-1], *(self._output_shape or query_shape[-1:]))

    def compute_output_spec(self, query, value, key=None, query_mask=None, value_mask=None, key_mask=None,
                            attention_mask=None, return_attention_scores=False, training=None,
                            use_causal_mask=False):
        shapes: list[Any] = [None if x is None else tuple(x.shape) for x in (query, value, key)]
        outputs = KerasTensor(self.compute_output_shape(*shapes), self.compute_dtype)
        if not return_attention_scores:
            return outputs
        rank = len(shapes[0])
        axes = self.attention_axes or tuple(range(1, rank - 1))
        others = [shapes[0][i] for i in range(rank - 1) if i not in axes]
        sizes = [shape[i] for shape in (shapes[0], shapes[2] or shapes[1]) for i in axes]
        return outputs, KerasTensor((*others, self.num_heads, *sizes), self.compute_dtype)

    def get_config(self):
        return super().get_config() | {
            "num_heads": self.num_heads, "key_dim": self.key_dim, "value_dim": self.value_dim,
            "output_shape": self._output_shape, "attention_axes": self.attention_axes,
        }

    @classmethod
    def from_config(cls, config):
        """Make a layer of its configuration; Keras 2 wrote the shapes that it was built for as well."""
        config = dict(config)
        shapes = [config.pop(f"{name}_shape", None) for name in ("query", "value", "key")]
        layer = super().from_config(config)
        if shapes[0] is not None and shapes[1] is not None:
            layer.build(*map(tuple, shapes[:2]), None if shapes[2] is None else tuple(shapes[2]))
        return layer


class _Order:
    """How tensors (batch, ..., heads, width) with several axes of time become (batch, time, heads, width).

    Parameters
    ----------
    rank : int
        Of the queries, without heads.
    axes : tuple of int
        Those that are attended over; the others count as batch axes.
    """

    def __init__(self, rank, axes):
        self.axes = axes
        self.rest = tuple(i for i in range(rank - 1) if i not in axes)
        self.plain = rank == 3
        order = (*self.rest, *axes, rank - 1, rank)
        self.order = None if order == tuple(range(rank + 1)) else order

    def times(self, x) -> tuple:
        return tuple(x.shape[i] for i in self.axes)

    def others(self, x) -> tuple:
        return tuple(x.shape[i] for i in self.rest)

    def flat(self, x):
        if self.plain:
            return x
        shape = math.prod(self.others(x)), math.prod(self.times(x)), *x.shape[-2:]
        return ops.reshape(x if self.order is None else ops.transpose(x, self.order), shape)

    def restored(self, y, like):
        """Return a result of attention with the axes of the queries."""
        if self.plain:
            return y
        y = ops.reshape(y, (*self.others(like), *self.times(like), *y.shape[-2:]))
        if self.order is None:
            return y
        return ops.transpose(y, tuple(self.order.index(i) for i in range(len(self.order))))

    def mask(self, mask, others, rows, columns):
        """Return a mask (batch, ..., times, times) as (batch, heads, time, time); missing axes are added."""
        times = 2 * len(self.axes)
        while len(mask.shape) < len(others) + 1 + times:
            mask = ops.expand_dims(mask, len(mask.shape) - times)
        if self.plain:
            return mask
        mask = ops.broadcast_to(mask, (*others, mask.shape[len(others)], *rows, *columns))
        heads = mask.shape[len(others)]
        return ops.reshape(mask, (math.prod(others), heads, math.prod(rows), math.prod(columns)))

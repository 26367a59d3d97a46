"""GroupQueryAttention: many heads of queries, fewer of keys and values."""

from __future__ import annotations

import math

from gpukeras import ops
from gpukeras.layers.attention_heads import Heads
from gpukeras.symbolic import KerasTensor


class GroupedQueryAttention(Heads):
    """Attention with many heads of queries that share fewer heads of keys and values.

    In Keras its name is ``GroupQueryAttention``.

    Parameters
    ----------
    head_dim : int
        Size of a head.
    num_query_heads : int
    num_key_value_heads : int
        It divides ``num_query_heads``; neighbouring heads of queries share.
    dropout : float
        Part of the weights set to 0 in training.
    use_bias : bool
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

    Notes
    -----
    Called as ``MultiHeadAttention``, with (N, T, D) and (N, S, D).

    References
    ----------
    Ainslie et al., 2023, arXiv:2305.13245.

    Examples
    --------
    >>> import gpukeras as keras
    >>> layer = keras.layers.GroupQueryAttention(head_dim=3, num_query_heads=4, num_key_value_heads=2)
    >>> x = keras.ops.ones((2, 5, 6))
    >>> layer(x, x).shape
    (2, 5, 6)
    """

    public_name = "GroupQueryAttention"  # in saved models
    _most_axes = 3

    def __init__(
        self, head_dim, num_query_heads, num_key_value_heads, dropout=0.0, use_bias=True, sliding_window=None,
        flash_attention=None, kernel_initializer="glorot_uniform", bias_initializer="zeros",
        kernel_regularizer=None, bias_regularizer=None, activity_regularizer=None, kernel_constraint=None,
        bias_constraint=None, use_gate=False, seed=None, **kwargs,
    ):
        super().__init__(
            dropout, use_bias, sliding_window, flash_attention, activity_regularizer, use_gate, seed,
            {"kernel_initializer": kernel_initializer, "bias_initializer": bias_initializer,
             "kernel_regularizer": kernel_regularizer, "bias_regularizer": bias_regularizer,
             "kernel_constraint": kernel_constraint, "bias_constraint": bias_constraint}, **kwargs,
        )
        counts = {"head_dim": head_dim, "num_query_heads": num_query_heads,
                  "num_key_value_heads": num_key_value_heads}
        for name, value in counts.items():
            if isinstance(value, bool) or not hasattr(value, "__index__") or value < 1:
                raise ValueError(f"layer {self.name!r}: {name} must be a positive integer, came {value!r}")
            setattr(self, name, int(value))
        if num_query_heads % num_key_value_heads:
            raise ValueError(
                f"layer {self.name!r}: num_key_value_heads={num_key_value_heads} must divide "
                f"num_query_heads={num_query_heads}"
            )

    def build(self, query_shape, value_shape, key_shape=None):  # type: ignore[override]
        self._build_projections(
            query_shape, value_shape, key_shape, self.num_query_heads, self.num_key_value_heads,
            self.head_dim, self.head_dim, (query_shape[-1],),
        )

    def call(self, query, value, key=None, query_mask=None, value_mask=None, key_mask=None,
             attention_mask=None, return_attention_scores=False, training=None, use_causal_mask=False):
        mask = self._mask(query_mask, value_mask, key_mask, attention_mask)
        if mask is not None and len(mask.shape) == 3:
            mask = ops.expand_dims(mask, 1)
        outputs, weights = self._attend(
            self._project(self._query_dense, query),
            self._project(self._key_dense, value if key is None else key),
            self._project(self._value_dense, value), mask, 1 / math.sqrt(self.head_dim),
            return_attention_scores, training, use_causal_mask,
        )
        outputs = self._finish(query, outputs)
        return (outputs, weights) if return_attention_scores else outputs

    def compute_output_shape(self, query_shape, value_shape, key_shape=None):
        self._check_shapes(query_shape, value_shape, key_shape)
        return tuple(query_shape)

    def compute_output_spec(self, query, value, key=None, query_mask=None, value_mask=None, key_mask=None,
                            attention_mask=None, return_attention_scores=False, training=None,
                            use_causal_mask=False):
        outputs = KerasTensor(self.compute_output_shape(query.shape, value.shape), self.compute_dtype)
        if not return_attention_scores:
            return outputs
        keys = value if key is None else key
        shape = (query.shape[0], self.num_query_heads, query.shape[1], keys.shape[1])
        return outputs, KerasTensor(shape, self.compute_dtype)

    def get_config(self):
        return super().get_config() | {
            "head_dim": self.head_dim, "num_query_heads": self.num_query_heads,
            "num_key_value_heads": self.num_key_value_heads,
        }


GroupQueryAttention = GroupedQueryAttention

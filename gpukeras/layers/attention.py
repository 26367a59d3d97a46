"""Attention with one head: Attention (dot products), AdditiveAttention."""

from __future__ import annotations

from gpukeras import ops, random
from gpukeras.layers.arguments import written_arguments
from gpukeras.layers.layer import Layer
from gpukeras.ops.attention import additive_scores, attention, weighted_values
from gpukeras.symbolic import KerasTensor


class Attention(Layer):
    """Dot-product attention: every query takes a mean of the values, weighted by how well their keys fit.

    Parameters
    ----------
    use_scale : bool
        Whether a trainable number multiplies the scores.
    score_mode : {"dot", "concat"}
        Scores are dot products of query and key, or ``weight * sum(tanh(query + key))`` with a trainable
        weight.
    dropout : float
        Part of the weights set to 0 in training.
    seed : int, optional

    Notes
    -----
    Called with a list: ``query`` (N, T, D), ``value`` (N, S, V) and, unless it is the value, ``key``
    (N, S, D); the outputs are (N, T, V). ``mask`` is a list as well: outputs of queries whose mask
    is false are 0, values whose mask is false do not count. ``return_attention_scores=True`` returns the
    weights (N, T, S) as well, ``use_causal_mask=True`` lets query t see values 0 to t only.

    References
    ----------
    Luong et al., 2015, arXiv:1508.04025.

    Examples
    --------
    >>> import gpukeras as keras
    >>> query, value = keras.ops.ones((2, 4, 8)), keras.ops.ones((2, 6, 8))
    >>> keras.layers.Attention()([query, value]).shape
    (2, 4, 8)
    """

    capturable = True

    def __init__(self, use_scale=False, score_mode="dot", dropout=0.0, seed=None, **kwargs):
        super().__init__(**kwargs)
        if score_mode not in ("dot", "concat"):
            raise ValueError(
                f"layer {self.name!r}: score_mode must be 'dot' or 'concat', came {score_mode!r}"
            )
        if isinstance(dropout, bool) or not 0 <= dropout <= 1:
            raise ValueError(f"layer {self.name!r}: dropout must be between 0 and 1, came {dropout!r}")
        self.use_scale, self.score_mode, self.dropout, self.seed = use_scale, score_mode, dropout, seed
        self.seed_generator = random.SeedGenerator(seed) if dropout > 0 else None
        self.supports_masking = True
        self.scale = self.concat_score_weight = None

    def build(self, input_shape):
        self._count(input_shape)
        if self.use_scale:
            self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
        if self.score_mode == "concat":
            self.concat_score_weight = self.add_weight(
                name="concat_score_weight", shape=(), initializer="ones"
            )
        self.built = True

    def _count(self, inputs) -> None:
        if not isinstance(inputs, (list, tuple)) or len(inputs) not in (2, 3) or not all(
                hasattr(x, "shape") or isinstance(x, (list, tuple)) for x in inputs):
            came = f"{len(inputs)} of them" if isinstance(inputs, (list, tuple)) else "no list"
            raise ValueError(
                f"layer {self.name!r} ({type(self).__name__}) takes a list of tensors, [query, value] or "
                f"[query, value, key], came {came}"
            )

    def _masks(self, inputs, mask) -> tuple:
        """Return the masks of query and value."""
        if mask is None:
            return None, None
        if not isinstance(mask, (list, tuple)) or len(mask) < 2 or len(mask) > 3:
            raise ValueError(
                f"layer {self.name!r} ({type(self).__name__}): the mask must be a list, [query_mask, "
                f"value_mask], came {type(mask).__name__}"
                + (f" of {len(mask)}" if isinstance(mask, (list, tuple)) else "")
            )
        return tuple(mask[:2])

    def call(self, inputs, mask=None, training=False, return_attention_scores=False, use_causal_mask=False):
        self._count(inputs)
        query, value = inputs[:2]
        key = inputs[2] if len(inputs) > 2 else value
        query_mask, value_mask = self._masks(inputs, mask)
        settings = {
            "mask": None if value_mask is None else ops.expand_dims(value_mask, -2),
            "causal": bool(use_causal_mask), "rate": self.dropout if training else 0.0,
            "seed": self.seed_generator,
        }
        outputs, weights = self._attend(query, key, value, return_attention_scores, settings)
        if query_mask is not None:
            outputs = outputs * ops.cast(ops.expand_dims(query_mask, -1), outputs.dtype)
        return (outputs, weights) if return_attention_scores else outputs

    def _attend(self, query, key, value, scores, settings):
        """Return outputs and weights."""
        if self.score_mode == "dot":
            query = query if self.scale is None else query * self.scale
            found = attention(query, key, value, scores="dropped" if scores else None, **settings)
            return found if scores else (found, None)
        if self.scale is not None:
            query, key = query * self.scale, key * self.scale
        weight = ops.broadcast_to(self.concat_score_weight, (query.shape[-1],))
        return weighted_values(additive_scores(query, key, weight), value, **settings)

    def compute_mask(self, inputs, mask=None):
        return self._masks(inputs, mask)[0]

    def compute_output_shape(self, input_shape):
        self._count(input_shape)
        return (*input_shape[0][:-1], input_shape[1][-1])

    def compute_output_spec(self, inputs, mask=None, return_attention_scores=False, training=None,
                            use_causal_mask=False):
        self._count(inputs)
        query, value = (tuple(x.shape) for x in inputs[:2])
        outputs = KerasTensor(self.compute_output_shape([query, value]), self.compute_dtype)
        if not return_attention_scores:
            return outputs
        return outputs, KerasTensor((*query[:2], value[1]), self.compute_dtype)

    def get_config(self):
        return super().get_config() | written_arguments(self, "use_scale", "score_mode", "dropout", "seed")


class AdditiveAttention(Attention):
    """Additive attention: scores are ``sum(scale * tanh(query + key))``.

    Parameters
    ----------
    use_scale : bool
        Whether trainable numbers, one for each feature, weight the sum.
    dropout : float
        Part of the weights set to 0 in training.
    seed : int, optional

    Notes
    -----
    Called as ``Attention``.

    References
    ----------
    Bahdanau et al., 2014, arXiv:1409.0473.

    Examples
    --------
    >>> import gpukeras as keras
    >>> query, value = keras.ops.ones((2, 4, 8)), keras.ops.ones((2, 6, 8))
    >>> y, weights = keras.layers.AdditiveAttention()([query, value], return_attention_scores=True)
    >>> y.shape, weights.shape
    ((2, 4, 8), (2, 4, 6))
    """

    def __init__(self, use_scale=True, dropout=0.0, **kwargs):
        super().__init__(use_scale=use_scale, dropout=dropout, **kwargs)

    def build(self, input_shape):
        self._count(input_shape)
        width = input_shape[0][-1]
        if self.use_scale:
            self.scale = self.add_weight(name="scale", shape=(width,), initializer="glorot_uniform")
        self.built = True

    def _attend(self, query, key, value, scores, settings):
        if self.scale is None:
            weight = ops.ones((query.shape[-1],), dtype=str(query.dtype))
        else:
            weight = self.scale
        return weighted_values(additive_scores(query, key, weight), value, **settings)

    def get_config(self):
        config = super().get_config()
        config.pop("score_mode")
        return config

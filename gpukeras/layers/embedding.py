"""Embedding: vectors for integers; ReversibleEmbedding: and back to scores of integers."""

from __future__ import annotations

from gpukeras import autograd, ops
from gpukeras.layers.arguments import old_names, refuse, take_arguments, written_arguments
from gpukeras.layers.layer import Layer
from gpukeras.ops.embedding import deferred_embedding
from gpukeras.sparse import DeferredVariable
from gpukeras.symbolic import KerasTensor
from gpukeras.tensor import Tensor


class Embedding(Layer):
    """Turn integers into vectors: rows of a trainable table.

    Parameters
    ----------
    input_dim : int
        Number of rows: the largest integer plus one.
    output_dim : int
        Size of the vectors.
    embeddings_initializer : str or Initializer
    embeddings_regularizer, activity_regularizer : str or Regularizer, optional
    embeddings_constraint : str or Constraint, optional
    mask_zero : bool
        Whether 0 is padding, to be masked out.
    weights : array or list with one array, optional
        First values of the table.
    input_length : int, optional
        Of Keras 2: length of the sequences, where the layer is the first of a Sequential model.
    lora_rank, lora_alpha, quantization_config
        Of Keras 3; only ``None`` is supported.
    sparse, use_one_hot_matmul : bool
        Of Keras 2, where they chose how to compute; here they change nothing.

    Notes
    -----
    Inputs (N, T) integers, table (V, E), outputs (N, T, E).

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.Embedding(10, 3)([[1, 2], [3, 0]]).shape
    (2, 2, 3)
    """

    @old_names(init="embeddings_initializer", W_regularizer="embeddings_regularizer",
               W_constraint="embeddings_constraint")
    def __init__(
        self, input_dim, output_dim, embeddings_initializer="uniform", embeddings_regularizer=None,
        embeddings_constraint=None, mask_zero=False, weights=None, lora_rank=None, lora_alpha=None,
        quantization_config=None, input_length=None, sparse=False, use_one_hot_matmul=False, **kwargs,
    ):
        if input_length is not None and not {"input_shape", "batch_input_shape", "batch_shape"} & set(kwargs):
            lengths = input_length if isinstance(input_length, (tuple, list)) else (input_length,)
            kwargs["batch_shape"] = (kwargs.pop("batch_size", None), *lengths)
        if weights is not None and not isinstance(weights, (list, tuple)):
            weights = [weights]
        # Integers need no cast, and floats that stand for them must not lose digits in half precision.
        super().__init__(autocast=kwargs.pop("autocast", False), weights=weights, **kwargs)
        refuse(self, lora_rank=lora_rank, lora_alpha=lora_alpha, quantization_config=quantization_config)
        take_arguments(
            self, input_dim=int(input_dim), output_dim=int(output_dim),
            embeddings_initializer=embeddings_initializer, embeddings_regularizer=embeddings_regularizer,
            embeddings_constraint=embeddings_constraint, mask_zero=bool(mask_zero), input_length=input_length,
        )
        if self.input_dim < 1 or self.output_dim < 1:
            raise ValueError(
                f"layer {self.name!r}: input_dim and output_dim must be positive, came {input_dim!r} and "
                f"{output_dim!r}"
            )
        self.supports_masking = self.mask_zero
        self._input_dtype = self._input_dtype or "int32"

    @property
    def input_dtype(self) -> str:
        return "int32"

    @property
    def capturable(self) -> bool:  # type: ignore[override]
        # How many rows a gradient has differs from batch to batch; only what is deferred is ready for that.
        return type(getattr(self, "embeddings", None)) is DeferredVariable and not self.mask_zero

    def build(self, input_shape=None):
        self.embeddings = self.add_weight(
            name="embeddings", shape=(self.input_dim, self.output_dim),
            initializer=self.embeddings_initializer, regularizer=self.embeddings_regularizer,
            constraint=self.embeddings_constraint,
        )
        self.built = True

    def call(self, inputs):
        table = self.embeddings
        if type(table) is DeferredVariable and type(inputs) is Tensor and autograd.recording():
            outputs = deferred_embedding(inputs, table)
        else:
            outputs = ops.embedding(inputs, table)
        return outputs if outputs.dtype == self._compute_kind else ops.cast(outputs, self.compute_dtype)

    def compute_mask(self, inputs, mask=None):
        return ops.not_equal(inputs, 0) if self.mask_zero else None

    def compute_output_shape(self, input_shape):
        return (*input_shape, self.output_dim)

    def get_config(self):
        config = super().get_config() | written_arguments(
            self, "input_dim", "output_dim", "embeddings_initializer", "embeddings_regularizer",
            "embeddings_constraint", "mask_zero",
        )
        return config if self.input_length is None else config | {"input_length": self.input_length}


class ReversibleEmbedding(Embedding):
    """An embedding that also works backwards: vectors become scores of all integers.

    Parameters
    ----------
    input_dim : int
        Number of rows: the largest integer plus one.
    output_dim : int
        Size of the vectors.
    tie_weights : bool
        Whether the way back uses the same table; it has one of its own otherwise.
    embeddings_initializer : str or Initializer
        Of both tables.
    embeddings_regularizer, activity_regularizer : str or Regularizer, optional
    embeddings_constraint : str or Constraint, optional
    mask_zero : bool
        Whether 0 is padding, to be masked out.
    reverse_dtype : str, optional
        Dtype of the way back; that of the vectors unless given.
    logit_soft_cap : float, optional
        Limit of the scores: ``cap * tanh(score / cap)`` takes their place.

    Notes
    -----
    Integers (N, T) become vectors (N, T, E); called with ``reverse=True``, vectors (N, T, E) become scores
    (N, T, V).

    References
    ----------
    Press and Wolf, 2016, arXiv:1608.05859.

    Examples
    --------
    >>> import gpukeras as keras
    >>> layer = keras.layers.ReversibleEmbedding(10, 3)
    >>> y = layer([[1, 2], [3, 0]])
    >>> y.shape, layer(y, reverse=True).shape
    ((2, 2, 3), (2, 2, 10))
    """

    capturable = False  # the whole table is read

    def __init__(
        self, input_dim, output_dim, tie_weights=True, embeddings_initializer="uniform",
        embeddings_regularizer=None, embeddings_constraint=None, mask_zero=False, reverse_dtype=None,
        logit_soft_cap=None, **kwargs,
    ):
        super().__init__(
            input_dim, output_dim, embeddings_initializer=embeddings_initializer,
            embeddings_regularizer=embeddings_regularizer, embeddings_constraint=embeddings_constraint,
            mask_zero=mask_zero, **kwargs,
        )
        self.tie_weights, self.reverse_dtype = bool(tie_weights), reverse_dtype
        self.logit_soft_cap = logit_soft_cap

    def build(self, input_shape=None):
        super().build(input_shape)
        if not self.tie_weights:
            self.reverse_embeddings = self.add_weight(
                name="reverse_embeddings", shape=(self.output_dim, self.input_dim),
                initializer=self.embeddings_initializer,
            )

    def call(self, inputs, reverse=False):
        if not reverse:
            outputs = super().call(inputs)
            if self.mask_zero:
                outputs._keras_mask = ops.not_equal(inputs, 0)
            return outputs
        table = ops.transpose(self.embeddings) if self.tie_weights else self.reverse_embeddings
        if self.reverse_dtype is not None:
            inputs, table = ops.cast(inputs, self.reverse_dtype), ops.cast(table, self.reverse_dtype)
        scores = ops.matmul(inputs, table)
        if self.logit_soft_cap is None:
            return scores
        return ops.tanh(scores / self.logit_soft_cap) * self.logit_soft_cap

    def compute_mask(self, inputs, mask=None):
        return None  # ``call`` has seen to it

    def compute_output_shape(self, input_shape, reverse=False):
        return (*input_shape[:-1], self.input_dim) if reverse else super().compute_output_shape(input_shape)

    def compute_output_spec(self, inputs, reverse=False):
        shape = self.compute_output_shape(tuple(inputs.shape), reverse)
        kind = self.reverse_dtype if reverse and self.reverse_dtype is not None else self.compute_dtype
        return KerasTensor(shape, kind)

    def get_config(self):
        return super().get_config() | {
            "tie_weights": self.tie_weights, "reverse_dtype": self.reverse_dtype,
            "logit_soft_cap": self.logit_soft_cap,
        }

"""Embedding: vectors for integers."""

from __future__ import annotations

from gpukeras import autograd, ops
from gpukeras.layers.arguments import refuse, take_arguments, written_arguments
from gpukeras.layers.layer import Layer
from gpukeras.ops.embedding import deferred_embedding
from gpukeras.sparse import DeferredVariable
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
    sparse : bool
        Of Keras 2; gradients of tables are dense here whatever it says.

    Notes
    -----
    Inputs (N, T) integers, table (V, E), outputs (N, T, E).

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.Embedding(10, 3)([[1, 2], [3, 0]]).shape
    (2, 2, 3)
    """

    def __init__(
        self, input_dim, output_dim, embeddings_initializer="uniform", embeddings_regularizer=None,
        embeddings_constraint=None, mask_zero=False, weights=None, lora_rank=None, lora_alpha=None,
        quantization_config=None, input_length=None, sparse=False, **kwargs,
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

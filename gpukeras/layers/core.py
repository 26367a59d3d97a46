"""Dense, Activation, Masking and the like."""

from __future__ import annotations

from gpukeras import activations, lazy, ops, regularizers, tree
from gpukeras.layers.arguments import (
    OLD_WEIGHT_NAMES,
    old_names,
    refuse,
    take_arguments,
    written_arguments,
)
from gpukeras.layers.input_spec import InputSpec
from gpukeras.layers.layer import Layer
from gpukeras.ops.dense import fused_dense, sparse_dense, split_activation, stays_sparse
from gpukeras.sparse import SparseTensor
from gpukeras.symbolic import KerasTensor


class Dense(Layer):
    """A fully connected layer: ``activation(inputs @ kernel + bias)``.

    Parameters
    ----------
    units : int
        Size of the last axis of the outputs.
    activation : str or callable, optional
    use_bias : bool
    kernel_initializer, bias_initializer : str or Initializer
    kernel_regularizer, bias_regularizer, activity_regularizer : str or Regularizer, optional
    kernel_constraint, bias_constraint : str or Constraint, optional
    lora_rank, lora_alpha, quantization_config
        Of Keras 3; only ``None`` is supported.

    Notes
    -----
    Inputs (..., I), kernel (I, U), bias (U,), outputs (..., U).

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.Dense(2, kernel_initializer="ones")([[1.0, 2.0]]).numpy()
    array([[3., 3.]], dtype=float32)
    """

    capturable = True

    @old_names(output_dim="units", **OLD_WEIGHT_NAMES)
    def __init__(
        self, units, activation=None, use_bias=True, kernel_initializer="glorot_uniform",
        bias_initializer="zeros", kernel_regularizer=None, bias_regularizer=None, activity_regularizer=None,
        kernel_constraint=None, bias_constraint=None, lora_rank=None, lora_alpha=None,
        quantization_config=None, **kwargs,
    ):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        refuse(self, lora_rank=lora_rank, lora_alpha=lora_alpha, quantization_config=quantization_config)
        if isinstance(units, bool) or int(units) != units or units < 1:
            raise ValueError(f"layer {self.name!r}: units must be a positive integer, came {units!r}")
        take_arguments(
            self, units=int(units), activation=activation, use_bias=bool(use_bias),
            kernel_initializer=kernel_initializer, bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer, bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint, bias_constraint=bias_constraint,
        )
        self.input_spec = InputSpec(min_ndim=2)
        self.supports_masking = True
        self._split: tuple = (None, None, None)  # the activation, and how ``split_activation`` divided it

    def build(self, input_shape):
        size = input_shape[-1]
        if size is None:
            raise ValueError(
                f"layer {self.name!r}: the last axis of the inputs must have a known size, came {input_shape}"
            )
        self.kernel = self.add_weight(
            name="kernel", shape=(size, self.units), initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer, constraint=self.kernel_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=(self.units,), initializer=self.bias_initializer,
                regularizer=self.bias_regularizer, constraint=self.bias_constraint,
            )
        self.input_spec = InputSpec(min_ndim=2, axes={-1: size})
        self.built = True

    def call(self, inputs, training=None):
        activation = self.activation
        if self._split[0] is not activation:
            self._split = (activation, *split_activation(activation))
        _, inside, after = self._split
        if type(inputs) is SparseTensor and stays_sparse(inputs, self.kernel):
            y = sparse_dense(self.kernel, self.bias, inputs, inside)
        else:
            y = fused_dense(inputs, self.kernel, self.bias, inside)
        return y if after is None else after(y)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return super().get_config() | written_arguments(
            self, "units", "activation", "use_bias", "kernel_initializer", "bias_initializer",
            "kernel_regularizer", "bias_regularizer", "kernel_constraint", "bias_constraint",
        )


class Elementwise(Layer):
    """Base of layers whose outputs have the shape and dtype of their inputs, and their mask."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.built = True

    def compute_output_shape(self, input_shape):
        return input_shape

    def compute_output_spec(self, inputs, *args, **kwargs):
        return tree.map_structure(lambda t: KerasTensor(t.shape, t.dtype), inputs)


class Activation(Elementwise):
    """Apply an activation function.

    Parameters
    ----------
    activation : str or callable

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.Activation("relu")([-1.0, 2.0]).numpy()
    array([0., 2.], dtype=float32)
    """

    capturable = True

    def __init__(self, activation, **kwargs):
        super().__init__(**kwargs)
        self.activation = activations.get(activation)

    def call(self, inputs):
        return self.activation(inputs)

    def get_config(self):
        return super().get_config() | written_arguments(self, "activation")


class Identity(Elementwise):
    """Return the inputs as they are."""

    capturable = True

    def call(self, inputs):
        return inputs


class ActivityRegularization(Elementwise):
    """Return the inputs as they are, and add a penalty on them to the loss.

    Parameters
    ----------
    l1, l2 : float
        Factors of the sums of absolute values and of squares.
    """

    def __init__(self, l1=0.0, l2=0.0, **kwargs):
        super().__init__(activity_regularizer=regularizers.L1L2(l1=l1, l2=l2), **kwargs)
        self.l1, self.l2 = l1, l2

    def call(self, inputs):
        return inputs

    def get_config(self):
        config = super().get_config() | {"l1": self.l1, "l2": self.l2}
        config.pop("activity_regularizer")
        return config


class Masking(Elementwise):
    """Mask out time steps whose features all equal ``mask_value``; layers after it skip them.

    Parameters
    ----------
    mask_value : float

    Examples
    --------
    >>> import gpukeras as keras
    >>> y = keras.layers.Masking()([[[1.0, 2.0], [0.0, 0.0]]])
    >>> y._keras_mask.numpy()
    array([[ True, False]])
    """

    def __init__(self, mask_value=0.0, **kwargs):
        super().__init__(**kwargs)
        self.mask_value = mask_value

    def compute_mask(self, inputs, mask=None):
        return ops.any(ops.not_equal(inputs, self.mask_value), axis=-1)

    def call(self, inputs):
        mask = self.compute_mask(inputs)
        outputs = inputs * ops.cast(ops.expand_dims(mask, -1), inputs.dtype)
        outputs._keras_mask = mask
        return outputs

    def get_config(self):
        return super().get_config() | {"mask_value": self.mask_value}


__getattr__ = lazy.second_home(__name__)  # Keras 2 kept more layers under this name

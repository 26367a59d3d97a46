"""Models of ``tf.keras.experimental`` that are there already: linear, and wide and deep."""

from __future__ import annotations

from collections.abc import Mapping

from gpukeras import activations, initializers, optimizers, regularizers, tree
from gpukeras.layers import Dense
from gpukeras.layers.call_spec import is_shape
from gpukeras.layers.layer import Layer
from gpukeras.models.model import Model
from gpukeras.optimizers import MultiOptimizer


class LinearModel(Model):
    """A linear function of one input or, with a kernel for each, of several.

    Parameters
    ----------
    units : int
    activation : str or callable, optional
    use_bias : bool
    kernel_initializer, bias_initializer : str or Initializer
    kernel_regularizer, bias_regularizer : str or Regularizer, optional
    **kwargs
        ``name``, ``trainable``, ``dtype`` of the model.

    Examples
    --------
    >>> import numpy as np
    >>> import gpukeras as keras
    >>> model = keras.models.LinearModel()
    >>> model([np.ones((2, 3)), np.ones((2, 5))]).shape
    (2, 1)
    """

    def __init__(
        self, units=1, activation=None, use_bias=True, kernel_initializer="zeros", bias_initializer="zeros",
        kernel_regularizer=None, bias_regularizer=None, **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = units
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.dense_layers: list = []
        self.bias = None

    def build(self, input_shape=None):
        if self.built:
            return
        if isinstance(input_shape, Mapping):
            named = [(name, input_shape[name]) for name in sorted(input_shape)]
        else:
            shapes = [input_shape] if is_shape(input_shape) else input_shape
            named = [(None, shape) for shape in shapes]
        for name, shape in named:
            layer = Dense(
                self.units, use_bias=False, kernel_initializer=self.kernel_initializer,
                kernel_regularizer=self.kernel_regularizer, name=name, dtype=self.dtype_policy,
            )
            layer.build(tuple(shape))
            self.dense_layers.append(layer)
        if self.use_bias:
            self.bias = self.add_weight(
                shape=(self.units,), initializer=self.bias_initializer, regularizer=self.bias_regularizer,
                name="bias",
            )
        self.built = True

    def call(self, inputs, training=None, mask=None):
        if isinstance(inputs, Mapping):
            missing = [layer.name for layer in self.dense_layers if layer.name not in inputs]
            if missing:
                raise ValueError(f"model {self.name!r}: inputs {missing} are missing; came {sorted(inputs)}")
            inputs = [inputs[layer.name] for layer in self.dense_layers]
        elif not isinstance(inputs, (list, tuple)):
            inputs = [inputs]
        result = sum(layer(x) for layer, x in zip(self.dense_layers, inputs, strict=True))
        result = result if self.bias is None else result + self.bias
        return result if self.activation is None else self.activation(result)

    def get_config(self):
        return {
            **Layer.get_config(self), "units": self.units,
            "activation": activations.serialize(self.activation), "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)


class WideDeepModel(Model):
    """The sum of a linear model and a deep one, trained together.

    Parameters
    ----------
    linear_model, dnn_model : Model
        With outputs of one shape. A list of two inputs goes to them in this order, anything else to both.
    activation : str or callable, optional
        Of the sum.
    **kwargs
        ``name``, ``trainable``, ``dtype`` of the model.

    Notes
    -----
    ``compile`` takes a list of two optimizers as well, for the linear and the deep part.

    References
    ----------
    Cheng et al., Wide & Deep Learning for Recommender Systems, arXiv:1606.07792

    Examples
    --------
    >>> import numpy as np
    >>> import gpukeras as keras
    >>> deep = keras.Sequential([keras.layers.Dense(8, activation="relu"), keras.layers.Dense(1)])
    >>> model = keras.models.WideDeepModel(keras.models.LinearModel(), deep)
    >>> model.compile(optimizer=["sgd", "adam"], loss="mse")
    >>> _ = model.fit([np.ones((4, 3)), np.ones((4, 5))], np.ones((4, 1)), verbose=0)
    >>> len(model.weights)
    6
    """

    def __init__(self, linear_model, dnn_model, activation=None, **kwargs):
        super().__init__(**kwargs)
        self.linear_model = linear_model
        self.dnn_model = dnn_model
        self.activation = activations.get(activation)

    def call(self, inputs, training=None, mask=None):
        two = isinstance(inputs, (list, tuple)) and len(inputs) == 2
        linear, deep = inputs if two else (inputs, inputs)
        found = tree.map_structure(
            lambda a, b: a + b, self.linear_model(linear), self.dnn_model(deep, training=training))
        return found if self.activation is None else tree.map_structure(self.activation, found)

    def compile(self, optimizer="rmsprop", *args, **kwargs):
        """Choose how the model is trained: see ``Model.compile``; two optimizers work as well."""
        if isinstance(optimizer, (list, tuple)):
            if len(optimizer) != 2:
                raise ValueError(
                    f"model {self.name!r}: expected one optimizer or two, for the linear and the deep part, "
                    f"came {len(optimizer)}"
                )
            wide, deep = map(optimizers.get, optimizer)

            def chosen(variable):
                return wide if any(variable is v for v in self.linear_model.weights) else deep

            optimizer = MultiOptimizer(chosen)
        super().compile(optimizer, *args, **kwargs)

    def get_config(self):
        from gpukeras.saving import serialize_keras_object

        return {
            **Layer.get_config(self), "linear_model": serialize_keras_object(self.linear_model),
            "dnn_model": serialize_keras_object(self.dnn_model),
            "activation": activations.serialize(self.activation),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        from gpukeras.saving import deserialize_keras_object

        config = dict(config)
        inner = [deserialize_keras_object(config.pop(name), custom_objects=custom_objects)
                 for name in ("linear_model", "dnn_model")]
        return cls(*inner, **config)

"""MaxoutDense and Highway: layers of Keras 1 that Keras 2 still had, with the arguments of that time."""

from __future__ import annotations

from gpukeras import activations, constraints, initializers, ops, regularizers
from gpukeras.layers.input_spec import InputSpec
from gpukeras.layers.layer import Layer


class _OldDense(Layer):
    """What both share: two kinds of weights, each with a regularizer and a constraint."""

    def __init__(self, init, weights, W_regularizer, b_regularizer, activity_regularizer, W_constraint,
                 b_constraint, bias, input_dim, **kwargs):
        if input_dim is not None:
            kwargs.setdefault("input_shape", (input_dim,))
        super().__init__(activity_regularizer=activity_regularizer, weights=weights, **kwargs)
        self.init = initializers.get(init)
        self.W_regularizer = regularizers.get(W_regularizer)
        self.b_regularizer = regularizers.get(b_regularizer)
        self.W_constraint = constraints.get(W_constraint)
        self.b_constraint = constraints.get(b_constraint)
        self.bias = bool(bias)
        self.input_dim = input_dim
        self.input_spec = InputSpec(ndim=2)

    def _matrix(self, name, shape):
        return self.add_weight(name=name, shape=shape, initializer=self.init, regularizer=self.W_regularizer,
                               constraint=self.W_constraint)

    def _vector(self, name, shape, initializer="zeros"):
        return self.add_weight(name=name, shape=shape, initializer=initializer,
                               regularizer=self.b_regularizer, constraint=self.b_constraint)

    def get_config(self):
        return {
            **super().get_config(),
            "init": initializers.serialize(self.init),
            "W_regularizer": regularizers.serialize(self.W_regularizer),
            "b_regularizer": regularizers.serialize(self.b_regularizer),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            "W_constraint": constraints.serialize(self.W_constraint),
            "b_constraint": constraints.serialize(self.b_constraint),
            "bias": self.bias,
            "input_dim": self.input_dim,
        }


class MaxoutDense(_OldDense):
    """Dense layer that takes the largest of several linear features for each output.

    Parameters
    ----------
    output_dim : int
        Number of outputs.
    nb_feature : int
        Linear features of each output.
    init : str or Initializer
        First values of ``W``, (nb_feature, inputs, outputs).
    weights : list of arrays, optional
        First weights.
    W_regularizer, b_regularizer, activity_regularizer : str or Regularizer, optional
    W_constraint, b_constraint : str or Constraint, optional
    bias : bool
    input_dim : int, optional
        Number of inputs, for the first layer of a model.

    Notes
    -----
    ``y[n, o] = max_k (sum_d x[n, d] W[k, d, o] + b[k, o])``

    References
    ----------
    Goodfellow et al.: Maxout Networks, arXiv:1302.4389

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.MaxoutDense(4)(keras.ops.ones((2, 3))).shape
    (2, 4)
    """

    def __init__(self, output_dim, nb_feature=4, init="glorot_uniform", weights=None, W_regularizer=None,
                 b_regularizer=None, activity_regularizer=None, W_constraint=None, b_constraint=None,
                 bias=True, input_dim=None, **kwargs):
        super().__init__(init, weights, W_regularizer, b_regularizer, activity_regularizer, W_constraint,
                         b_constraint, bias, input_dim, **kwargs)
        self.output_dim = output_dim
        self.nb_feature = nb_feature

    def build(self, input_shape):
        features = (self.nb_feature, self.output_dim)
        self.W = self._matrix("W", (self.nb_feature, input_shape[-1], self.output_dim))
        self.b = self._vector("b", features) if self.bias else None
        self.input_spec = InputSpec(ndim=2, axes={-1: input_shape[-1]})

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.output_dim)

    def call(self, x):
        features = ops.matmul(x, self.W)  # (K, N, O)
        if self.b is not None:
            features = features + ops.expand_dims(self.b, 1)
        return ops.max(features, axis=0)

    def get_config(self):
        return super().get_config() | {"output_dim": self.output_dim, "nb_feature": self.nb_feature}


class Highway(_OldDense):
    """Dense layer whose outputs are mixed with its inputs, as a gate says.

    Parameters
    ----------
    init : str or Initializer
        First values of ``W`` and ``W_carry``, (inputs, inputs).
    activation : str or callable, optional
    weights : list of arrays, optional
        First weights: W, W_carry, b, b_carry.
    W_regularizer, b_regularizer, activity_regularizer : str or Regularizer, optional
    W_constraint, b_constraint : str or Constraint, optional
    bias : bool
    input_dim : int, optional
        Number of inputs, for the first layer of a model.
    transform_bias : float, optional
        First value of ``b_carry``, in Keras 1; otherwise one.

    Notes
    -----
    With ``g = sigmoid(x W_carry + b_carry)``: ``y = g * activation(x W + b) + (1 - g) * x``.

    References
    ----------
    Srivastava, Greff, Schmidhuber: Highway Networks, arXiv:1505.00387

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.Highway(activation="relu")(keras.ops.ones((2, 3))).shape
    (2, 3)
    """

    def __init__(self, init="glorot_uniform", activation=None, weights=None, W_regularizer=None,
                 b_regularizer=None, activity_regularizer=None, W_constraint=None, b_constraint=None,
                 bias=True, input_dim=None, **kwargs):
        self.transform_bias = kwargs.pop("transform_bias", None)
        super().__init__(init, weights, W_regularizer, b_regularizer, activity_regularizer, W_constraint,
                         b_constraint, bias, input_dim, **kwargs)
        self.activation = activations.get(activation)

    def build(self, input_shape):
        size = input_shape[-1]
        self.W = self._matrix("W", (size, size))
        self.W_carry = self._matrix("W_carry", (size, size))
        self.b = self.b_carry = None
        if self.bias:
            self.b = self._vector("b", (size,))
            first = 1.0 if self.transform_bias is None else float(self.transform_bias)
            self.b_carry = self._vector("b_carry", (size,), initializers.Constant(first))
        self.input_spec = InputSpec(ndim=2, axes={-1: size})

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def call(self, x):
        gate, y = ops.matmul(x, self.W_carry), ops.matmul(x, self.W)
        if self.bias:
            gate, y = gate + self.b_carry, y + self.b
        gate = ops.sigmoid(gate)
        y = y if self.activation is None else self.activation(y)
        return gate * y + (1 - gate) * x

    def get_config(self):
        config = super().get_config() | {"activation": activations.serialize(self.activation)}
        return config if self.transform_bias is None else config | {"transform_bias": self.transform_bias}

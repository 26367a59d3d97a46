"""Activation functions by name, as every Keras release called them (``keras.activations``)."""

from __future__ import annotations

# ruff: noqa: I001  (packed by hand)

from gpukeras import ops
from gpukeras.ops import (
    celu, elu, glu, hard_shrink, hard_sigmoid, hard_silu, hard_tanh, log_sigmoid, log_softmax, mish, relu6,
    selu, sigmoid, silu, soft_shrink, softmax, softplus, softsign, sparse_plus, sparse_sigmoid, sparsemax,
    squareplus, tanh, tanh_shrink, threshold,
)
from gpukeras.ops.dense import name_activation
from gpukeras.registry import Registry

__all__ = [
    "celu", "deserialize", "elu", "exponential", "gelu", "get", "glu", "hard_shrink", "hard_sigmoid",
    "hard_silu", "hard_swish", "hard_tanh", "leaky_relu", "linear", "log_sigmoid", "log_softmax", "mish",
    "relu", "relu6", "selu", "serialize", "sigmoid", "silu", "soft_shrink", "softmax", "softplus", "softsign",
    "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus", "swish", "tanh", "tanh_shrink", "threshold",
]


def relu(x, negative_slope=0.0, max_value=None, threshold=0.0, alpha=None):
    """Return the rectified linear unit ``max(x, 0)``, or its general form.

    Parameters
    ----------
    x : tensor
    negative_slope : float
        Slope below ``threshold``: the result there is ``negative_slope * (x - threshold)``.
    max_value : float, optional
        Upper limit of the result.
    threshold : float
        Values up to here count as negative.
    alpha : float, optional
        Keras 2's name of ``negative_slope``.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.activations.relu([-2.0, 0.5, 9.0], negative_slope=0.5, max_value=6.0).numpy()
    array([-1. ,  0.5,  6. ], dtype=float32)
    """
    negative_slope = negative_slope if alpha is None else alpha
    if not negative_slope and max_value is None and not threshold:
        return ops.relu(x)
    if max_value is not None and max_value < 0:
        raise ValueError(f"relu: max_value must not be negative, came {max_value}")
    return ops.clipped_relu(x, negative_slope, max_value, threshold)


def leaky_relu(x, negative_slope=0.2, alpha=None):
    """Return ``x`` where positive, ``negative_slope * x`` elsewhere (``alpha`` is the older name)."""
    return ops.leaky_relu(x, negative_slope if alpha is None else alpha)


def gelu(x, approximate=False):
    """Return ``x * P(N(0, 1) <= x)``, by the error function or approximately by tanh; see ``ops.gelu``."""
    return ops.gelu(x, approximate)


def exponential(x):
    """Return ``exp(x)``."""
    return ops.exp(x)


def linear(x):
    """Return ``x`` as it is."""
    return x


hard_swish = hard_silu
swish = silu

for _function in (relu, tanh, linear):
    name_activation(_function, _function.__name__)

ACTIVATIONS = Registry(
    "activation",
    {
        f.__name__: f
        for f in (
            celu, elu, exponential, gelu, glu, hard_shrink, hard_sigmoid, hard_silu, hard_tanh, leaky_relu,
            linear, log_sigmoid, log_softmax, mish, relu, relu6, selu, sigmoid, silu, soft_shrink, softmax,
            softplus, softsign, sparse_plus, sparse_sigmoid, sparsemax, squareplus, tanh, tanh_shrink,
            threshold,
        )
    },
    {"swish": "silu", "hard_swish": "hard_silu"},
    plain_names=True,
)


def get(identifier):
    """Return the activation function that ``identifier`` stands for.

    Parameters
    ----------
    identifier : str, callable, dict or None
        A name (``"relu"``), a function or layer, a serialized configuration; ``None`` is ``linear``.

    Raises
    ------
    ValueError
        For an unknown name, with the nearest known one.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.activations.get("swish") is keras.activations.silu
    True
    """
    return linear if identifier is None else ACTIVATIONS.get(identifier)


def serialize(activation, use_legacy_format=False):
    """Return the name of a built-in activation, or a configuration dictionary of anything else.

    ``use_legacy_format``: in the form of Keras 2, where any function is its name.
    """
    return ACTIVATIONS.serialize(activation, use_legacy_format)


def deserialize(config, custom_objects=None, use_legacy_format=False):
    """Return the activation that ``serialize`` described, in whatever form."""
    return ACTIVATIONS.deserialize(config, custom_objects)

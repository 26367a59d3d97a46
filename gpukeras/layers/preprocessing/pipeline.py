"""Layers one after the other, as one."""

from __future__ import annotations

from collections.abc import Mapping

from gpukeras.layers.call_spec import call_spec
from gpukeras.layers.layer import Layer
from gpukeras.saving import deserialize_keras_object, serialize_keras_object


class Pipeline(Layer):
    """Apply layers one after the other, in training mode unless told otherwise.

    Meant for preparation of data outside of a model; inside, ``Sequential`` does more.

    Parameters
    ----------
    layers : list of Layer

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.Pipeline([keras.layers.Rescaling(2.0), keras.layers.ReLU()])([-1.0, 1.0]).tolist()
    [0.0, 2.0]
    """

    takes_text = True

    def __init__(self, layers, name=None, **kwargs):
        super().__init__(name=name, **kwargs)
        for layer in layers:
            if not isinstance(layer, Layer):
                raise TypeError(f"Pipeline takes layers, came {type(layer).__name__}")
        self._pipeline_layers = list(layers)

    @property
    def layers(self) -> list[Layer]:
        """The layers, in order."""
        return self._pipeline_layers

    def call(self, inputs, training=True, mask=None):
        x = inputs
        for layer in self._pipeline_layers:
            spec = call_spec(type(layer))
            kwargs = {}
            if spec.training:
                kwargs["training"] = training
            if spec.mask and mask is not None:
                kwargs["mask"] = mask
            x = layer(x, **kwargs)
        return x

    def get_config(self):
        return {"layers": [serialize_keras_object(layer) for layer in self._pipeline_layers],
                "name": self.name}

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        config["layers"] = [
            deserialize_keras_object(layer) if isinstance(layer, Mapping) else layer
            for layer in config["layers"]
        ]
        return cls(**config)

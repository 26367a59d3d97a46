"""Lambda: any function as a layer."""

from __future__ import annotations

import inspect

from gpukeras import tree
from gpukeras.layers.call_spec import is_shape, specs_of_shapes
from gpukeras.layers.layer import Layer


class Lambda(Layer):
    """Apply a function as a layer.

    A model that holds one can be saved only where the function has a name that loading knows
    (``register_keras_serializable``); an anonymous function is stored as bytecode, and read back only with
    ``safe_mode=False``. A subclass of ``Layer`` has neither limit.

    Parameters
    ----------
    function : callable
        ``f(inputs, **arguments)``; it may take ``mask`` and ``training`` as well. It must not hold weights.
    output_shape : tuple or callable, optional
        Shape of one sample of the outputs, or ``f(input_shape)`` with batch axes; default: found by tracing.
    mask : tensor or callable, optional
        Mask of the outputs, or ``f(inputs, mask)``.
    arguments : dict, optional
        Further arguments of the function.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.Lambda(lambda x: x ** 2)([2.0, 3.0]).numpy()
    array([4., 9.], dtype=float32)
    """

    def __init__(self, function, output_shape=None, mask=None, arguments=None, **kwargs):
        super().__init__(**kwargs)
        if not callable(function):
            raise TypeError(f"layer {self.name!r}: function must be callable, came {function!r}")
        self.function = function
        self.arguments = dict(arguments or {})
        self.mask = mask
        self.supports_masking = mask is not None
        self._output_shape = output_shape
        self.built = True
        try:
            names = list(inspect.signature(function).parameters)
        except (TypeError, ValueError):  # builtins have no signature to read
            names = []
        self._takes = {n for n in ("mask", "training") if n in names and n not in self.arguments}

    def call(self, inputs, mask=None, training=None):
        given = {"mask": mask, "training": training}
        return self.function(inputs, **self.arguments, **{n: given[n] for n in self._takes})

    def compute_output_shape(self, input_shape):
        if self._output_shape is None:
            return super().compute_output_shape(input_shape)
        if callable(self._output_shape):
            return self._output_shape(input_shape)
        first = input_shape if is_shape(input_shape) else tree.flatten(input_shape)
        return (first[0], *self._output_shape) if first else tuple(self._output_shape)

    def compute_output_spec(self, inputs, *args, **kwargs):
        if self._output_shape is None:
            return self._trace(inputs, *args, **kwargs)
        shape = self.compute_output_shape(tree.map_structure(lambda t: t.shape, inputs))
        return specs_of_shapes(shape, self.compute_dtype)

    def compute_mask(self, inputs, mask=None):
        return self.mask(inputs, mask) if callable(self.mask) else self.mask

    def get_config(self):
        from gpukeras import saving

        config = super().get_config() | {"function": saving.serialize_keras_object(self.function)}
        for name, value in (("output_shape", self._output_shape), ("mask", self.mask)):
            if value is not None:
                config[name] = saving.serialize_keras_object(value)
        return config | {"arguments": saving.serialize_keras_object(self.arguments)}

    @classmethod
    def from_config(cls, config, custom_objects=None, safe_mode=True):
        """Make the layer from its configuration; bytecode is refused unless loading is told otherwise."""
        config = dict(config)
        for name in ("function", "output_shape", "mask"):
            kind = config.pop(f"{name}_type", None)  # Keras 2 wrote what each of them is beside it
            config.pop("module" if name == "function" else f"{name}_module", None)
            value = config.get(name)
            if value is not None:
                config[name] = _read_function(value, kind, custom_objects, safe_mode)
        return cls(**config)


def _read_function(value, kind, custom_objects, safe_mode):
    """Return a function (or plain value) of a Lambda's configuration, in the form of Keras 2 or 3."""
    from gpukeras import saving

    if kind in ("lambda", "function"):
        if kind == "lambda":
            value = {"class_name": "__lambda__", "config": {"value": value}}
        else:
            value = {"module": "builtins", "class_name": "function", "config": value}
    found = saving.deserialize_keras_object(value, custom_objects, safe_mode)
    return tuple(found) if isinstance(found, list) else found

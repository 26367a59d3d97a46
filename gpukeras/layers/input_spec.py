"""What a layer demands of its inputs, and the error when it comes otherwise."""

from __future__ import annotations

from gpukeras import dtypes, tree


class InputSpec:
    """Demands on one input of a layer; whatever is ``None`` is free.

    Parameters
    ----------
    dtype : str, optional
    shape : tuple of int or None, optional
        Exact shape, ``None`` for free axes.
    ndim, max_ndim, min_ndim : int, optional
    axes : dict of int to int or None, optional
        Sizes of certain axes.
    allow_last_axis_squeeze : bool
        Whether a last axis of size 1 may be missing or extra.
    name : str, optional
    optional : bool
        Whether ``None`` may be given.
    """

    def __init__(self, dtype=None, shape=None, ndim=None, max_ndim=None, min_ndim=None, axes=None,
                 allow_last_axis_squeeze=False, name=None, optional=False):
        self.dtype = None if dtype is None else dtypes.standardize_dtype(dtype)
        self.shape = None if shape is None else tuple(shape)
        self.ndim = len(self.shape) if self.shape is not None else ndim
        self.max_ndim = max_ndim
        self.min_ndim = min_ndim
        self.axes = {int(k): v for k, v in (axes or {}).items()}
        self.allow_last_axis_squeeze = allow_last_axis_squeeze
        self.name = name
        self.optional = optional

    def __repr__(self):
        parts = {k: v for k, v in vars(self).items() if v not in (None, {}, False)}
        return f"InputSpec({', '.join(f'{k}={v}' for k, v in parts.items())})"

    def get_config(self) -> dict:
        return dict(vars(self))

    @classmethod
    def from_config(cls, config: dict) -> InputSpec:
        config = dict(config)
        if config.get("shape") is not None:
            config.pop("ndim", None)
        return cls(**config)

    def complaint(self, x) -> str | None:
        """Return what is wrong with ``x`` (anything with shape and dtype), or ``None``."""
        shape = tuple(x.shape)
        rank = len(shape)
        if self.allow_last_axis_squeeze and self.shape is not None:
            if rank == len(self.shape) + 1 and shape[-1] == 1:
                shape, rank = shape[:-1], rank - 1
            elif rank == len(self.shape) - 1 and self.shape[-1] == 1:
                shape, rank = (*shape, 1), rank + 1
        if self.ndim is not None and rank != self.ndim:
            return f"expected rank {self.ndim}, came rank {rank} (shape {shape})"
        if self.max_ndim is not None and rank > self.max_ndim:
            return f"expected at most rank {self.max_ndim}, came rank {rank} (shape {shape})"
        if self.min_ndim is not None and rank < self.min_ndim:
            return f"expected at least rank {self.min_ndim}, came rank {rank} (shape {shape})"
        if self.dtype is not None and str(x.dtype) != self.dtype:
            return f"expected dtype {self.dtype}, came {x.dtype}"
        for axis, size in self.axes.items():
            if size is not None and shape[axis] not in (size, None):
                return f"expected size {size} on axis {axis}, came shape {shape}"
        for axis, size in enumerate(self.shape or ()):
            if size is not None and shape[axis] not in (size, None):
                return f"expected shape {self.shape}, came {shape}"
        return None


def check_inputs(spec, inputs, layer_name: str) -> None:
    """Raise ``ValueError`` naming the layer where ``inputs`` do not meet ``spec``.

    ``spec`` is an ``InputSpec`` or a structure of them (a dictionary is matched by name).
    """
    if isinstance(spec, InputSpec):
        specs, values = [spec], tree.flatten(inputs)
        specs = specs * len(values)
    elif isinstance(spec, dict) and isinstance(inputs, dict):
        missing = [k for k in spec if k not in inputs and not spec[k].optional]
        if missing:
            raise ValueError(f"layer {layer_name!r}: missing inputs {missing}; came {list(inputs)}")
        keys = [k for k in spec if k in inputs]
        specs, values = [spec[k] for k in keys], [inputs[k] for k in keys]
    else:
        specs, values = tree.flatten(spec), tree.flatten(inputs)
        if len(specs) != len(values):
            raise ValueError(f"layer {layer_name!r} expects {len(specs)} inputs, came {len(values)}")
    for one, value in zip(specs, values):
        if one is None or (value is None and one.optional):
            continue
        if not hasattr(value, "shape"):
            raise TypeError(f"layer {layer_name!r}: expected tensors as inputs, came {type(value).__name__}")
        complaint = one.complaint(value)
        if complaint:
            which = f"input {one.name!r}" if one.name else "the input"
            raise ValueError(f"{which} of layer {layer_name!r} does not fit: {complaint}")

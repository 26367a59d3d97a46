"""Objects to plain dictionaries and back, in the format of Keras 3; the one of Keras 2 is read as well.

The classes a configuration may name form a closed set: built-in ones (``REGISTRIES``) and those the user
registered or passes. Nothing is ever imported because a file names it.
"""

from __future__ import annotations

import base64
import difflib
import functools
import importlib
import inspect
import marshal
import threading
import types
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from gpukeras import dtypes
from gpukeras.symbolic import KerasTensor
from gpukeras.tensor import Tensor, to_array

from .registration import CustomObjectScope, find_custom, get_registered_name

if TYPE_CHECKING:
    from gpukeras.registry import Registry

# Public module -> Registry; each registry enters itself when its module is imported.
REGISTRIES: dict[str, Registry] = {}
# Where the registries live. Lookups ask in this order when a configuration does not say where to look.
_MODULES = (
    "layers", "models", "activations", "initializers", "regularizers", "constraints", "losses", "metrics",
    "optimizers", "optimizers.schedules", "dtype_policies", "random",
)
_PLAIN = (str, bool, int, float, type(None))
_local = threading.local()


class ObjectSharingScope:
    """Keep objects that occur several times in one configuration the same object when it is read back."""

    def __enter__(self):
        self._before = getattr(_local, "shared", None)
        if self._before is None:
            _local.shared = {}
        return self

    def __exit__(self, *exc):
        _local.shared = self._before


# ---- objects to dictionaries ------------------------------------------------------------------------
def serialize_keras_object(obj):
    """Return ``obj`` as plain values that JSON can hold.

    Parameters
    ----------
    obj : object
        A number, string, list, dictionary, tensor, function, or an object with ``get_config()``.

    Returns
    -------
    plain value
        For an object ``{"module", "class_name", "config", "registered_name"}``, with ``"build_config"`` and
        ``"compile_config"`` where the object offers them.

    Raises
    ------
    TypeError
        For an object without ``get_config()``.

    Examples
    --------
    >>> from gpukeras import regularizers
    >>> serialize_keras_object(regularizers.L1(0.5))["config"]
    {'l1': 0.5}
    """
    if isinstance(obj, _PLAIN):
        return obj
    if isinstance(obj, np.generic):
        return obj.item()
    if isinstance(obj, (list, tuple)) and not hasattr(obj, "get_config"):
        return [serialize_keras_object(item) for item in obj]
    if isinstance(obj, Mapping) and not hasattr(obj, "get_config"):
        return {key: serialize_keras_object(value) for key, value in obj.items()}
    for kind, write in _WRITERS:
        if isinstance(obj, kind):
            return write(obj)
    if callable(obj) and not hasattr(obj, "get_config"):
        return _write_function(obj)
    if not hasattr(obj, "get_config"):
        raise TypeError(
            f"cannot save {obj!r}: class {type(obj).__name__} needs a get_config() method that returns its "
            "constructor arguments"
        )
    return _write_object(obj)


def _write_object(obj) -> dict:
    cls = type(obj)
    module, name = _home_of(cls)
    config = _config_of(obj)
    # A custom class is found again by its registered name; "__main__" would mean another program later.
    if module is None:
        name = cls.__name__
        module = cls.__module__ if cls.__module__ != "__main__" else None
        registered = get_registered_name(cls)
    else:
        registered = None
    found: dict = {"module": module, "class_name": name, "config": config, "registered_name": registered}
    for key, method in (("build_config", "get_build_config"), ("compile_config", "get_compile_config")):
        extra = getattr(obj, method)() if hasattr(obj, method) else None
        if extra:
            found[key] = serialize_keras_object(extra)
    if getattr(_local, "shared", None) is not None:
        found["shared_object_id"] = id(obj)
        _local.shared[id(obj)] = obj  # alive until the scope ends, so that the id stays its own
    return found


def _config_of(obj) -> dict:
    config = obj.get_config()
    if not isinstance(config, Mapping):
        raise TypeError(
            f"get_config() of {type(obj).__name__} must return a dictionary, came {type(config).__name__}"
        )
    return {key: serialize_keras_object(value) for key, value in config.items()}


def _home_of(thing) -> tuple[str | None, str | None]:
    """Return the public module and canonical name of a built-in class or function, else Nones."""
    for registry in REGISTRIES.values():
        name = registry.name_of(thing)
        if name is not None:
            return registry.module_of(name), name
    return None, None


def _write_function(function) -> dict:
    if inspect.isclass(function):
        kind = function.__name__
        return {"module": "builtins", "class_name": "type", "config": kind, "registered_name": "type"}
    if getattr(function, "__name__", None) == "<lambda>":
        return _write_lambda(function)
    if not hasattr(function, "__name__"):
        raise TypeError(
            f"cannot save {function!r}: a callable object needs get_config() and "
            "register_keras_serializable, or use a named function"
        )
    _, name = _home_of(function)
    return {
        "module": "builtins", "class_name": "function", "config": name or get_registered_name(function),
        "registered_name": "function",
    }


def _write_lambda(function) -> dict:
    warnings.warn(
        "a lambda is saved as Python bytecode, which only the same Python version reads and only with "
        "safe_mode=False; use a named function with register_keras_serializable instead",
        UserWarning, stacklevel=4,
    )
    code = base64.encodebytes(marshal.dumps(function.__code__)).decode("ascii")
    closure = tuple(c.cell_contents for c in function.__closure__ or ()) or None
    value = [code, serialize_keras_object(function.__defaults__), serialize_keras_object(closure)]
    return {"class_name": "__lambda__", "config": {"value": value}}


def _write_array(kind):
    def write(x):
        values = x.numpy() if isinstance(x, Tensor) else x
        return {"class_name": kind, "config": {"value": values.tolist(), "dtype": values.dtype.name}}

    return write


def _write_keras_tensor(x) -> dict:
    history = getattr(x, "_keras_history", None)
    if history is not None and hasattr(history, "operation"):
        history = [history.operation.name, history.node_index, history.tensor_index]
    config = {"shape": list(x.shape), "dtype": str(x.dtype), "keras_history": history}
    return {"class_name": "__keras_tensor__", "config": config}


_WRITERS = (
    (KerasTensor, _write_keras_tensor),
    (Tensor, _write_array("__tensor__")),
    (np.ndarray, _write_array("__numpy__")),
    (np.dtype, lambda d: d.name),
    (bytes, lambda b: {"class_name": "__bytes__", "config": {"value": b.decode("utf-8")}}),
    (slice, lambda s: {
        "class_name": "__slice__",
        "config": {k: serialize_keras_object(getattr(s, k)) for k in ("start", "stop", "step")},
    }),
    (type(...), lambda e: {"class_name": "__ellipsis__", "config": {}}),
)


# ---- dictionaries to objects ------------------------------------------------------------------------
def deserialize_keras_object(
    config, custom_objects: Mapping | None = None, safe_mode: bool = True, *, registry=None
):
    """Return the object that ``serialize_keras_object`` described.

    Parameters
    ----------
    config : plain value
        The form of Keras 3, or of Keras 2 (``{"class_name", "config"}``).
    custom_objects : dict, optional
        Names of classes and functions that are not built in.
    safe_mode : bool
        Refuse lambdas stored as bytecode. Set it to False only for files you made yourself: bytecode can do
        anything.
    registry : Registry, optional
        The kind expected, asked first where the configuration does not say which module it means.

    Raises
    ------
    ValueError
        For a class that is neither built in nor registered nor passed in ``custom_objects``, or for a lambda
        in safe mode.
    TypeError
        Where a configuration does not fit its class; the message names the class.
    """
    if isinstance(config, str):
        found = find_custom(config, custom_objects)
        return config if found is None else found
    if isinstance(config, (list, tuple)):
        return type(config)(deserialize_keras_object(c, custom_objects, safe_mode) for c in config)
    if not isinstance(config, Mapping):
        return config
    if "class_name" not in config or "config" not in config:
        return {k: deserialize_keras_object(v, custom_objects, safe_mode) for k, v in config.items()}
    name, inner = config["class_name"], config["config"]
    if name in _READERS:
        return _READERS[name](inner)
    if name == "__lambda__":
        return _read_lambda(inner, safe_mode)
    module = config.get("module")
    if name in ("function", "type") and module in ("builtins", None) and isinstance(inner, str):
        return _read_name(inner, name, custom_objects, registry)
    return _read_object(config, custom_objects, safe_mode, registry)


def _read_object(config, custom_objects, safe_mode, registry):
    shared = getattr(_local, "shared", None)
    shared_id = config.get("shared_object_id")
    if shared is not None and shared_id in shared:
        return shared[shared_id]
    cls = find_class(
        config["class_name"], config.get("module"), config.get("registered_name"), custom_objects, registry
    )
    inner = config["config"]
    if not inspect.isclass(cls) and not inner:  # a function in the form of an object; it is never called here
        return cls
    read = getattr(cls, "from_config", None)
    if read is None:
        raise TypeError(f"{cls!r} needs a from_config(config) class method to be read back")
    with CustomObjectScope(custom_objects or {}), _safe(safe_mode):
        try:
            found = read(dict(inner) if isinstance(inner, Mapping) else inner)
        except TypeError as error:
            raise TypeError(
                f"the configuration of {config['class_name']} does not fit its class: {error}"
            ) from error
        if config.get("build_config") and hasattr(found, "build_from_config"):
            found.build_from_config(config["build_config"])
        if config.get("compile_config") and hasattr(found, "compile_from_config"):
            found.compile_from_config(config["compile_config"])
    if shared is not None and shared_id is not None:
        shared[shared_id] = found
    return found


def find_class(name: str, module: str | None = None, registered_name: str | None = None,
               custom_objects: Mapping | None = None, registry=None):
    """Return the class or function that a configuration names; never imports what a file asks for.

    Parameters
    ----------
    name, module, registered_name : str
        ``class_name``, ``module`` and ``registered_name`` of the configuration.
    custom_objects : dict, optional
    registry : Registry, optional
        The kind expected.
    """
    for custom in (registered_name, name):
        found = find_custom(custom, custom_objects) if custom else None
        if found is not None:
            return found
    for candidate in (_registry_of(module), registry):
        found = candidate.find(name) if candidate is not None else None
        if found is not None:
            return found
    for candidate in _all_registries():
        found = candidate.find(name)
        if found is not None:
            return found
    if registry is not None and module in (None, registry.module):
        raise ValueError(registry.unknown(name))
    near = difflib.get_close_matches(name, {n for r in _all_registries() for n in r}, n=1)
    raise ValueError(
        f"cannot find class {name!r}" + (f" of module {module!r}" if module else "")
        + (f"; did you mean {near[0]!r}?" if near else ".")
        + " A custom class must be known before loading: decorate it with "
        f"@keras.saving.register_keras_serializable(), or pass custom_objects={{{name!r}: {name}}}"
    )


def _registry_of(module: str | None):
    """Return the registry that a module path such as ``keras.src.layers.core.dense`` belongs to."""
    if not module:
        return None
    if module in REGISTRIES:
        return REGISTRIES[module]
    for part in reversed(module.split(".")):
        for name in _MODULES:
            if name.rpartition(".")[2] == part:
                _load(name)
                break
        for public, registry in REGISTRIES.items():
            if public.rpartition(".")[2] == part:
                return registry
    return None


def _all_registries() -> list:
    """Import the modules that hold registries (a fixed list) and return the registries in order of lookup."""
    for name in _MODULES:
        _load(name)
    return list(REGISTRIES.values())


@functools.cache
def _load(name: str) -> None:
    importlib.import_module(f"gpukeras.{name}")


def _read_name(name: str, kind: str, custom_objects, registry):
    found = find_custom(name, custom_objects)
    if found is None:
        registries = [registry] if registry is not None else []
        for candidate in (*registries, *_all_registries()):
            found = candidate.find(name)
            if found is not None:
                break
    if found is None and kind == "type":
        return dtypes.standardize_dtype(name)
    if found is None:
        raise ValueError(
            f"cannot find function {name!r}; decorate it with @keras.saving.register_keras_serializable(), "
            f"or pass custom_objects={{{name!r}: {name}}}"
        )
    return found


_unsafe = False  # whether lambdas may be read, whatever safe_mode says


def enable_unsafe_deserialization() -> None:
    """Read lambdas from now on: see ``config.enable_unsafe_deserialization``."""
    global _unsafe
    _unsafe = True


def _read_lambda(inner, safe_mode):
    outer = getattr(_local, "safe", None)
    if not _unsafe and (safe_mode if outer is None else outer):
        raise ValueError(
            "the configuration holds a lambda as Python bytecode, which could run anything. If you made it "
            "yourself, load it with safe_mode=False (or keras.config.enable_unsafe_deserialization())"
        )
    code, defaults, closure = inner["value"]
    code = marshal.loads(base64.decodebytes(code.encode("ascii")))
    if closure is not None:
        closure = tuple(types.CellType(value) for value in closure)
    import gpukeras

    names = {"keras": gpukeras, "np": np, "__builtins__": __builtins__}
    defaults = None if defaults is None else tuple(defaults)
    return types.FunctionType(code, names, code.co_name, defaults, closure)


class _safe:
    """Let the outermost call decide: ``from_config`` methods call back with a ``safe_mode`` of their own."""

    def __init__(self, safe_mode: bool):
        self.safe_mode = safe_mode

    def __enter__(self):
        self._before = getattr(_local, "safe", None)
        _local.safe = self.safe_mode if self._before is None else self._before

    def __exit__(self, *exc):
        _local.safe = self._before


def _tensor(inner):
    return Tensor(to_array(np.asarray(inner["value"], inner["dtype"]), inner["dtype"]))


_READERS = {
    "__tensor__": _tensor,
    "__numpy__": lambda c: np.asarray(c["value"], dtype=np.dtype(c["dtype"])),
    "__bytes__": lambda c: c["value"].encode("utf-8"),
    "__ellipsis__": lambda c: ...,
    "__slice__": lambda c: slice(c["start"], c["stop"], c["step"]),
    "__keras_tensor__": lambda c: KerasTensor(tuple(c["shape"]), dtype=c["dtype"]),
}

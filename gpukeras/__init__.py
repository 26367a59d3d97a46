"""gpukeras: Keras on NumPy (CPU) and CuPy (NVIDIA GPU).

    import gpukeras as keras

Modules and classes load when they are first used, so that importing the package takes no time.
"""

from __future__ import annotations

import importlib as _importlib
import os as _os

# A bare clone: backends/ and kernels/ lie beside this folder instead of inside it.
if not _os.path.isdir(_os.path.join(__path__[0], "backends")):
    __path__.append(_os.path.dirname(__path__[0]))

from gpukeras import lazy as _lazy
from gpukeras.compat import paths as _paths
from gpukeras.version import __version__

_MODULES = (
    "activations", "autograd", "backends", "callbacks", "compat", "config", "constraints", "datasets",
    "dtype_policies", "experimental", "initializers", "layers", "losses", "metrics", "mixed_precision",
    "models", "ops", "optimizers", "random", "regularizers", "saving", "tree", "utils", "version",
)
_HOMES = {  # public name -> module that defines it
    "Tensor": "tensor", "Variable": "tensor", "KerasTensor": "symbolic", "Operation": "symbolic",
    "GradientTape": "autograd", "custom_gradient": "autograd", "stop_gradient": "autograd",
    "StatelessScope": "scopes", "SymbolicScope": "scopes", "name_scope": "layers.tracking",
    "RematScope": "rematerialization", "remat": "rematerialization", "Function": "models",
    "Model": "models", "Sequential": "models", "Functional": "models",
    "Input": "layers", "Layer": "layers", "InputSpec": "layers",
    "Loss": "losses", "Metric": "metrics", "Optimizer": "optimizers", "Initializer": "initializers",
    "Regularizer": "regularizers", "Constraint": "constraints", "Callback": "callbacks",
    "DTypePolicy": "dtype_policies", "FloatDTypePolicy": "dtype_policies", "device": "config",
    "DeviceError": "backends",
}
__all__ = ["__version__"] + list(_MODULES) + list(_HOMES)

_paths.install()
_find, __dir__ = _lazy.names(
    __name__, {name: f"gpukeras.{home}" for name, home in _HOMES.items()} | dict.fromkeys(_MODULES, "")
)


def __getattr__(name: str):
    if name in _MODULES:
        return _importlib.import_module(f"gpukeras.{name}")
    if name in _HOMES:
        # Operators are bound to tensors by the ops: whoever holds a tensor can calculate with it.
        _importlib.import_module("gpukeras.ops")
    return _find(name)

"""``@op``: one differentiable function on tensors, from a forward pass that returns its own gradient.

The decorated function computes on arrays and returns ``(result, vjp)``; the decorator adds everything else:
numbers and NumPy arrays become tensors, symbolic inputs give symbolic outputs, devices may not mix, and an
open tape gets a record.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Protocol, cast

import numpy as np

from gpukeras import autograd, backends, dtypes, symbolic
from gpukeras.tensor import Tensor, Variable, to_array

REGISTRY: dict[str, Op] = {}  # public ops by name: saved models and tests look them up
_STATE = autograd.STATE
_ARRAY = np.ndarray


class Op(Protocol):
    """What ``@op`` makes of a function: the public op and how it was declared."""

    __name__: str
    shape_rule: Callable
    scalars: bool
    tensor_count: int
    capturable: bool  # whether a recorded step may have it between its layers

    def __call__(self, *args, **kwargs) -> Any: ...


def op(
    *, shape: Callable, dtype="promote", tensors: int | str = 1, scalars: bool = False,
    bfloat16: str = "wide", results: type = tuple,
) -> Callable:
    """Make a public op of a function ``f(*tensors, *settings) -> (arrays, vjp)``.

    Parameters
    ----------
    shape : callable
        Shape rule, called like ``f`` with shapes in place of tensors; a list of shapes means several outputs.
    dtype : str or callable
        ``"promote"``: the inputs' common type; ``"float"``: that, made floating; the name of a dtype; or a
        rule called like ``f`` with dtype names in place of tensors (a list for several outputs).
    tensors : int or "list" or "args"
        How many leading parameters are tensors (``None`` may stand for one); ``"list"``: the first parameter
        is a sequence of tensors; ``"args"``: ``*args`` are.
    scalars : bool
        Elementwise ops: Python numbers stay scalars and take the other operand's dtype.
    bfloat16 : {"wide", "kernels", "as is"}
        Who takes arrays of that type: nobody, the op is computed in float32 and its results are rounded;
        ``f`` where the backend has kernels for them (``takes_bfloat16``); or ``f`` everywhere, as it only
        moves elements.
    results : tuple or list
        What holds several symbolic outputs; those of ``f`` come in what ``f`` returns.

    Notes
    -----
    ``f`` gets Tensors and returns arrays. ``vjp`` takes the gradient of the result as a Tensor (for several
    outputs a tuple, ``None`` where nothing depends on an output) and returns one gradient per tensor input:
    Tensors made by ops (then second order works) or plain arrays; ``None`` where there is none. A ``vjp`` of
    ``None`` says that the op has no gradient. ``vjp`` must never write into ``dy``.
    """

    def decorate(f: Callable) -> Callable:
        names = list(inspect.signature(f).parameters)
        listed = tensors == "list"
        count = None if isinstance(tensors, str) else tensors

        @functools.wraps(f)
        def call(*args, **kwargs):
            if count is None:
                if listed:
                    if not args:
                        args = (kwargs.pop(names[0]),)
                    inputs, rest = tuple(args[0]), args[1:]
                    if not inputs:
                        raise ValueError(f"{f.__name__} needs at least one tensor, came an empty list")
                else:
                    inputs, rest = args, ()
            elif len(args) >= count:
                inputs, rest = args[:count], args[count:]
            else:
                inputs, rest = _bind(f, names, count, args, kwargs), ()

            # The common case: tensors of one device. Anything else takes the longer way.
            kind: Any = None
            for x in inputs:
                t = type(x)
                if t is not Tensor and (t is not Variable or _STATE.autocast):
                    if x is None:
                        continue
                    break
                if kind is None:
                    kind = type(x.array)
                elif type(x.array) is not kind:
                    break
            else:
                kind = True
            if kind is not True:
                paired = _with_number(*inputs) if scalars and count == 2 else None
                if paired is not None:
                    inputs = paired
                elif symbolic.any_symbolic(inputs):
                    return _record_symbolic(inputs, rest, args, kwargs)
                else:
                    inputs = _as_tensors(f.__name__, inputs, scalars)

            if dtypes.BFLOAT16 is not None and bfloat16 != "as is" and _needs_wide(inputs, bfloat16):
                kinds = [None if x is None else x.array.dtype.name for x in inputs]
                wide = [_widened(x) for x in inputs]
                outputs = call(wide, *rest, **kwargs) if listed else call(*wide, *rest, **kwargs)
                return _rounded(outputs, result_dtype(kinds, rest, kwargs))

            if backends.several_gpus:
                with backends.scope_of(f.__name__, [x.array for x in inputs if x is not None]):
                    result, vjp = f(inputs, *rest, **kwargs) if listed else f(*inputs, *rest, **kwargs)
            elif listed:
                result, vjp = f(inputs, *rest, **kwargs)
            else:
                result, vjp = f(*inputs, *rest, **kwargs)
            if type(result) is _ARRAY:
                output = Tensor(result)
                if vjp is not None and _STATE.tapes:
                    autograd.record(f.__name__, inputs, (output,), vjp)
                return output
            if isinstance(result, (tuple, list)):
                outputs = type(result)(Tensor(_as_array(a, inputs)) for a in result)
                if vjp is not None and _STATE.tapes:
                    autograd.record(f.__name__, inputs, outputs, vjp)
                return outputs
            output = Tensor(_as_array(result, inputs))
            if vjp is not None and _STATE.tapes:
                autograd.record(f.__name__, inputs, (output,), vjp)
            return output

        def _record_symbolic(inputs, rest, args, kwargs):
            operation = symbolic.OpCall(call)
            outputs = infer(inputs, rest, kwargs)
            if count is not None and len(args) < count:  # tensors given by keyword: keep them by position
                args = (*inputs, *rest)
            symbolic.Node(operation, args, kwargs, outputs)
            return outputs

        def infer(inputs, rest, kwargs):
            common = _common_dtype(inputs)
            known = [_symbolic_input(x, common) for x in inputs]
            shapes = [None if s is None else s[0] for s in known]
            kind = result_dtype([None if s is None else s[1] for s in known], rest, kwargs)
            rest, settings = settings_of(rest, kwargs)
            found = shape(*shapes, *rest, **settings)
            if isinstance(found, list):
                kinds = kind if isinstance(kind, list) else [kind] * len(found)
                return results(symbolic.KerasTensor(s, k) for s, k in zip(found, kinds))
            return symbolic.KerasTensor(found, kind)

        def settings_of(rest, kwargs):
            # Lists of tensors travel as separate shapes: rule(*shapes, **settings).
            return ((), {**dict(zip(names[1:], rest)), **kwargs}) if listed else (rest, kwargs)

        def result_dtype(kinds, rest, kwargs):
            """Return the name of the result's dtype, or a list of them, by those of the inputs."""
            types = [k for k in kinds if k is not None]
            if dtype == "promote":
                return dtypes.result_type(*types).name
            if dtype == "float":
                return dtypes.float_type(dtypes.result_type(*types)).name
            if callable(dtype):
                rest, settings = settings_of(rest, kwargs)
                return dtype(*kinds, *rest, **settings)
            return dtype

        made = cast(Op, call)
        made.shape_rule = shape
        made.scalars = scalars
        made.capturable = False
        made.tensor_count = 1 if listed else len(names) if count is None else count
        REGISTRY[f.__name__] = made
        return made

    return decorate


# ---- bfloat16 ------------------------------------------------------------------------------------------
def _needs_wide(inputs, bfloat16: str) -> bool:
    """Tell whether a tensor of that type is among the inputs, and nobody there who computes on it."""
    narrow = dtypes.BFLOAT16
    found = next((x for x in inputs if x is not None and x.array.dtype == narrow), None)
    return found is not None and (bfloat16 == "wide" or not found.backend.takes_bfloat16)


def _widened(x):
    """Return bfloat16 as float32; the tape learns of it, so that gradients are rounded on their way back."""
    return x if x is None or x.array.dtype != dtypes.BFLOAT16 else REGISTRY["cast"](x, "float32")


def _rounded(outputs, kinds):
    """Return results that were computed in float32 in bfloat16 where the rule says so."""
    if isinstance(outputs, Tensor):
        return REGISTRY["cast"](outputs, kinds) if kinds == "bfloat16" else outputs
    kinds = kinds if isinstance(kinds, list) else [kinds] * len(outputs)
    return type(outputs)(_rounded(y, kind) for y, kind in zip(outputs, kinds))


# ---- inputs --------------------------------------------------------------------------------------------
def _bind(f, names, count, args, kwargs):
    """Collect tensor parameters some of which were given by keyword (they leave ``kwargs``)."""
    found = list(args)
    parameters = inspect.signature(f).parameters
    for name in names[len(args):count]:
        if name in kwargs:
            found.append(kwargs.pop(name))
        elif parameters[name].default is not inspect.Parameter.empty:
            found.append(parameters[name].default)
        else:
            raise TypeError(f"{f.__name__}() is missing its argument {name!r}")
    return tuple(found)


def _as_array(value, inputs):
    """Turn a NumPy scalar, as reductions return it, into an array; leave arrays alone.

    What was made of numbers alone (gradients of ops with a number beside a tensor do that) stays a number: it
    belongs to no device.
    """
    if not isinstance(value, np.generic):
        return value
    if all(x is None or isinstance(x.array, np.generic) for x in inputs):
        return value
    return np.asarray(value)


def _with_number(x1, x2):
    """Return the operands where one is a floating tensor and one a Python number, else ``None``."""
    tensor, number = (x1, x2) if isinstance(x1, Tensor) else (x2, x1)
    if type(number) is not float and type(number) is not int or not isinstance(tensor, Tensor):
        return None
    dtype = tensor.array.dtype
    if dtype.kind not in dtypes.FLOAT_KINDS or (type(tensor) is not Tensor and _STATE.autocast):
        return None
    scalar = Tensor(dtype.type(number))
    return (tensor, scalar) if tensor is x1 else (scalar, tensor)


def _as_tensors(name: str, inputs, scalars: bool) -> tuple:
    """Turn numbers and host arrays among ``inputs`` into tensors beside the tensors already there."""
    backend = None
    kinds = []
    for x in inputs:
        if isinstance(x, Tensor) and not isinstance(x.array, np.generic):
            found = x.backend
            if backend is None:
                backend = found
            elif found is not backend:
                raise backends.mixed(name, backend.name, found.name)
            kinds.append(x.array.dtype)
    common = dtypes.result_type(*kinds) if kinds else None
    converted = []
    for x in inputs:
        if x is None:
            pass
        elif isinstance(x, Tensor):
            if _STATE.autocast and isinstance(x, Variable) and x.autocast and dtypes.is_float(x.dtype):
                if x.dtype != _STATE.autocast:
                    x = _read_as(x, _STATE.autocast)
            elif not scalars and backend is not None and isinstance(x.array, np.generic):
                x = Tensor(backend.asarray(x.array))
        elif isinstance(x, (bool, int, float, np.generic)) and backend is not None and common is not None:
            kind = _scalar_dtype(x, common)
            x = Tensor(kind.type(x)) if scalars else Tensor(backend.asarray(x, kind))
        else:
            keep = common is not None and isinstance(x, np.ndarray) and _both_float(x.dtype, common)
            x = Tensor(to_array(x, common if keep else None, backend))
        converted.append(x)
    return tuple(converted)


def _read_as(variable, dtype):
    """Cast a variable to the compute dtype; the cast itself reads it as it is."""
    _STATE.autocast = None
    try:
        return REGISTRY["cast"](variable, dtype)
    finally:
        _STATE.autocast = dtype


def _scalar_dtype(x, common: np.dtype) -> np.dtype:
    """Dtype of a number beside tensors of type ``common``: the tensors decide, a float needs a float."""
    if isinstance(x, (float, np.floating)):
        return dtypes.float_type(common)
    if isinstance(x, (bool, np.bool_)) or common.kind != "b":
        return common
    return np.dtype("int32")


def _common_dtype(inputs):
    kinds = [x.dtype for x in inputs if isinstance(x, (Tensor, symbolic.KerasTensor))]
    return dtypes.result_type(*kinds) if kinds else None


def _symbolic_input(x, common):
    """Return (shape, dtype name) of one input of a symbolic call."""
    if x is None:
        return None
    if isinstance(x, (bool, int, float, np.generic)) and common is not None:
        return (), _scalar_dtype(x, common).name
    if isinstance(x, (Tensor, symbolic.KerasTensor)):
        if _STATE.autocast and isinstance(x, Variable) and x.autocast and dtypes.is_float(x.dtype):
            return x.shape, _STATE.autocast  # as ``_as_tensors`` reads it
        return x.shape, np.dtype(x.dtype).name
    x = np.asarray(x)
    return x.shape, (common if _both_float(x.dtype, common) else x.dtype).name


def _both_float(dtype, common) -> bool:
    return common is not None and dtype.kind in dtypes.FLOAT_KINDS and common.kind in dtypes.FLOAT_KINDS

"""What a kernel is launched with, checked: CuPy checks next to nothing of it."""

from __future__ import annotations

import ctypes
import dataclasses

import numpy as np

from .settings import LaunchError

SAME_BYTES = {("bool", "uint8"), ("uint8", "bool"), ("bfloat16", "uint16")}


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One parameter of a kernel; ``bytes`` is the size of a value, the alignment of an array's elements."""

    name: str
    is_array: bool
    constant: bool
    bytes: int
    dtype: str
    lanes: int
    restricted: bool


def parameters_of(library, kernel) -> list[Parameter]:
    """Ask the compiled code for the parameters' types."""
    describe = getattr(library, f"emulator_parameters_{kernel.name}")
    describe.restype = ctypes.c_char_p
    found = []
    for i, line in enumerate(describe().decode().splitlines()):
        kind, constant, size, dtype, *lanes = line.split()
        found.append(Parameter(kernel.parameters[i], kind == "array", constant == "const", int(size), dtype,
                               int(lanes[0]) if lanes else 1, kernel.restricted[i]))
    return found


@dataclasses.dataclass
class Arguments:
    """Checked arguments: values in kernel order, and the arrays among them."""

    values: list  # ctypes or NumPy buffers; those of arrays are filled when the kernel starts
    arrays: list  # (position, parameter, host array)


def checked(kernel_name: str, parameters, given, array_type, current_device) -> Arguments:
    """Return the arguments as memory, or say what a GPU would have misunderstood."""
    if len(given) != len(parameters):
        names = ", ".join(p.name for p in parameters)
        raise LaunchError(
            f"kernel {kernel_name}: takes {len(parameters)} arguments ({names}), came {len(given)}"
        )
    found = Arguments([], [])
    for position, (parameter, value) in enumerate(zip(parameters, given)):
        where = f"kernel {kernel_name}, argument `{parameter.name}`"
        if not parameter.is_array:
            found.values.append(_value(where, parameter, value))
            continue
        found.values.append(ctypes.c_uint64(0))
        if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value == 0:
            continue  # the null pointer; None is none (cupy/cupy#9046)
        _check_array(where, parameter, value, array_type, current_device)
        found.arrays.append((position, parameter, value._host))
    _check_overlap(kernel_name, found.arrays)
    return found


def _check_array(where, parameter, value, array_type, current_device) -> None:
    if isinstance(value, np.ndarray):
        raise TypeError(f"{where}: expected an array of the device, came a NumPy array")
    if not isinstance(value, array_type):
        raise LaunchError(f"{where}: expected an array of the device, came {type(value).__name__} {value!r}")
    if value._device != current_device:
        raise LaunchError(f"{where}: the array is on device {value._device}, the launch on {current_device}")
    host = value._host
    dtype = host.dtype.name
    if parameter.dtype not in ("void", "?", dtype) and (parameter.dtype, dtype) not in SAME_BYTES:
        raise LaunchError(f"{where}: expected {parameter.dtype}, came {dtype}")
    if not host.flags.c_contiguous:
        raise LaunchError(
            f"{where}: kernels ignore strides, came an array of shape {host.shape} with strides "
            f"{host.strides}; use cupy.ascontiguousarray"
        )
    if parameter.dtype != "?" and offset(host, max(parameter.bytes, 1)):
        raise LaunchError(
            f"{where}: its elements need addresses divisible by {parameter.bytes}, the array starts "
            f"{offset(host, parameter.bytes)} bytes past one"
        )


def _value(where, parameter, value):
    dtype = parameter.dtype
    if isinstance(value, np.ndarray) and value.size == 1 and dtype != "?":
        value = value.reshape(())[()]
    if dtype == "?":  # a structure
        one = isinstance(value, (np.generic, np.ndarray)) and value.size == 1
        if one and value.nbytes == parameter.bytes:
            return np.array(value)
        raise LaunchError(f"{where}: expected one NumPy value of {parameter.bytes} bytes, came {value!r}")
    if isinstance(value, np.generic):
        name = "uint16" if dtype == "bfloat16" else dtype
        if value.dtype.name != name:
            raise LaunchError(f"{where}: expected numpy.{name}, came numpy.{value.dtype.name}")
        return np.asarray(value).copy()
    if isinstance(value, (int, bool)) and np.dtype(dtype if dtype != "bfloat16" else "float32").kind in "iub":
        limits = np.iinfo(dtype) if dtype != "bool" else np.iinfo("uint8")
        if not limits.min <= value <= limits.max:
            raise LaunchError(f"{where}: {value} does not fit into {dtype}")
        return np.asarray(value, dtype)  # CuPy passes eight bytes, of which the kernel reads the lowest
    if type(value) is float:
        if dtype != "float64":
            raise LaunchError(
                f"{where}: a Python float is passed as a double, expected {dtype}: numpy.{dtype}(...)"
            )
        return np.asarray(value, dtype)
    raise LaunchError(f"{where}: expected {dtype}, came {type(value).__name__} {value!r}")


def _check_overlap(kernel_name, arrays) -> None:
    for i, (_, first, a) in enumerate(arrays):
        for _, second, b in arrays[i + 1:]:
            if not (first.restricted or second.restricted) or first.constant and second.constant:
                continue
            start, other = address(a), address(b)
            if start < other + b.nbytes and other < start + a.nbytes:
                raise LaunchError(
                    f"kernel {kernel_name}: `{first.name}` and `{second.name}` share memory, and are "
                    "__restrict__"
                )


def address(host: np.ndarray) -> int:
    return host.__array_interface__["data"][0]


def root(host: np.ndarray) -> np.ndarray:
    """Return the array that owns the memory of ``host``."""
    while True:
        base = host.base
        if not isinstance(base, np.ndarray):
            base = getattr(base, "base", None)  # as_strided puts an object of its own in between
        if not isinstance(base, np.ndarray):
            return host
        host = base


def offset(host: np.ndarray, unit: int = 16) -> int:
    """Return the address modulo ``unit``, as on a GPU, where allocations start at multiples of 512."""
    if unit <= 16:
        return address(host) % unit  # that of allocations is 0 on the host as well
    return (address(host) - address(root(host))) % unit

"""NVIDIA's cuBLAS for large products, called by ctypes on CuPy's handle.

CuPy refuses its own cuBLAS calls while a graph is captured. They are legal there as long as the handle's
workspace is memory that was given to it, so every call here first sets stream, workspace and arithmetic: CuPy
shares the handle and sets its own. The library is the one that CuPy has loaded; where it is missing,
``problem()`` tells why and ``gemm`` computes everything with its own kernels.
"""

from __future__ import annotations

import ctypes
import functools
import os
import pathlib
import sys
from ctypes import POINTER, c_float, c_int, c_longlong, c_size_t, c_void_p

import cupy

from . import launch

TYPES = {"float32": 0, "float16": 2, "bfloat16": 14}  # CUDA_R_32F, CUDA_R_16F, CUDA_R_16BF
PLAIN, TURNED = 0, 1  # CUBLAS_OP_N, CUBLAS_OP_T
COMPUTE_FLOAT, COMPUTE_TF32 = 68, 77  # CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_32F_FAST_TF32
USUAL_MATH = 0  # CUBLAS_DEFAULT_MATH: what is computed in is asked for at each call
USUAL_ALGORITHM = -1  # CUBLAS_GEMM_DEFAULT
WORKSPACE = {90: 32 << 20, 0: 8 << 20}  # bytes, from a compute capability on: what NVIDIA recommends, or more
MOST = (1 << 31) - 1  # of a side, a line and a batch

_MATRIX = [c_void_p, c_int, c_int]  # pointer, type, elements of a line
_OPERATIONS = [c_void_p, c_int, c_int, c_int, c_int, c_int, POINTER(c_float)]
SIGNATURES = {
    "cublasSetStream_v2": [c_void_p, c_void_p],
    "cublasSetWorkspace_v2": [c_void_p, c_void_p, c_size_t],
    "cublasSetMathMode": [c_void_p, c_int],
    "cublasGemmEx": [*_OPERATIONS, *_MATRIX, *_MATRIX, POINTER(c_float), *_MATRIX, c_int, c_int],
    "cublasGemmStridedBatchedEx": [
        *_OPERATIONS, *_MATRIX, c_longlong, *_MATRIX, c_longlong, POINTER(c_float), *_MATRIX, c_longlong,
        c_int, c_int, c_int,
    ],
}
STATUS = {
    1: "not initialised", 3: "allocation failed", 7: "invalid value", 8: "not for this architecture",
    11: "mapping error", 13: "execution failed", 14: "internal error", 15: "not supported",
}


class LibraryMissing(RuntimeError):
    """cuBLAS was not found."""


class LibraryError(RuntimeError):
    """cuBLAS refused a call."""


# ---- the library -----------------------------------------------------------------------------------------
def candidates(major: int) -> list[str]:
    """Return names and paths of the library, the best first."""
    if sys.platform == "win32":
        name, folders = f"cublas64_{major}.dll", ("bin", "bin/x64")
    else:
        name, folders = f"libcublas.so.{major}", ("lib64", "lib")
    found = [*_loaded(name), name]
    for entry in sys.path:  # NVIDIA's wheels
        for home in (f"nvidia/cublas/{folders[-1]}", f"nvidia/cu{major}/{folders[-1]}", "nvidia/cublas/bin"):
            path = pathlib.Path(entry or ".", home, name)
            if path.is_file():
                found.append(str(path))
    if toolkit := os.environ.get("CUDA_PATH"):
        found += [str(pathlib.Path(toolkit, folder, name)) for folder in folders]
    return list(dict.fromkeys(found))


def _loaded(name: str) -> list[str]:
    """Return the file of that name that this process has mapped."""
    try:
        lines = pathlib.Path("/proc/self/maps").read_text().splitlines()
    except OSError:  # another system
        return []
    return [line[line.index("/"):] for line in lines if f"/{name}" in line][:1]


@functools.cache
def _found():
    """Return the library with its functions typed, or why there is none."""
    try:
        major = cupy.cuda.runtime.runtimeGetVersion() // 1000
        cupy.cuda.get_cublas_handle()  # CuPy loads its library
    except Exception as error:  # loader, CUDA and stand-ins each have their own types
        return f"CuPy has no cuBLAS: {type(error).__name__}: {error}"
    tried = candidates(major)
    for place in tried:
        try:
            return typed(ctypes.CDLL(place))
        except (OSError, AttributeError) as error:
            reason = error
    return (
        f"cuBLAS of CUDA {major} was not found (last: {reason}); looked for {', '.join(tried)}. It comes "
        f"with pip install 'cupy-cuda{major}x[ctk]'"
    )


def typed(library):
    """Return a library after its functions were given their argument types."""
    for name, types in SIGNATURES.items():
        function = getattr(library, name)
        function.argtypes, function.restype = types, c_int
    return library


def problem() -> str | None:
    """Return why cuBLAS cannot be used, or ``None``."""
    found = _found()
    return found if isinstance(found, str) else None


def _library():
    found = _found()
    if isinstance(found, str):
        raise LibraryMissing(found)
    return found


def _call(name: str, *args) -> None:
    status = getattr(_library(), name)(*args)
    if status:
        raise LibraryError(f"{name} answered {status} ({STATUS.get(status, 'unknown')}) to {args}")


# ---- products --------------------------------------------------------------------------------------------
_workspaces: dict = {}  # by device and stream: calls in one stream follow each other


def _workspace(stream: int):
    key = cupy.cuda.runtime.getDevice(), stream
    found = _workspaces.get(key)
    if found is None:
        size = next(size for least, size in WORKSPACE.items() if launch.capability() >= least)
        found = _workspaces[key] = cupy.empty(size, "uint8")
    return found


def _handle() -> int:
    """Return CuPy's handle, ready for a call in the current stream."""
    handle, stream = cupy.cuda.get_cublas_handle(), cupy.cuda.get_current_stream().ptr
    _call("cublasSetStream_v2", handle, stream)
    workspace = _workspace(stream)  # setting a stream takes the workspace away
    _call("cublasSetWorkspace_v2", handle, workspace.data.ptr, workspace.nbytes)
    _call("cublasSetMathMode", handle, USUAL_MATH)
    return handle


def takes(*arrays) -> bool:
    """Tell whether the library multiplies these arrays: one dtype, sides that it can count."""
    kind = arrays[0].dtype
    return kind.name in TYPES and all(
        x.dtype == kind and x.size and max(x.shape) <= MOST for x in arrays
    )


def multiply(a, b, kind: str = "nn", *, alpha: float = 1.0, out=None, tf32: bool = False):
    """Return ``alpha * a @ b``.

    Parameters
    ----------
    a : array, shape (M, K), turned (K, M), or with an axis of matrices before
    b : array, shape (K, N), turned (N, K), or with an axis of matrices before
        Both contiguous, of float32 or a half.
    kind : {"nn", "nt", "tn", "tt"}
        Which operand lies turned in memory.
    alpha : float
    out : array, shape (M, N), optional
        Takes the result; contiguous.
    tf32 : bool
        float32 operands may be rounded to ten bits of fraction.

    Raises
    ------
    LibraryMissing, LibraryError

    Notes
    -----
    The library's matrices lie column by column. Read so, ours are turned: it is asked for ``b^T a^T``, which
    is ``c`` turned.
    """
    m, k = a.shape[-2:] if kind[0] == "n" else a.shape[:-3:-1]
    inner, n = b.shape[-2:] if kind[1] == "n" else b.shape[:-3:-1]
    batches = {x.shape[0] for x in (a, b) if x.ndim == 3}
    if inner != k or len(batches) > 1:
        raise ValueError(f"cublas {kind}: operands of shapes {a.shape} and {b.shape} do not fit")
    lead = a.shape[:-2] or b.shape[:-2]
    c = cupy.empty((*lead, m, n), a.dtype) if out is None else out
    element = TYPES[a.dtype.name]
    compute = COMPUTE_TF32 if tf32 and a.dtype.itemsize == 4 else COMPUTE_FLOAT
    one, nothing = ctypes.byref(c_float(alpha)), ctypes.byref(c_float(0))
    operations = [PLAIN if o == "n" else TURNED for o in (kind[1], kind[0])]
    right, left, result = ((x.data.ptr, element, x.shape[-1]) for x in (b, a, c))
    handle = _handle()
    if lead:
        steps = [x.shape[-2] * x.shape[-1] if x.ndim == 3 else 0 for x in (b, a, c)]
        _call(
            "cublasGemmStridedBatchedEx", handle, *operations, n, m, k, one, *right, steps[0], *left,
            steps[1], nothing, *result, steps[2], lead[0], compute, USUAL_ALGORITHM,
        )
    else:
        _call(
            "cublasGemmEx", handle, *operations, n, m, k, one, *right, *left, nothing, *result, compute,
            USUAL_ALGORITHM,
        )
    return c

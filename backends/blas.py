"""What NumPy's BLAS offers beside products: its number of threads, and sums of scaled vectors in one pass.

NumPy has no functions for these; the library it has loaded is asked by its own C functions. Where it is not
found, or is one without them (Accelerate on a Mac), everything works without.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Any

import numpy as np

from .program import note, plain

# Of each: get and set the number of threads, y = a x + b y for the letter s (float32) or d (float64).
NAMES = (
    ("scipy_openblas_get_num_threads64_", "scipy_openblas_set_num_threads64_", "scipy_cblas_{}axpby64_"),
    ("scipy_openblas_get_num_threads", "scipy_openblas_set_num_threads", "scipy_cblas_{}axpby"),
    ("openblas_get_num_threads64_", "openblas_set_num_threads64_", "cblas_{}axpby64_"),
    ("openblas_get_num_threads", "openblas_set_num_threads", "cblas_{}axpby"),
    ("MKL_Get_Max_Threads", "MKL_Set_Num_Threads", "cblas_{}axpby"),
    ("bli_thread_get_num_threads", "bli_thread_set_num_threads", "cblas_{}axpby"),
)
MAPS = Path("/proc/self/maps")  # Linux: the files this process has loaded


class Blas:
    """The functions of a BLAS; those that it lacks are ``None``."""

    def __init__(self, library=None, names=None):
        self.get_threads: Any = None
        self.set_threads: Any = None
        self.axpby: dict = {}
        self.core = ""  # the kind of processor whose kernels it uses, where it tells
        if library is None:
            return
        core = getattr(library, names[0].replace("get_num_threads", "get_corename"), None)
        if core is not None and "openblas" in names[0]:
            core.restype = ctypes.c_char_p
            self.core = (core() or b"").decode().lower()
        self.get_threads, self.set_threads = getattr(library, names[0]), getattr(library, names[1])
        self.set_threads.argtypes, self.set_threads.restype = [ctypes.c_int], None
        whole, address = ctypes.c_int64, ctypes.c_void_p  # a library with 32-bit sizes reads the lower half
        for letter, kind, real in (("s", "float32", ctypes.c_float), ("d", "float64", ctypes.c_double)):
            call = getattr(library, names[2].format(letter), None)
            if call is not None:
                call.argtypes = [whole, real, address, whole, real, address, whole]
                call.restype = None
                self.axpby[np.dtype(kind)] = call

    def scaled_sum(self, a, x, b, y) -> bool:
        """Do ``y = a x + b y`` with vectors, if possible; tell whether it was."""
        a, x, b, y = plain(a), plain(x), plain(b), plain(y)
        call = self.axpby.get(y.dtype)
        if call is None or x.dtype != y.dtype or x.size != y.size or not y.size:
            return False
        if not x.flags.carray or not y.flags.carray:
            return False
        call(y.size, a, _address(x), 1, b, _address(y), 1)
        note(self.scaled_sum, a, x, b, y)
        return True


def _address(array) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(array))  # five times as fast as array.ctypes.data


_found: Blas | None = None


def current() -> Blas:
    """Return NumPy's BLAS, looked for once."""
    global _found
    if _found is None:
        _found = find()
    return _found


def find() -> Blas:
    """Look for NumPy's BLAS among the libraries of this process."""
    for path in _files():
        try:
            library = ctypes.CDLL(str(path))
        except OSError:
            continue
        for names in NAMES:
            if hasattr(library, names[0]) and hasattr(library, names[1]):
                return Blas(library, names)
    return Blas()


def _files() -> list[Path]:
    """Return files that may be NumPy's BLAS: those this process has loaded, or those beside NumPy."""
    words = ("openblas", "mkl_rt", "libblis")
    if MAPS.exists():
        found = {line.split(maxsplit=5)[-1] for line in MAPS.read_text().splitlines() if "/" in line}
        return sorted(Path(f) for f in found if any(w in Path(f).name for w in words))
    home = Path(np.__file__).parent
    folders = [home.parent / "numpy.libs", home / ".dylibs", home / "_distributor_init_local"]
    build = np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"]
    if build != "accelerate":  # a conda environment: there the library serves everybody
        folders += [Path(sys.prefix) / "lib", Path(sys.prefix) / "Library" / "bin"]
    files = [f for folder in folders if folder.is_dir() for f in sorted(folder.iterdir())]
    return [f for f in files if any(w in f.name for w in words)]

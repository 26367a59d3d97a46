"""Reading data files without trusting them.

Where a format needs pickle (ragged lists in ``.npz``, the CIFAR batches), an unpickler that can build arrays,
lists, numbers and text, and call nothing else, reads it.
"""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path

import numpy as np

from gpukeras.utils.files import cache_folder, get_file

BASE = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
_LARGEST = 1 << 31  # no member of a data file unpacks to more than 2 GB

# What the pickles of NumPy arrays name, in the spelling of old and new NumPy.
_ALLOWED = {
    (module, name)
    for module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")
    for name in ("_reconstruct", "ndarray", "dtype", "scalar")
} | {("_codecs", "encode")}


class ArrayUnpickler(pickle.Unpickler):
    """An unpickler that admits arrays and plain values; anything else is a ``pickle.UnpicklingError``."""

    def find_class(self, module, name):
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(
                f"the file wants to call {module}.{name}; only arrays, lists, numbers and text are read"
            )
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def cached(path: str, origin: str, file_hash: str) -> str:
    """Return the path of a data file: ``path`` itself where it has a folder, else the cache's file."""
    if os.path.dirname(path):
        if not os.path.isfile(os.path.expanduser(path)):
            raise FileNotFoundError(f"there is no file {path}; the original is at {origin}")
        return os.path.expanduser(path)
    return get_file(path, origin=origin, file_hash=file_hash)


def datasets_folder() -> Path:
    """Return the folder of the cache that holds data sets."""
    return cache_folder() / "datasets"


def read_npz(path: str, names: tuple[str, ...]) -> list[np.ndarray]:
    """Return the named arrays of an ``.npz`` file.

    Raises
    ------
    ValueError
        Where the file is no such archive, lacks a name, or holds anything but arrays, lists and numbers.
    """
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is no .npz file; remove it, so that it is downloaded again")
    with zipfile.ZipFile(path) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        missing = [name for name in names if name not in members]
        if missing:
            raise ValueError(f"{path} lacks {missing}; it holds {sorted(members)}")
        return [_read_npy(archive, members[name], path) for name in names]


def _read_npy(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: str) -> np.ndarray:
    if info.file_size > _LARGEST:
        raise ValueError(f"{path}: {info.filename} would unpack to {info.file_size} bytes; refused")
    with archive.open(info) as f:
        version = np.lib.format.read_magic(f)
        form = np.lib.format
        read = form.read_array_header_1_0 if version == (1, 0) else form.read_array_header_2_0
        _, _, dtype = read(f)
        if dtype.hasobject:
            try:
                return np.asarray(ArrayUnpickler(f, encoding="ASCII").load())
            except pickle.UnpicklingError as error:
                raise ValueError(f"{path}: {info.filename}: {error}") from error
    with archive.open(info) as f:
        return np.lib.format.read_array(f, allow_pickle=False)


def check(path: str, what: str, holds: bool) -> None:
    """Raise ``ValueError`` where a file does not hold what it should."""
    if not holds:
        raise ValueError(f"{path} does not hold {what}; remove it, so that it is downloaded again")


def split(x, y, test_split: float):
    """Return ``(x_train, y_train), (x_test, y_test)``, the test samples from the end."""
    if not 0 <= test_split < 1:
        raise ValueError(f"test_split must be from 0 to below 1, came {test_split!r}")
    cut = int(len(x) * (1 - test_split))
    return (x[:cut], y[:cut]), (x[cut:], y[cut:])

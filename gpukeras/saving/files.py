"""Files that are whole or not there, and HDF5 that cannot reach outside itself."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import numpy as np

from gpukeras import dtypes


@contextlib.contextmanager
def written_whole(filepath, overwrite: bool = True):
    """Give a temporary path beside ``filepath``; at the end of the block it takes that name in one step.

    Raises
    ------
    FileExistsError
        Where the file exists and ``overwrite`` is false.
    """
    target = Path(os.fspath(filepath)).expanduser()
    if target.exists() and not overwrite:
        raise FileExistsError(f"{target} exists already; pass overwrite=True to replace it")
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    os.close(handle)
    try:
        yield Path(temporary)
        with open(temporary, "rb") as f:
            os.fsync(f.fileno())
        # mkstemp makes files private; give the result the rights any new file would have.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(temporary)


def opened(file, name=None):
    """Open an HDF5 file (a path or a binary file) for reading.

    Raises
    ------
    ValueError
        Where it is none.
    """
    import h5py

    try:
        return h5py.File(file, "r")
    except OSError as error:
        raise ValueError(f"{name or file} is not an HDF5 file, or it is broken: {error}") from error


def member(group, name: str):
    """Return ``group[name]`` (possibly deeper: ``a/b``), or ``None``; links out of the file are refused.

    Raises
    ------
    ValueError
        For external or soft links, virtual data sets and data stored in other files.
    """
    import h5py

    for part in name.strip("/").split("/"):
        link = group.get(part, getlink=True)
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise ValueError(
                f"{group.file.filename}: {group.name}/{part} is a link to elsewhere, which is not followed"
            )
        group = group[part]
    if isinstance(group, h5py.Dataset) and (group.external or group.is_virtual):
        raise ValueError(
            f"{group.file.filename}: {group.name} keeps its data in another file, which is not read"
        )
    return group


def read_array(dataset, shape, what: str):
    """Return the values of a data set after checking that its declared shape is ``shape`` (``None``: any)."""
    import h5py

    if not isinstance(dataset, h5py.Dataset):
        raise ValueError(f"{what}: the file holds no array for it")
    if shape is not None and tuple(dataset.shape) != tuple(shape):
        raise ValueError(
            f"{what}: the model needs shape {tuple(shape)}, the file holds {tuple(dataset.shape)}"
        )
    if dataset.dtype.kind == "V" and dataset.dtype.itemsize == 2 and dataset.dtype.names is None:
        return np.asarray(dataset[()]).view(dtypes.bfloat16())
    if dataset.dtype.kind not in "fiub":
        raise ValueError(f"{what}: expected numbers in the file, found dtype {dataset.dtype}")
    return dataset[()]


def write_array(group, name: str, values: np.ndarray) -> None:
    """Write values as a data set; bfloat16, which HDF5 does not know, as bytes and an attribute."""
    dataset = group.create_dataset(name, data=values)
    if values.dtype.kind == "V":
        dataset.attrs["dtype"] = "bfloat16"

"""The batch files of CIFAR-10 and CIFAR-100."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np

from gpukeras.utils.files import extract_archive, get_file, validate_file

from .storage import ArrayUnpickler, check, datasets_folder


def load_batch(fpath, label_key: str = "labels"):
    """Return images and labels of one batch file.

    Parameters
    ----------
    fpath : str or path
    label_key : {"labels", "fine_labels", "coarse_labels"}

    Returns
    -------
    data : numpy.ndarray of uint8, shape (N, 3, 32, 32)
    labels : list of int

    Notes
    -----
    The files are pickles; they are read without running anything.
    """
    with open(fpath, "rb") as f:
        try:
            batch = ArrayUnpickler(f, encoding="bytes").load()
        except pickle.UnpicklingError as error:
            raise ValueError(f"{fpath}: {error}") from error
    batch = {key.decode() if isinstance(key, bytes) else key: value for key, value in batch.items()}
    check(fpath, f"'data' and {label_key!r}", "data" in batch and label_key in batch)
    data = np.asarray(batch["data"], np.uint8)
    check(fpath, "images of 3 x 32 x 32", data.size == len(batch[label_key]) * 3 * 32 * 32)
    return data.reshape(len(data), 3, 32, 32), batch[label_key]


def folder_of(name: str, archive: str, file_hash: str, member: str) -> Path:
    """Return the folder with the batch files, in any layout that a Keras release left, else download.

    Parameters
    ----------
    name : str
        Folder inside the archive.
    archive : str
        Name of the archive at the authors' site.
    file_hash : str
        SHA-256 of the archive.
    member : str
        A file that must be in the folder.
    """
    cache = datasets_folder()
    target = f"{name}-target"
    for folder in (cache / target / name, cache / name, cache / name / name):
        if (folder / member).is_file():
            return folder
    for placed in (cache / archive, cache / f"{name}.tar.gz"):
        if placed.is_file() and validate_file(placed, file_hash):
            extract_archive(placed, cache / target)
            return cache / target / name
    origin = f"https://www.cs.toronto.edu/~kriz/{archive}"
    return Path(get_file(target, origin=origin, file_hash=file_hash, extract=True)) / name

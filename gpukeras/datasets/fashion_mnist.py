"""Fashion-MNIST: small pictures of clothes."""

from __future__ import annotations

import os

import numpy as np

from gpukeras.utils.files import get_file

from .storage import BASE, check

# MD5 as the authors of the data set publish them.
_FILES = (
    ("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
    ("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
    ("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
    ("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
)


def load_data():
    """Return the Fashion-MNIST images.

    Returns
    -------
    (x_train, y_train), (x_test, y_test) : arrays of uint8
        Images of shape (60000, 28, 28) and (10000, 28, 28); labels 0 T-shirt, 1 trouser, 2 pullover, 3 dress,
        4 coat, 5 sandal, 6 shirt, 7 sneaker, 8 bag, 9 ankle boot.

    Notes
    -----
    The four files lie in ``~/.keras/datasets/fashion-mnist`` and are checked against the MD5 sums that the
    authors publish.

    References
    ----------
    Xiao, Rasul, Vollgraf, 2017, https://arxiv.org/abs/1708.07747
    """
    folder = os.path.join("datasets", "fashion-mnist")
    y_train, x_train, y_test, x_test = (
        _read_idx(get_file(name, origin=BASE + name, cache_subdir=folder, file_hash=md5))
        for name, md5 in _FILES
    )
    return (x_train, y_train), (x_test, y_test)


def _read_idx(path: str) -> np.ndarray:
    """Read the format of MNIST: magic number, sizes as big-endian integers, bytes."""
    import gzip

    with gzip.open(path, "rb") as f:
        content = np.frombuffer(f.read(), np.uint8)
    magic = content[:3].tolist() == [0, 0, 8]  # bytes without sign
    check(path, "an array in idx format", magic and content.size >= 8)
    rank = int(content[3])
    start = 4 + 4 * rank
    check(path, "an array of one or three axes", rank in (1, 3) and content.size >= start)
    shape = tuple(int(n) for n in content[4:start].view(">u4"))
    values = content[start:]
    check(path, f"an array of shape {shape}", values.size == int(np.prod(shape)))
    return values.reshape(shape).copy()

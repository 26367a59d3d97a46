"""Reuters: newswires in 46 topics."""

from __future__ import annotations

import json

import numpy as np

from gpukeras.utils.files import get_file

from . import words
from .storage import BASE, cached, read_npz, split

_SHA256 = "d6586e694ee56d7a4e65172e12b3e987c03096cb01eab99753921ef915959916"
_TOPICS = (
    "cocoa", "grain", "veg-oil", "earn", "acq", "wheat", "copper", "housing", "money-supply", "coffee",
    "sugar", "trade", "reserves", "ship", "cotton", "carcass", "crude", "nat-gas", "cpi", "money-fx",
    "interest", "gnp", "meal-feed", "alum", "oilseed", "gold", "tin", "strategic-metal", "livestock",
    "retail", "ipi", "iron-steel", "rubber", "heat", "jobs", "lei", "bop", "zinc", "orange", "pet-chem",
    "dlr", "gas", "silver", "wpi", "hog", "lead",
)


def load_data(
    path: str = "reuters.npz", num_words: int | None = None, skip_top: int = 0, maxlen: int | None = None,
    test_split: float = 0.2, seed: int = 113, start_char: int | None = 1, oov_char: int | None = 2,
    index_from: int = 3, **kwargs,
):
    """Return the Reuters newswires as lists of word numbers; more frequent words have smaller numbers.

    Parameters
    ----------
    path : str
        Name in ``~/.keras/datasets`` (checked against its SHA-256), or a file elsewhere.
    num_words, skip_top, maxlen, seed, start_char, oov_char, index_from
        As for ``imdb.load_data``.
    test_split : float
        Part of the texts that goes into the test set.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        Object arrays of lists; topics 0 to 45 (see ``get_label_names``). 11,228 texts in all.

    Notes
    -----
    The file holds pickled lists; they are read without running anything.
    """
    num_words = words.old_argument(num_words, kwargs, "reuters.load_data")
    path = cached(path, BASE + "reuters.npz", _SHA256)
    texts, labels = read_npz(path, ("x", "y"))
    words.check_texts(path, texts, labels)
    raw, labels = words.shuffled(texts, labels, np.random.RandomState(seed))
    shifted = words.shift(raw, start_char, index_from)
    if maxlen:
        shifted, labels = words.shorter(shifted, labels, maxlen)
    return split(words.limit(shifted, num_words, skip_top, oov_char), labels, test_split)


def get_word_index(path: str = "reuters_word_index.json") -> dict[str, int]:
    """Return the number of every word, from 1; ``load_data`` adds ``index_from`` to them."""
    path = get_file(
        path, origin=BASE + "reuters_word_index.json", file_hash="4d44cc38712099c9e383dc6e5f11a921"
    )
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def get_label_names() -> tuple[str, ...]:
    """Return the names of the 46 topics, in the order of their numbers.

    Examples
    --------
    >>> get_label_names()[3]
    'earn'
    """
    return _TOPICS

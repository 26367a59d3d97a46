"""IMDB: film reviews, liked or not."""

from __future__ import annotations

import json

import numpy as np

from gpukeras.utils.files import get_file

from . import words
from .storage import BASE, cached, read_npz

_SHA256 = "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f"


def load_data(
    path: str = "imdb.npz", num_words: int | None = None, skip_top: int = 0, maxlen: int | None = None,
    seed: int = 113, start_char: int | None = 1, oov_char: int | None = 2, index_from: int = 3, **kwargs,
):
    """Return the IMDB reviews as lists of word numbers; more frequent words have smaller numbers.

    Parameters
    ----------
    path : str
        Name in ``~/.keras/datasets`` (checked against its SHA-256), or a file elsewhere.
    num_words : int, optional
        Keep the words below this number only.
    skip_top : int
        Leave out so many of the most frequent words.
    maxlen : int, optional
        Leave out reviews of this length or longer.
    seed : int
        For the order of the reviews.
    start_char, oov_char : int or None
        Number of the mark at the start, and of words left out; None: no mark, left out without trace.
    index_from : int
        Shift of the word numbers.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        Object arrays of lists; labels 0 (disliked) and 1 (liked). 25,000 reviews each.

    Notes
    -----
    The file holds pickled lists; they are read without running anything.

    References
    ----------
    Maas et al., 2011, https://ai.stanford.edu/~amaas/data/sentiment/
    """
    num_words = words.old_argument(num_words, kwargs, "imdb.load_data")
    path = cached(path, BASE + "imdb.npz", _SHA256)
    raw_train, y_train, raw_test, y_test = read_npz(path, ("x_train", "y_train", "x_test", "y_test"))
    words.check_texts(path, raw_train, y_train)
    words.check_texts(path, raw_test, y_test)
    generator = np.random.RandomState(seed)
    raw_train, y_train = words.shuffled(raw_train, y_train, generator)
    raw_test, y_test = words.shuffled(raw_test, y_test, generator)
    x_train = words.shift(raw_train, start_char, index_from)
    x_test = words.shift(raw_test, start_char, index_from)
    if maxlen:
        x_train, y_train = words.shorter(x_train, y_train, maxlen)
        x_test, y_test = words.shorter(x_test, y_test, maxlen)
    texts = words.limit(x_train + x_test, num_words, skip_top, oov_char)
    return (texts[: len(x_train)], y_train), (texts[len(x_train):], y_test)


def get_word_index(path: str = "imdb_word_index.json") -> dict[str, int]:
    """Return the number of every word, from 1; ``load_data`` adds ``index_from`` to them."""
    path = get_file(path, origin=BASE + "imdb_word_index.json", file_hash="bfafd718b763782e994055a2d397834f")
    with open(path, encoding="utf-8") as f:
        return json.load(f)

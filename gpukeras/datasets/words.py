"""Texts as lists of word numbers: what IMDB and Reuters have in common."""

from __future__ import annotations

import numpy as np

from .storage import check


def check_texts(path: str, texts: np.ndarray, labels: np.ndarray) -> None:
    """Raise ``ValueError`` unless ``texts`` are lists of numbers and each has a label."""
    fine = texts.ndim == 1 and labels.shape == texts.shape and all(isinstance(t, list) for t in texts)
    check(path, "lists of word numbers and their labels", fine)


def shuffled(texts, labels, generator):
    """Return both in one random order."""
    order = np.arange(len(texts))
    generator.shuffle(order)
    return texts[order], labels[order]


def shift(texts, start_char, index_from) -> list[list[int]]:
    """Add ``index_from`` to the word numbers, and the start mark in front."""
    index_from = index_from or 0
    start = [] if start_char is None else [start_char]
    return [start + [w + index_from for w in text] for text in texts]


def shorter(texts, labels, maxlen: int):
    """Return the texts of fewer than ``maxlen`` words with their labels."""
    kept = [i for i, text in enumerate(texts) if len(text) < maxlen]
    if not kept:
        raise ValueError(f"no text is shorter than maxlen={maxlen} words; choose a larger maxlen")
    return [texts[i] for i in kept], labels[kept]


def limit(texts, num_words, skip_top: int, oov_char) -> np.ndarray:
    """Replace words outside ``skip_top`` to below ``num_words`` by ``oov_char``, or leave them out."""
    num_words = num_words or max(max(text) for text in texts)
    if oov_char is None:
        found = [[w for w in text if skip_top <= w < num_words] for text in texts]
    else:
        found = [[w if skip_top <= w < num_words else oov_char for w in text] for text in texts]
    ragged = np.empty(len(found), object)
    ragged[:] = found
    return ragged


def old_argument(num_words, kwargs: dict, name: str):
    """Return ``num_words``, which Keras 1 called ``nb_words``; other unknown arguments are a TypeError."""
    num_words = kwargs.pop("nb_words", num_words)
    if kwargs:
        raise TypeError(f"{name} got an unexpected argument {next(iter(kwargs))!r}")
    return num_words

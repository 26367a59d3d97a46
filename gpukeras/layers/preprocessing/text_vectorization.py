"""Text into numbers: cleaned, cut into tokens, looked up in a vocabulary."""

from __future__ import annotations

import itertools
import string
from collections import Counter

import numpy as np

from gpukeras import ops
from gpukeras.layers.preprocessing.base import PreprocessingLayer
from gpukeras.layers.preprocessing.encoding import check_mode
from gpukeras.layers.preprocessing.lookup import DROPPED, on_device, take_file
from gpukeras.layers.preprocessing.string_lookup import StringLookup
from gpukeras.saving import deserialize_keras_object, serialize_keras_object
from gpukeras.symbolic import KerasTensor
from gpukeras.text import StringTensor, string_tensor, to_bytes, to_str

_PUNCTUATION = string.punctuation.encode()
_LOWER = bytes(range(256)).lower()  # of the letters of ASCII alone, as in TensorFlow
STANDARDS = {
    "lower_and_strip_punctuation": lambda text: text.translate(_LOWER, _PUNCTUATION),
    "lower": bytes.lower,
    "strip_punctuation": lambda text: text.translate(None, _PUNCTUATION),
}
SPLITS = {
    "whitespace": bytes.split,
    "character": lambda text: [c.encode("utf-8", "surrogateescape")
                               for c in text.decode("utf-8", "surrogateescape")],
}


class TextVectorization(PreprocessingLayer):
    """Turn texts into sequences of token numbers, or into vectors.

    Parameters
    ----------
    max_tokens : int, optional
        Most tokens that ``adapt`` keeps, special ones included.
    standardize : str, callable or None
        ``"lower_and_strip_punctuation"``, ``"lower"``, ``"strip_punctuation"`` (all of ASCII alone), or a
        function of a ``StringTensor`` that returns such a tensor, an array or a list of strings.
    split : str, callable or None
        ``"whitespace"``, ``"character"``, or a function of a ``StringTensor`` that returns a list of tokens
        for each text. ``None``: each text is a token.
    ngrams : int or tuple of int, optional
        Also make tokens of up to so many neighbours, or of exactly these numbers of them.
    output_mode : {"int", "multi_hot", "count", "tf_idf", "one_hot"}
        Numbers, filled up with 0 to the longest text; or as for ``StringLookup``.
    output_sequence_length : int, optional
        Cut or fill all texts to this length (``"int"``).
    pad_to_max_tokens : bool
        Make vectors ``max_tokens`` long even where the vocabulary is smaller.
    vocabulary : sequence of str, or path of a file with one on each line, optional
        Instead of ``adapt``.
    idf_weights : sequence of float, optional
        One for each token, with ``output_mode="tf_idf"`` and a given vocabulary.
    sparse : bool
        Vectors without their zeros (on the CPU).
    ragged : bool
        Must be false: texts are filled up to one length.
    encoding : str
        In which ``bytes`` are written.

    Notes
    -----
    With ``"int"``, 0 stands for nothing and 1 for what is not in the vocabulary; with vectors, 0 for the
    latter. Texts stay on the host, numbers go to the device.

    Examples
    --------
    >>> import gpukeras as keras
    >>> layer = keras.layers.TextVectorization()
    >>> layer.adapt(["The cat sat.", "The dog!"])
    >>> layer.get_vocabulary()
    ['', '[UNK]', 'the', 'sat', 'dog', 'cat']
    >>> layer(["The dog sat on the cat"]).tolist()
    [[2, 4, 3, 1, 2, 5]]
    """

    def __init__(self, max_tokens=None, standardize="lower_and_strip_punctuation", split="whitespace",
                 ngrams=None, output_mode="int", output_sequence_length=None, pad_to_max_tokens=False,
                 vocabulary=None, idf_weights=None, sparse=False, ragged=False, encoding="utf-8", name=None,
                 **kwargs):
        size = kwargs.pop("vocabulary_size", None)
        kwargs.pop("has_input_vocabulary", None)
        super().__init__(name=name, **kwargs)
        output_mode = {"binary": "multi_hot", "tf-idf": "tf_idf"}.get(output_mode, output_mode)
        check_mode(self, output_mode, ("int", "one_hot", "multi_hot", "count", "tf_idf"), sparse)
        _check_choice("standardize", standardize, STANDARDS)
        _check_choice("split", split, SPLITS)
        if ragged:
            raise ValueError(
                "TextVectorization: ragged=True has no meaning here, as there are no tensors with rows of "
                "several lengths; leave it out: texts are filled up with 0, which mask_zero=True in "
                "Embedding skips"
            )
        if output_sequence_length is not None and output_mode != "int":
            raise ValueError(
                "TextVectorization: output_sequence_length goes with output_mode='int', came "
                f"{output_mode!r}"
            )
        if ngrams is not None and not isinstance(ngrams, int) and not (
                isinstance(ngrams, (tuple, list)) and all(isinstance(n, int) for n in ngrams)):
            raise ValueError(f"TextVectorization: ngrams must be an int or a tuple of them, came {ngrams!r}")
        self.standardize, self.split, self.sparse, self.ragged = standardize, split, sparse, ragged
        self.ngrams = ngrams
        self.output_mode, self.output_sequence_length = output_mode, output_sequence_length
        self.max_tokens, self.pad_to_max_tokens, self.encoding = max_tokens, pad_to_max_tokens, encoding
        self._lookup_layer = StringLookup(
            max_tokens=max_tokens, vocabulary=vocabulary, idf_weights=idf_weights, mask_token="",
            output_mode=output_mode, sparse=sparse, pad_to_max_tokens=pad_to_max_tokens, encoding=encoding,
            dtype=self.dtype_policy, vocabulary_size=size,
        )

    # ---- the vocabulary -------------------------------------------------------------------------------
    def get_vocabulary(self, include_special_tokens: bool = True) -> list:
        """Return the tokens in the order of their numbers; see ``StringLookup``."""
        return self._lookup_layer.get_vocabulary(include_special_tokens)

    def vocabulary_size(self) -> int:
        """Return the number of tokens, special ones included."""
        return self._lookup_layer.vocabulary_size()

    def set_vocabulary(self, vocabulary, idf_weights=None) -> None:
        """Set the vocabulary instead of learning it by ``adapt``; see ``StringLookup``."""
        self._lookup_layer.set_vocabulary(vocabulary, idf_weights)

    def build(self, input_shape=None):
        self.built = True

    def _check_adaptable(self):
        self._lookup_layer._check_adaptable()

    def reset_state(self):
        self._lookup_layer.reset_state()

    def update_state(self, data):
        documents, shape = self._documents(string_tensor(data, "TextVectorization.adapt"))
        seen = self._lookup_layer._seen
        for document in documents:
            seen.tokens.update(document)
        if self.output_mode == "tf_idf":
            seen.add_documents(documents)

    def finalize_state(self):
        seen = self._lookup_layer._seen
        for name in ("tokens", "documents"):
            counts: Counter = Counter()
            for token, n in getattr(seen, name).items():
                counts[to_str([token])[0]] += n
            setattr(seen, name, counts)
        self._lookup_layer.finalize_state()
        self._lookup_layer._is_adapted = True

    # ---- text to tokens -------------------------------------------------------------------------------
    def _documents(self, text: StringTensor) -> tuple[list, tuple]:
        """Return the tokens of each text, and the shape in which the texts lie.

        Without ``split`` the tokens along the last axis are one text.
        """
        if callable(self.standardize):
            text = string_tensor(self.standardize(text), "TextVectorization: what standardize returned")
        strings = text.encoded(self.encoding)
        if isinstance(self.standardize, str):
            strings = list(map(STANDARDS[self.standardize], strings))
        shape = text.shape
        if self.split is None:
            width = shape[-1] if shape else 1
            documents = [strings[i:i + width] for i in range(0, len(strings), max(width, 1))]
            return self._with_ngrams(documents), shape[:-1]
        if len(shape) > 1:
            if shape[-1] != 1:
                raise ValueError(
                    f"layer {self.name!r} (TextVectorization) cuts texts of shape (N,) or (N, 1) into "
                    f"tokens, came shape {shape}; with split=None each text is a token"
                )
            shape = shape[:-1]
        if callable(self.split):
            whole = np.array([*strings, None], object)[:-1].reshape(shape)
            documents = _as_documents(self.split(StringTensor(whole)), len(strings))
        else:
            documents = list(map(SPLITS[self.split], strings))
        return self._with_ngrams(documents), shape

    def _with_ngrams(self, documents: list) -> list:
        if self.ngrams is None:
            return documents
        sizes = range(1, self.ngrams + 1) if isinstance(self.ngrams, int) else self.ngrams
        return [
            [b" ".join(document[i:i + n]) for n in sizes for i in range(len(document) - n + 1)]
            for document in documents
        ]

    # ---- calling -----------------------------------------------------------------------------------------
    @property
    def input_dtype(self) -> str:
        return "string"

    def call(self, inputs):
        if not isinstance(inputs, StringTensor):
            raise TypeError(f"layer {self.name!r} (TextVectorization) takes text, came {inputs.dtype}")
        lookup = self._lookup_layer
        lookup._need_vocabulary()
        documents, shape = self._documents(inputs)
        limit = self.output_sequence_length
        if limit is not None:
            documents = [document[:limit] for document in documents]
        lengths = np.fromiter(map(len, documents), np.int64, len(documents))
        width = int(lengths.max()) if limit is None and len(lengths) else limit or 0
        filler = 0 if self.output_mode == "int" else DROPPED
        numbers = np.full((len(documents), width), filler, np.int64)
        numbers[np.arange(width) < lengths[:, None]] = lookup.numbers_of(
            list(itertools.chain.from_iterable(documents)))
        if self.split is None and not inputs.ndim and self.output_mode == "int":
            return on_device(numbers.reshape(()))
        found = on_device(numbers.reshape(*shape, width))
        if self.output_mode == "one_hot":
            return ops.one_hot(found, lookup._depth(), dtype=self.compute_dtype)
        return lookup._encoded(found)

    def compute_output_shape(self, input_shape):
        shape = tuple(input_shape)
        lead = shape[:-1] if self.split is None or len(shape) > 1 and shape[-1] == 1 else shape
        depth = self._lookup_layer._depth()
        if self.output_mode in ("multi_hot", "count", "tf_idf"):
            return (*lead, depth)
        width = self.output_sequence_length
        if self.split is None and width is None and self.ngrams is None:
            width = shape[-1] if shape else None
        whole = (*lead, width) if shape or self.split is not None else ()
        return whole if self.output_mode == "int" else (*whole, depth)

    def compute_output_spec(self, inputs):
        kind = "int64" if self.output_mode == "int" else self.compute_dtype
        return KerasTensor(self.compute_output_shape(inputs.shape), kind, sparse=self.sparse)

    # ---- files ---------------------------------------------------------------------------------------------
    def get_config(self):
        inner = self._lookup_layer.get_config()
        return super().get_config() | {
            "max_tokens": self.max_tokens, "standardize": serialize_keras_object(self.standardize),
            "split": serialize_keras_object(self.split), "ngrams": self.ngrams,
            "output_mode": self.output_mode, "output_sequence_length": self.output_sequence_length,
            "pad_to_max_tokens": self.pad_to_max_tokens, "sparse": self.sparse, "ragged": self.ragged,
            "vocabulary": inner["vocabulary"], "idf_weights": inner["idf_weights"], "encoding": self.encoding,
            "vocabulary_size": self.vocabulary_size(),
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        for name in ("standardize", "split"):
            if isinstance(config.get(name), dict):
                config[name] = deserialize_keras_object(config[name])
        if isinstance(config.get("ngrams"), list):
            config["ngrams"] = tuple(config["ngrams"])
        elsewhere = take_file(config)
        layer = cls(**config)
        layer._lookup_layer._known.elsewhere = elsewhere
        return layer

    def save_own_variables(self, store):
        self._lookup_layer.save_own_variables(store)

    def load_own_variables(self, store):
        self._lookup_layer.load_own_variables(store)

    def save_assets(self, dir_path) -> None:
        """Write the vocabulary; see ``StringLookup``."""
        self._lookup_layer.save_assets(dir_path)

    def load_assets(self, dir_path) -> None:
        """Read the vocabulary; see ``StringLookup``."""
        self._lookup_layer.load_assets(dir_path)
        self._is_adapted = self._lookup_layer._is_adapted


def _check_choice(name: str, value, known) -> None:
    if value is not None and not callable(value) and value not in known:
        raise ValueError(
            f"TextVectorization: {name} must be one of {tuple(known)}, a function or None, came {value!r}")


def _as_documents(found, count: int) -> list:
    """Return what a splitting function made as one list of tokens, as bytes, for each text."""
    if isinstance(found, StringTensor):
        found = found.tolist()
    elif hasattr(found, "to_list"):
        found = found.to_list()
    elif hasattr(found, "__array__"):
        found = np.asarray(found).tolist()
    documents = [found] if len(found) and isinstance(found[0], (str, bytes)) else list(found)
    if len(documents) != count:
        raise ValueError(
            f"TextVectorization: the split function returned tokens for {len(documents)} texts of {count}; "
            "expected a list of tokens for each"
        )
    return [to_bytes(list(document)) for document in documents]

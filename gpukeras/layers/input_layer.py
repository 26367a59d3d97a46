"""``Input``: where a functional model begins."""

from __future__ import annotations

from gpukeras import dtypes
from gpukeras.layers.layer import Layer
from gpukeras.symbolic import KerasTensor, Node


class InputLayer(Layer):
    """The layer behind ``Input``: it holds the symbolic tensor and does nothing.

    Parameters
    ----------
    shape : tuple of int or None, optional
        Shape of one sample; ``None`` for sizes that may vary.
    batch_size : int, optional
    dtype : str, optional
        Default: ``floatx``.
    sparse : bool, optional
        Whether sparse matrices are expected. They are taken either way.
    ragged : bool, optional
        Only ``False`` is supported.
    batch_shape : tuple of int or None, optional
        Shape with the batch axis, instead of ``shape`` and ``batch_size``.
    input_tensor : KerasTensor, optional
        Stand for this tensor instead of a new one.
    optional : bool
        Whether ``None`` may be given for it.
    name : str, optional
    """

    capturable = True

    def __init__(self, shape=None, batch_size=None, dtype=None, sparse=None, ragged=None, batch_shape=None,
                 input_tensor=None, optional=False, name=None, **kwargs):
        for old in ("batch_input_shape", "input_shape"):  # Keras 2
            value = kwargs.pop(old, None)
            if value is not None and old == "batch_input_shape":
                batch_shape = value
            elif value is not None:
                shape = value
        if input_tensor is not None and not isinstance(input_tensor, KerasTensor):
            raise TypeError(
                f"Input: the tensor must be symbolic (what Input or a layer on it returns), came "
                f"{type(input_tensor).__name__}"
            )
        batch_shape = _batch_shape(shape, batch_size, batch_shape, input_tensor)
        if ragged:
            raise ValueError("Input: ragged inputs are not supported; pad them (utils.pad_sequences)")
        super().__init__(name=name, **kwargs)
        self.batch_shape = batch_shape
        self.sparse, self.ragged, self.optional = bool(sparse), bool(ragged), bool(optional)
        self._dtype = dtypes.standardize_dtype(dtype or getattr(input_tensor, "dtype", None))
        self.supports_masking = True
        self.built = True
        tensor = input_tensor
        if tensor is None:
            tensor = KerasTensor(batch_shape, self._dtype, sparse=self.sparse, name=self.name)
        Node(self, (), {}, tensor)

    @property
    def dtype(self) -> str:
        return self._dtype

    @property
    def input(self):
        """The symbolic tensor itself."""
        return self.output

    def call(self):
        return None

    def get_config(self):
        return {"batch_shape": self.batch_shape, "dtype": self.dtype, "sparse": self.sparse,
                "ragged": self.ragged, "name": self.name, "optional": self.optional}


def _batch_shape(shape, batch_size, batch_shape, tensor) -> tuple:
    """Return the shape with its batch axis from the ways in which it may be given."""
    if tensor is not None and shape is None and batch_shape is None:
        return tuple(tensor.shape)
    if (shape is None) == (batch_shape is None):
        raise ValueError(
            "Input: expected either shape (of one sample) or batch_shape (with the batch axis), came "
            + ("neither" if shape is None else f"both shape={shape!r} and batch_shape={batch_shape!r}")
        )
    if batch_shape is not None and batch_size is not None:
        raise ValueError(f"Input: batch_shape={batch_shape!r} holds the batch size; leave batch_size out")
    given = shape if batch_shape is None else batch_shape
    if not isinstance(given, (tuple, list)):
        raise TypeError(f"Input: a shape must be a tuple such as (784,), came {given!r}")
    sizes = tuple(None if n is None else int(n) for n in given)
    if any(n is not None and n < 0 for n in sizes):
        raise ValueError(f"Input: sizes must be positive or None, came {tuple(given)}")
    return sizes if batch_shape is not None else (batch_size, *sizes)


def Input(shape=None, batch_size=None, dtype=None, sparse=None, ragged=None, batch_shape=None, name=None,
          tensor=None, optional=False, **kwargs):
    """Return a symbolic tensor, the beginning of a functional model.

    Parameters
    ----------
    shape : tuple of int or None
        Shape of one sample, without the batch axis; ``None`` for sizes that may vary.
    batch_size : int, optional
        Fixed size of the batch.
    dtype : str, optional
        Default: ``floatx``.
    sparse : bool, optional
        Whether sparse matrices are expected. They are taken either way.
    ragged : bool, optional
        Only ``False`` is supported.
    batch_shape : tuple of int or None, optional
        Shape with the batch axis, instead of ``shape`` and ``batch_size``.
    name : str, optional
        The name under which data may be given in a dictionary.
    tensor : KerasTensor, optional
        Begin at this tensor.
    optional : bool
        Whether ``None`` may be given for it.

    Returns
    -------
    KerasTensor

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.Input((28, 28, 1), name="image").shape
    (None, 28, 28, 1)
    """
    layer = InputLayer(shape=shape, batch_size=batch_size, dtype=dtype, sparse=sparse, ragged=ragged,
                       batch_shape=batch_shape, name=name, input_tensor=tensor, optional=optional, **kwargs)
    return layer.output

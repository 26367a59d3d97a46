"""Sparse matrices and gradients as tensors: without their zeros for those who know, dense for all others.

scipy is not needed: its matrices are known by what they can do.
"""

from __future__ import annotations

from typing import Any

from gpukeras import backends, dtypes
from gpukeras.backends import program
from gpukeras.backends.sparse import CompressedRows, RowGradient, compress_matrix
from gpukeras.tensor import Tensor, Variable


class SparseTensor(Tensor):
    """A matrix on the CPU that is kept without its zeros until somebody reads ``array``.

    Parameters
    ----------
    rows : CompressedRows

    Attributes
    ----------
    rows : CompressedRows
    array : numpy.ndarray
        The matrix with its zeros, made when it is first read. Every op and layer may use it; those that know
        ``rows`` need not.
    """

    def __init__(self, rows: CompressedRows):
        self.rows = rows
        self._dense = None

    @property
    def array(self):
        if self._dense is None:
            self._dense = self.rows.toarray()
        return self._dense

    @property
    def shape(self) -> tuple:
        return self.rows.shape

    @property
    def dtype(self):
        return self.rows.dtype

    @property
    def ndim(self) -> int:
        return 2

    @property
    def size(self) -> int:
        return self.rows.size

    @property
    def backend(self):
        return backends.CPU


class RowTensor(Tensor):
    """The gradient of a table: optimizers may take its rows, for everybody else it is a dense tensor.

    Parameters
    ----------
    slices : RowGradient

    Attributes
    ----------
    slices : RowGradient
    array : numpy.ndarray
        The gradient with its zeros, made when it is first read.
    """

    def __init__(self, slices: RowGradient):
        self.take(slices)

    def take(self, slices: RowGradient) -> None:
        """Become another gradient of the same table: that of the next step."""
        self.slices = slices
        self._dense = None

    @property
    def array(self):
        program.refuse("the gradient of a table was needed with its zeros")
        if self._dense is None:
            self._dense = self.slices.toarray()
        return self._dense

    @property
    def shape(self) -> tuple:
        return self.slices.shape

    @property
    def dtype(self):
        return self.slices.dtype


class GatheredTensor(Tensor):
    """What an embedding looked up: gathered when it is first read, for a mean may do without.

    Parameters
    ----------
    source : object
        With ``gather(out)``, which writes the values, and ``shape`` and ``dtype`` of these. It becomes an
        ordinary tensor, and forgets the source, when it is read.
    """

    def __init__(self, source):
        self.source = source

    @property
    def array(self):
        source = self.__dict__.pop("source")
        found = self.__dict__["array"] = backends.CPU.empty(source.shape, source.dtype)
        self.__class__ = Tensor  # type: ignore[assignment]
        program.noted_whole(source.gather, program.plain(found))
        return found

    @property
    def shape(self) -> tuple:
        return self.source.shape

    @property
    def dtype(self):
        return self.source.dtype

    @property
    def ndim(self) -> int:
        return len(self.source.shape)

    @property
    def backend(self):
        return backends.CPU


class DeferredVariable(Variable):
    """A table some rows of which have steps of the optimizer yet to take; they take them when it is read.

    Attributes
    ----------
    array : numpy.ndarray
        The values, up to date.
    values : numpy.ndarray
        The values as they lie in memory.
    behind : DeferredAdam
        Who knows what is missing.
    """

    behind: Any

    @staticmethod
    def convert(variable: Variable, behind) -> None:
        """Make a variable deferred, with ``behind`` to look after it from now on."""
        if isinstance(variable, DeferredVariable):
            if variable.behind is not behind:
                variable.behind.catch_up()
        else:
            variable.__dict__["values"] = variable.__dict__.pop("array")
            variable.__class__ = DeferredVariable
        variable.__dict__["behind"] = behind

    @property
    def array(self):
        program.refuse("all rows of a table whose steps wait were read")
        self.behind.catch_up()
        return self.values

    @array.setter
    def array(self, array):
        self.values = array

    @property
    def shape(self) -> tuple:
        return self.values.shape

    @property
    def dtype(self):
        return self.values.dtype

    @property
    def ndim(self) -> int:
        return self.values.ndim

    @property
    def size(self) -> int:
        return self.values.size

    @property
    def backend(self):
        return backends.backend_of(self.values)

    def __getstate__(self):
        self.behind.catch_up()
        return self.__dict__


def is_sparse(value) -> bool:
    """Tell whether ``value`` is a sparse matrix of scipy's kind on the host."""
    return hasattr(value, "tocsr") and not type(value).__module__.startswith("cupyx")


def compressed(matrix) -> CompressedRows:
    """Return a sparse matrix of any format and dtype as rows of ``floatx``."""
    return matrix if type(matrix) is CompressedRows else compress_matrix(matrix, dtypes.floatx())


def sparse_tensor(matrix) -> Tensor:
    """Return a sparse matrix as a tensor on the current device: on a GPU a dense one."""
    rows, backend = compressed(matrix), backends.current()
    return SparseTensor(rows) if backend is backends.CPU else Tensor(backend.rows_to_dense(rows))

"""Data that is made batch by batch in Python."""

from __future__ import annotations


class PyDataset:
    """Base of data sets whose batches are computed: subclasses write ``__len__`` and ``__getitem__``.

    Parameters
    ----------
    workers : int
        Threads or processes that prepare batches ahead.
    use_multiprocessing : bool
        Prepare in processes instead of threads.
    max_queue_size : int
        Batches kept ready.

    Notes
    -----
    ``self[i]`` returns batch ``i``: ``x``, ``(x, y)`` or ``(x, y, sample_weight)``. It is asked by index, so
    that batches can be made in any order and from several threads.

    Examples
    --------
    >>> import numpy as np
    >>> class Squares(PyDataset):
    ...     def __len__(self):
    ...         return 3
    ...     def __getitem__(self, i):
    ...         x = np.arange(4 * i, 4 * i + 4)
    ...         return x, x**2
    >>> Squares()[1][1]
    array([16, 25, 36, 49])
    """

    # Class-level defaults: subclasses in the style of Keras 2 never call super().__init__().
    workers = 1
    use_multiprocessing = False
    max_queue_size = 10

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10):
        self.workers = workers
        self.use_multiprocessing = use_multiprocessing
        self.max_queue_size = max_queue_size

    def __getitem__(self, index):
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__(self, index): one batch")

    def __len__(self):
        raise NotImplementedError(f"{type(self).__name__} must define __len__(self): the number of batches")

    @property
    def num_batches(self) -> int | None:
        """Number of batches in one epoch; override it to return None for data without end."""
        return len(self)

    def on_epoch_begin(self) -> None:
        """Called before each epoch."""

    def on_epoch_end(self) -> None:
        """Called after each epoch; a place to shuffle."""

    def __iter__(self):
        index = 0
        while self.num_batches is None or index < self.num_batches:
            yield self[index]
            index += 1


Sequence = PyDataset

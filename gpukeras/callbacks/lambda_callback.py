"""``LambdaCallback``: a callback made of functions."""

from __future__ import annotations

from .callback import HOOKS, Callback


class LambdaCallback(Callback):
    """Call functions at the turning points of training.

    Parameters
    ----------
    on_epoch_begin, on_epoch_end : callable, optional
        ``f(epoch, logs)``.
    on_train_begin, on_train_end : callable, optional
        ``f(logs)``.
    on_train_batch_begin, on_train_batch_end : callable, optional
        ``f(batch, logs)``.
    **kwargs
        Any other hook of ``Callback`` (``on_test_begin`` ...), and the old names ``on_batch_begin`` and
        ``on_batch_end``.

    Examples
    --------
    >>> seen = []
    >>> callback = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs["loss"]))
    >>> callback.on_epoch_end(0, {"loss": 0.5})
    >>> seen
    [0.5]
    """

    def __init__(
        self, on_epoch_begin=None, on_epoch_end=None, on_train_begin=None, on_train_end=None,
        on_train_batch_begin=None, on_train_batch_end=None, **kwargs,
    ):
        super().__init__()
        unknown = [name for name in kwargs if name not in HOOKS]
        if unknown:
            raise TypeError(f"LambdaCallback knows no hook {unknown[0]!r}; it knows {', '.join(HOOKS)}")
        given = {
            "on_epoch_begin": on_epoch_begin, "on_epoch_end": on_epoch_end, "on_train_begin": on_train_begin,
            "on_train_end": on_train_end, "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end, **kwargs,
        }
        for name, function in given.items():
            if function is not None:
                setattr(self, name, function)

"""Scopes of Keras 3: variables with other values for a while, and the symbolic stage."""

from __future__ import annotations

import threading

from gpukeras.tensor import STATELESS, Tensor, Variable, to_array


class StatelessScope:
    """Let variables have given values, and keep what is assigned to them apart, inside the ``with`` block.

    Parameters
    ----------
    state_mapping : list of (Variable, tensor), optional
        Values to read inside.
    collect_losses : bool
        Collect what layers give to ``add_loss`` in ``losses``.
    initialize_variables : bool
        Accepted for compatibility: variables made inside have their values at once.

    Notes
    -----
    Gradients flow to the tensors given as values. The library's own layers, metrics and ``assign`` of any
    variable are kept apart; updates of an optimizer go through ``stateless_apply`` instead.

    Examples
    --------
    >>> import gpukeras as keras
    >>> v = keras.Variable([1.0])
    >>> with keras.StatelessScope([(v, [5.0])]) as scope:
    ...     _ = v.assign_add([1.0])
    >>> v.numpy(), scope.get_current_value(v).numpy()
    (array([1.], dtype=float32), array([6.], dtype=float32))
    """

    def __init__(self, state_mapping=None, collect_losses=False, initialize_variables=True):
        self.collect_losses = collect_losses
        self.initialize_variables = initialize_variables
        self.losses: list = []
        self.state_mapping: dict[int, Tensor] = {}
        self._before: dict[int, tuple] = {}
        self._given: list[tuple] = []
        for variable, value in state_mapping or ():
            if not isinstance(variable, Variable):
                raise ValueError(f"StatelessScope: expected pairs (variable, value), came {variable!r}")
            array = to_array(value, variable.dtype, variable.backend)
            if array.shape != variable.shape:
                raise ValueError(
                    f"StatelessScope: variable {variable.path!r} has shape {variable.shape}, its value "
                    f"{array.shape}"
                )
            self._given.append((variable, value, array))

    def __enter__(self):
        self._outer, STATELESS.scope = STATELESS.scope, self
        for variable, value, array in self._given:
            self._set_apart(variable, array.copy())
            known = isinstance(value, Tensor) and value.dtype == variable.dtype
            variable.uid = value.uid if known else 0
            variable.auto_watch = value.auto_watch if known else False
        return self

    def __exit__(self, *exc):
        STATELESS.scope = self._outer
        for variable, array, uid, watched, version in self._before.values():
            self.state_mapping[id(variable)] = Tensor(variable.array)
            variable.array, variable.uid, variable.auto_watch = array, uid, watched
            variable.version = version
        self._before = {}

    def _set_apart(self, variable, array=None) -> None:
        """Give a variable memory of its own until the scope ends."""
        if id(variable) not in self._before:
            before = variable.array
            self._before[id(variable)] = (
                variable, before, variable.uid, variable.auto_watch, variable.version
            )
            variable.array = before.copy() if array is None else array

    def add_loss(self, loss) -> None:
        """Collect a loss."""
        self.losses.append(loss)

    def add_update(self, update) -> None:
        """Assign to a variable, given as a pair ``(variable, value)``, inside the scope."""
        variable, value = update
        variable.assign(value)

    def get_current_value(self, variable):
        """Return the value of a variable inside the scope, or at its end; ``None`` where it has none."""
        if id(variable) in self._before:
            return Tensor(variable.array)
        return self.state_mapping.get(id(variable))


class _Symbolic(threading.local):
    depth = 0


_SYMBOLIC = _Symbolic()


class SymbolicScope:
    """Mark the stage in which models are drawn up; ``in_symbolic_scope`` tells who asks."""

    def __enter__(self):
        _SYMBOLIC.depth += 1
        return self

    def __exit__(self, *exc):
        _SYMBOLIC.depth -= 1


def in_symbolic_scope() -> bool:
    """Tell whether a ``SymbolicScope`` is open."""
    return _SYMBOLIC.depth > 0

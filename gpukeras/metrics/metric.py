"""Metric: the base of everything that is measured over many batches."""

from __future__ import annotations

import functools

import numpy as np

from gpukeras import autograd, dtypes
from gpukeras.symbolic import auto_name, to_snake_case
from gpukeras.tensor import Tensor, Variable, to_array


class Metric:
    """Base of all metrics: state in variables, ``update_state`` per batch, ``result`` when asked.

    Parameters
    ----------
    dtype : str, optional
        Of the state and the result; ``floatx`` by default.
    name : str, optional

    Notes
    -----
    ``update_state`` runs without recording, even inside a tape.

    Examples
    --------
    >>> import gpukeras as keras
    >>> class Largest(keras.Metric):
    ...     def __init__(self, name="largest", **kwargs):
    ...         super().__init__(name=name, **kwargs)
    ...         self.largest = self.add_weight(name="largest", initializer="zeros")
    ...     def update_state(self, y_true, y_pred, sample_weight=None):
    ...         self.largest.assign(keras.ops.maximum(self.largest, keras.ops.max(y_pred)))
    ...     def result(self):
    ...         return self.largest.value
    >>> metric = Largest()
    >>> metric.update_state(None, keras.ops.convert_to_tensor([1.0, 3.0]))
    >>> float(metric.result())
    3.0
    """

    _direction: str | None = None  # "up" or "down": what is better

    def __init__(self, dtype=None, name=None):
        self._variables: list[Variable] = []
        self._metrics: list[Metric] = []
        if isinstance(dtype, str) and name is not None and not _is_dtype(dtype) and _is_dtype(name):
            dtype, name = name, dtype  # tf.keras: Metric(name, dtype)
        self.name = name or auto_name(to_snake_case(type(self).__name__))
        self._dtype = dtypes.standardize_dtype(getattr(dtype, "compute_dtype", dtype))

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        update = cls.__dict__.get("update_state")
        if update is not None:
            setattr(cls, "update_state", _unrecorded(update))  # noqa: B010  (mypy: a method is assigned)

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if isinstance(value, Variable):
            if not any(v is value for v in self._own("_variables")):
                self._variables.append(value)
        elif isinstance(value, Metric):
            if not any(m is value for m in self._own("_metrics")):
                self._metrics.append(value)

    def _own(self, name: str) -> list:
        if name not in self.__dict__:
            raise RuntimeError(f"{type(self).__name__}: call super().__init__(...) first in its __init__")
        return self.__dict__[name]

    @property
    def dtype(self) -> str:
        return self._dtype

    # ---- state ---------------------------------------------------------------------------------------
    def add_variable(self, shape=(), initializer=None, dtype=None, aggregation="sum", name=None) -> Variable:
        """Make a state variable, zeros unless an initializer is given."""
        tracked = self._own("_variables")
        if isinstance(initializer, (int, float)):
            start, value = None, initializer
        elif initializer is None or initializer == "zeros":
            start, value = None, 0
        else:
            from gpukeras import initializers

            start, value = initializers.get(initializer), 0
        kind = dtypes.standardize_dtype(dtype)
        start = start or (lambda shape, dtype: np.full(shape, value, dtype))
        variable = Variable(start, tuple(shape), kind, trainable=False, aggregation=aggregation, name=name)
        variable.path = f"{self.name.replace('/', '>')}/{variable.name}"
        tracked.append(variable)
        return variable

    def add_weight(self, *args, **kwargs) -> Variable:
        """Make a state variable: ``add_weight(shape=(), initializer=None, dtype=None, name=None)``.

        A name may come first, as in ``tf.keras``: ``add_weight("total", initializer="zeros")``.
        """
        if args and isinstance(args[0], str):
            kwargs["name"], args = args[0], args[1:]
        names = ("shape", "initializer", "dtype", "name")
        kwargs.update(zip(names, args))
        kwargs.pop("synchronization", None)
        return self.add_variable(**kwargs)

    @property
    def variables(self) -> list[Variable]:
        """State variables, those of metrics inside included."""
        return [*self._variables, *(v for metric in self._metrics for v in metric.variables)]

    weights = variables
    non_trainable_weights = variables
    non_trainable_variables = variables
    stateful = True

    @property
    def trainable_variables(self) -> list[Variable]:
        """No variables: what is measured is not trained."""
        return []

    trainable_weights = trainable_variables

    def get_weights(self) -> list[np.ndarray]:
        """Return the state as NumPy arrays."""
        return [v.numpy() for v in self.variables]

    def set_weights(self, weights) -> None:
        """Set the state from a list as ``get_weights`` returns it."""
        weights = list(weights)
        if len(weights) != len(self.variables):
            raise ValueError(
                f"metric {self.name!r} has {len(self.variables)} state variables, {len(weights)} arrays came"
            )
        for variable, weight in zip(self.variables, weights):
            variable.assign(weight)

    def save_own_variables(self, store) -> None:
        """Put the state into ``store``, a mapping from str to array."""
        for i, value in enumerate(self.get_weights()):
            store[str(i)] = value

    def load_own_variables(self, store) -> None:
        """Take the state from ``store``."""
        self.set_weights([np.asarray(store[str(i)]) for i in range(len(store.keys()))])

    def reset_state(self) -> None:
        """Set the state to zero: the start of an epoch."""
        for variable in self.variables:
            variable.array[...] = 0
            variable.version += 1

    def reset_states(self) -> None:
        """Keras 2's name of ``reset_state``."""
        self.reset_state()

    def merge_state(self, metrics) -> None:
        """Add the state of other metrics of this kind."""
        for other in metrics:
            if len(other.variables) != len(self.variables):
                raise ValueError(f"metric {self.name!r}: cannot merge {other.name!r}, its state differs")
            for variable, more in zip(self.variables, other.variables):
                variable.assign_add(more)

    # ---- measuring -----------------------------------------------------------------------------------
    def update_state(self, *args, **kwargs):
        """Take a batch into the state: ``update_state(y_true, y_pred, sample_weight=None)``."""
        raise NotImplementedError(f"{type(self).__name__} must define update_state")

    def result(self):
        """Return the value over everything since the last ``reset_state``."""
        raise NotImplementedError(f"{type(self).__name__} must define result")

    def __call__(self, *args, **kwargs):
        self._own("_variables")
        self.update_state(*args, **kwargs)
        return self.result()

    # ---- values in, values out ---
    def stateless_update_state(self, metric_variables, *args, **kwargs) -> list[Tensor]:
        """Return the state after a batch, from the state before; the metric itself does not change."""
        return self._with_state(metric_variables, lambda: self.update_state(*args, **kwargs))[1]

    def stateless_result(self, metric_variables):
        """Return the result of a state given as a list of tensors."""
        return self._with_state(metric_variables, self.result)[0]

    def stateless_reset_state(self) -> list[Tensor]:
        """Return the state of the start."""
        return self._with_state([v.value for v in self.variables], self.reset_state)[1]

    def _with_state(self, values, function) -> tuple:
        """Return what ``function`` returns, and the state that it leaves, from a state; nothing changes."""
        variables = self.variables
        if len(values) != len(variables):
            raise ValueError(
                f"metric {self.name!r} has {len(variables)} state variables, {len(values)} values came"
            )
        arrays = [v.array for v in variables]
        try:
            for variable, value in zip(variables, values):
                own = to_array(value, variable.dtype, variable.backend)
                variable.array = own.copy()
            return function(), [Tensor(v.array) for v in variables]
        finally:
            for variable, array in zip(variables, arrays):
                variable.array = array

    # ---- configuration -------------------------------------------------------------------------------
    def get_config(self) -> dict:
        """Return the constructor's arguments as plain values."""
        return {"name": self.name, "dtype": self.dtype}

    @classmethod
    def from_config(cls, config):
        """Make a metric from what ``get_config`` returned."""
        return cls(**config)

    def __repr__(self):
        return f"<{type(self).__name__} name={self.name}>"


def add(variable: Variable, array) -> None:
    """Add a number or an array of the device to a state variable."""
    state = variable.array
    if type(state) is np.ndarray and not state.ndim:  # on the host Python adds five times as fast as a ufunc
        state[()] = state.item() + (array if isinstance(array, (int, float)) else array.item())
    else:
        state += array
    variable.version += 1


def _unrecorded(update):
    @functools.wraps(update)
    def update_state(self, *args, **kwargs):
        if not autograd.STATE.tapes:
            return update(self, *args, **kwargs)
        with autograd.no_recording():
            return update(self, *args, **kwargs)

    return update_state


def _is_dtype(name) -> bool:
    return isinstance(name, str) and name in (*dtypes.FLOATS, "int32", "int64")


def scalar_tensor(array) -> Tensor:
    """Return a result as a tensor; NumPy scalars become 0-d arrays."""
    return Tensor(np.asarray(array) if isinstance(array, np.generic) else array)

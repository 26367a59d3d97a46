"""State of an optimizer: its variables, saving and loading them, and its configuration."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from gpukeras import backends
from gpukeras.tensor import Variable, to_array

from .settings import Settings


class StateMixin(Settings):
    """Slots, weights and ``get_config``."""

    # Set by Optimizer and the other parts of it.
    _forget_layout: Callable[[], None]
    _rate_config: Callable[[], Any]
    _unknown: Callable[[list], str]

    def _start_state(self) -> None:
        self._variables: list[Variable] = []
        self._trainable_variables: list[Variable] = []
        self._indices: dict[int, int] = {}
        self._slot_lists: dict[str, list] = {}  # name -> one slot for each trainable variable
        self._slot_starts: dict[str, float] = {}
        self._forget_layout()

    def _track(self, variable) -> None:
        if not any(v is variable for v in self._variables):
            self._variables.append(variable)

    def _untrack(self, variable) -> None:
        self._variables = [v for v in self._variables if v is not variable]

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if isinstance(value, Variable) and "_variables" in self.__dict__:
            self._track(value)

    def __getattr__(self, name):
        if name in ("_variables", "_slot_lists", "built") and name not in self.__dict__:
            raise RuntimeError(
                f"{type(self).__name__}: call super().__init__(...) first in its __init__"
            )
        if isinstance(found := getattr(type(self), name, None), property):
            return found.__get__(self)  # it raised AttributeError itself: with its own message, please
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __getstate__(self):
        """Leave out what depends on where the variables lie: copies and pickles find it again."""
        return {k: v for k, v in self.__dict__.items() if k not in ("_segments", "_plans", "_indices")}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._indices = {id(v): i for i, v in enumerate(self._trainable_variables)}
        self._forget_layout()

    # ---- making slots --------------------------------------------------------------------------------
    def add_variable(
        self, shape, initializer="zeros", dtype=None, aggregation="none", layout=None, name=None,
    ):
        """Make a state variable of the optimizer.

        Parameters
        ----------
        shape : tuple of int
        initializer : str, number or callable
        dtype : str, optional
        aggregation, layout
            Accepted for distributed engines; no effect.
        name : str, optional
        """
        shape = tuple(shape)
        variable = Variable(
            _initial(initializer), shape, dtype=dtype, trainable=False, aggregation=aggregation, name=name
        )
        variable.path = f"{self.name}/{variable.name}"
        self._track(variable)
        return variable

    def add_variable_from_reference(
        self, reference_variable=None, name=None, initializer="zeros", *, model_variable=None,
        variable_name=None, shape=None, initial_value=None,
    ):
        """Make a state variable like a model variable; the later arguments are ``tf.keras`` 2's names."""
        reference = model_variable if reference_variable is None else reference_variable
        suffix = name or variable_name or "var"
        with backends.backend_scope(reference.backend):  # beside the variable, whatever the current device
            variable = self.add_variable(
                reference.shape if shape is None else shape, initializer, dtype=reference.dtype,
                name=f"{reference.path.replace('/', '_')}_{suffix}",
            )
            if initial_value is not None:
                variable.assign(initial_value)
        return variable

    def add_optimizer_variables(self, trainable_variables, name, initializer="zeros"):
        """Make one slot, or several, for every model variable.

        Parameters
        ----------
        trainable_variables : list of Variable
        name : str or list of str
        initializer : str, number, callable, or a list of these beside ``name``

        Returns
        -------
        list of Variable; with several names a tuple of such lists. ``None`` stands for variables that are
        overwritten by their gradients.
        """
        names = [name] if isinstance(name, str) else list(name)
        initializers = initializer if isinstance(initializer, (list, tuple)) else [initializer] * len(names)
        if len(initializers) != len(names):
            raise ValueError(f"{self.name}: {len(names)} names but {len(initializers)} initializers")
        found: list[list] = [[] for _ in names]
        for variable in trainable_variables:
            for rows, slot, start in zip(found, names, initializers):
                skip = variable.overwrite_with_gradient
                rows.append(None if skip else self.add_variable_from_reference(variable, slot, start))
        if len(trainable_variables) == len(self._trainable_variables):
            self._slot_lists.update(zip(names, found))
            for slot, start in zip(names, initializers):
                self._slot_starts[slot] = start if isinstance(start, (int, float)) else 0.0
            self._forget_layout()
        return found[0] if isinstance(name, str) else tuple(found)

    def _get_variable_index(self, variable) -> int:
        try:
            return self._indices[id(variable)]
        except KeyError:
            raise ValueError(self._unknown([variable])) from None

    # ---- assigning, for custom rules ---
    def assign(self, variable, value) -> None:
        """Set a model or state variable; custom rules use it."""
        variable.assign(value)

    def assign_add(self, variable, value) -> None:
        """Add to a model or state variable."""
        variable.assign_add(value)

    def assign_sub(self, variable, value) -> None:
        """Subtract from a model or state variable."""
        variable.assign_sub(value)

    # ---- weights ---
    @property
    def variables(self) -> list[Variable]:
        """State variables: the counter, the learning rate, then the slots, in the order of Keras's files."""
        return Weights(self._variables)

    @property
    def weights(self) -> list[Variable]:
        """Same as ``variables``."""
        return self.variables

    def get_weights(self) -> list[np.ndarray]:
        """Return the values of ``variables``."""
        return [v.numpy() for v in self.variables]

    def set_weights(self, weights) -> None:
        """Set ``variables`` from a list as ``get_weights`` returns it."""
        if not self.built:
            raise ValueError(f"{self.name}: set_weights needs a built optimizer; call build(variables) first")
        weights = list(weights)
        if len(weights) != len(self.variables):
            raise ValueError(
                f"{self.name}: {len(weights)} arrays came for {len(self.variables)} state variables"
            )
        for variable, weight in zip(self.variables, weights):
            variable.assign(weight)

    def save_own_variables(self, store) -> None:
        """Put the state into ``store``, a mapping from str to array."""
        for i, variable in enumerate(self.variables):
            store[str(i)] = variable.numpy()

    def load_own_variables(self, store) -> None:
        """Take the state from ``store``; a state of another size is left out with a warning, as in Keras."""
        variables = self.variables
        if len(store.keys()) != len(variables):
            warnings.warn(
                f"optimizer {self.name!r}: its state was not loaded: the file has {len(store.keys())} "
                f"variables, the optimizer {len(variables)}"
                + ("" if self.built else "; it is not built yet: call build(model.trainable_variables)"),
                stacklevel=2,
            )
            return
        for i, variable in enumerate(variables):
            variable.assign(np.asarray(store[str(i)]))

    # ---- configuration ---
    def get_config(self) -> dict:
        """Return the constructor's arguments as plain values."""
        config = {
            "name": self.name,
            "learning_rate": self._rate_config(),
            "weight_decay": self.weight_decay,
            "clipnorm": self.clipnorm,
            "global_clipnorm": self.global_clipnorm,
            "clipvalue": self.clipvalue,
            "use_ema": self.use_ema,
            "ema_momentum": self.ema_momentum,
            "ema_overwrite_frequency": self.ema_overwrite_frequency,
            "loss_scale_factor": self.loss_scale_factor,
            "gradient_accumulation_steps": self.gradient_accumulation_steps,
        }
        if self.decay:  # Keras 3 does not know it
            config["decay"] = self.decay
        return config

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Make an optimizer from what ``get_config`` returned."""
        config = dict(config)
        if isinstance(config.get("learning_rate"), dict):
            from gpukeras.saving import deserialize_keras_object

            config["learning_rate"] = deserialize_keras_object(config["learning_rate"], custom_objects)
        return cls(**config)

    def __repr__(self):
        return f"<{type(self).__name__} name={self.name}>"


class Weights(list):
    """A list that can be called as well: ``optimizer.variables`` and ``optimizer.variables()``."""

    def __call__(self):
        return self


def _initial(initializer):
    """Return an initializer function for ``add_variable``."""
    if isinstance(initializer, (int, float)):
        return lambda shape, dtype: np.full(shape, initializer, dtype)
    if initializer is None or initializer == "zeros":
        return lambda shape, dtype: np.zeros(shape, dtype)
    if isinstance(initializer, str):
        from gpukeras import initializers

        return initializers.get(initializer)
    if not callable(initializer):
        return lambda shape, dtype: to_array(initializer, dtype)
    return initializer

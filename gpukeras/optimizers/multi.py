"""Several optimizers in one: each variable has its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, MutableMapping

from .loss_scale import LossScaleOptimizer
from .optimizer import Optimizer


class OptimizerMap(MutableMapping):
    """Which optimizer a variable gets, by its path.

    Parameters
    ----------
    default_optimizer : Optimizer
        For variables that no key matches.
    optimizer_map : dict of str to Optimizer, optional
        Paths, or regular expressions that match whole paths.

    Examples
    --------
    >>> import gpukeras as keras
    >>> choice = keras.optimizers.OptimizerMap(keras.optimizers.SGD())
    >>> choice["encoder/.*"] = keras.optimizers.Adam()
    >>> [type(choice[path]).__name__ for path in ("encoder/dense/kernel", "decoder/kernel")]
    ['Adam', 'SGD']
    """

    def __init__(self, default_optimizer, optimizer_map=None):
        if not isinstance(default_optimizer, Optimizer):
            raise TypeError(
                f"OptimizerMap: default_optimizer must be an optimizer, came {default_optimizer!r}"
            )
        if optimizer_map is not None and not isinstance(optimizer_map, dict):
            raise TypeError(f"OptimizerMap: optimizer_map must be a dictionary, came {optimizer_map!r}")
        self._default_optimizer = default_optimizer
        self._optimizer_map = optimizer_map or {}

    @property
    def default_optimizer(self):
        """The optimizer of all other variables."""
        return self._default_optimizer

    def __getitem__(self, key: str):
        if key in self._optimizer_map:
            return self._optimizer_map[key]
        matching = [pattern for pattern in self._optimizer_map if re.fullmatch(pattern, key)]
        if len(matching) > 1:
            raise ValueError(f"OptimizerMap: {key!r} is matched by several keys: {matching}")
        return self._optimizer_map[matching[0]] if matching else self._default_optimizer

    def __setitem__(self, key: str, optimizer) -> None:
        if key in self._optimizer_map:
            raise ValueError(f"OptimizerMap: {key!r} has the optimizer {self._optimizer_map[key]!r} already")
        if not isinstance(key, str):
            raise ValueError(f"OptimizerMap: keys are paths of variables or patterns, came {key!r}")
        _check_inner(optimizer, f"OptimizerMap: {key!r}")
        self._optimizer_map[key] = optimizer

    def __delitem__(self, key: str) -> None:
        del self._optimizer_map[key]

    def __len__(self) -> int:
        return len(self._optimizer_map)

    def __iter__(self) -> Iterator:
        return iter(self._optimizer_map)

    def __call__(self, variable):
        """Return the optimizer of a variable."""
        return self[variable.path]

    def get_config(self) -> dict:
        """Return the constructor's arguments as plain values."""
        from gpukeras.saving import serialize_keras_object

        return {
            "default_optimizer": serialize_keras_object(self._default_optimizer),
            "optimizer_map": serialize_keras_object(self._optimizer_map),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Make a map from what ``get_config`` returned."""
        from gpukeras.saving import deserialize_keras_object

        return cls(*(deserialize_keras_object(config[name], custom_objects=custom_objects)
                     for name in ("default_optimizer", "optimizer_map")))


class MultiOptimizer(Optimizer):
    """Let every variable be updated by an optimizer of its own.

    Parameters
    ----------
    optimizer_map : OptimizerMap or callable
        ``f(variable)`` returns the optimizer; return the same object for variables that share one.
    loss_scale_factor : float, optional
        Takes the place of that of the inner optimizers.
    name : str, optional

    Notes
    -----
    There is no learning rate in common: read and set it on the ``optimizers``.

    Examples
    --------
    >>> import gpukeras as keras
    >>> choice = keras.optimizers.OptimizerMap(keras.optimizers.SGD(1.0), {"b": keras.optimizers.SGD(0.1)})
    >>> optimizer = keras.optimizers.MultiOptimizer(choice)
    >>> a, b = keras.Variable([1.0], name="a"), keras.Variable([1.0], name="b")
    >>> one = keras.ops.ones(1)
    >>> optimizer.apply([one, one], [a, b])
    >>> a.numpy(), b.numpy()
    (array([0.], dtype=float32), array([0.9], dtype=float32))
    """

    def __init__(self, optimizer_map, loss_scale_factor=None, name=None):
        if not callable(optimizer_map):
            raise TypeError(
                f"MultiOptimizer: optimizer_map must be an OptimizerMap or a function of a variable, came "
                f"{optimizer_map!r}"
            )
        self.__dict__["_inner"] = []
        self._number: dict[int, int] = {}
        super().__init__(0.0, name=name)
        self._optimizer_map = optimizer_map
        self.loss_scale_factor = loss_scale_factor
        if isinstance(optimizer_map, OptimizerMap):
            for optimizer in (*optimizer_map.values(), optimizer_map.default_optimizer):
                self._take_in(optimizer)

    def __setstate__(self, state):
        super().__setstate__(state)
        self._number = {id(v): n for n, one in enumerate(self._inner) for v in one._trainable_variables}

    def _take_in(self, optimizer) -> int:
        """Return the number of an inner optimizer, which takes over the loss scale."""
        for number, known in enumerate(self._inner):
            if known is optimizer:
                return number
        optimizer.loss_scale_factor = self.loss_scale_factor
        self._inner.append(optimizer)
        return len(self._inner) - 1

    def build(self, variables):
        if self.built:
            return
        variables = list(variables)
        for variable in variables:
            optimizer = self._optimizer_map(variable)
            _check_inner(optimizer, f"MultiOptimizer: {variable.path!r}")
            self._number[id(variable)] = self._take_in(optimizer)
        for optimizer, _, own in self._parts(variables, variables):
            optimizer.build(own)
        super().build(variables)

    def _parts(self, values, variables) -> list:
        """Return each inner optimizer that has any of ``variables``, with its share of both lists."""
        shares: list[tuple[list, list]] = [([], []) for _ in self._inner]
        for value, variable in zip(values, variables):
            number = self._number.get(id(variable))
            if number is None:
                raise ValueError(self._unknown([variable]))
            shares[number][0].append(value)
            shares[number][1].append(variable)
        return [(one, *share) for one, share in zip(self._inner, shares) if share[1]]

    @property
    def optimizers(self) -> list:
        """The inner optimizers."""
        return self._inner

    @property
    def variables(self):
        return [*self._variables, *(v for optimizer in self._inner for v in optimizer.variables)]

    @property
    def iterations(self):
        return self._iterations

    @property
    def learning_rate(self):
        raise AttributeError(f"{self.name}: every one of its .optimizers has a learning_rate of its own")

    @learning_rate.setter
    def learning_rate(self, value):
        raise AttributeError(f"{self.name}: set the learning_rate of each of its .optimizers")

    @property
    def loss_scale_factor(self):
        return self.__dict__.get("_loss_scale_factor")

    @loss_scale_factor.setter
    def loss_scale_factor(self, value):
        self.__dict__["_loss_scale_factor"] = value
        for optimizer in self._inner:
            optimizer.loss_scale_factor = value

    def apply(self, grads, trainable_variables=None):
        """Hand every inner optimizer the gradients of its variables."""
        grads = list(grads)
        if not grads:
            return
        if not self.built:
            self.build(self._variables_to_build(trainable_variables))
        variables = self._trainable_variables if trainable_variables is None else list(trainable_variables)
        if len(grads) != len(variables):
            raise ValueError(
                f"{self.name}: {len(grads)} gradients came for {len(variables)} variables; they go in pairs"
            )
        for optimizer, share, own in self._parts(grads, variables):
            optimizer.apply(share, own)
        self._count_step()

    def finalize_variable_values(self, var_list):
        for optimizer, _, own in self._parts(var_list, var_list) if self.built else ():
            optimizer.finalize_variable_values(own)

    def get_config(self):
        from gpukeras.saving import serialize_keras_object

        return {
            "optimizer_map": serialize_keras_object(self._optimizer_map),
            "loss_scale_factor": self.loss_scale_factor, "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        from gpukeras.saving import deserialize_keras_object

        config = dict(config)
        if isinstance(config["optimizer_map"], dict):
            config["optimizer_map"] = deserialize_keras_object(
                config["optimizer_map"], custom_objects=custom_objects
            )
        return cls(**config)


def _check_inner(optimizer, where: str) -> None:
    if not isinstance(optimizer, Optimizer):
        raise ValueError(f"{where} needs an optimizer, came {optimizer!r}")
    if isinstance(optimizer, (LossScaleOptimizer, MultiOptimizer)):
        raise ValueError(f"{where}: a {type(optimizer).__name__} cannot be inside; put it around instead")

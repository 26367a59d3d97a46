"""The state of a layer: weights, losses and metrics, its own and those of the layers inside."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gpukeras import autograd, dtypes
from gpukeras.dtype_policies import DTypePolicy
from gpukeras.layers.tracking import CALLS, owned_attributes, unique
from gpukeras.symbolic import KerasTensor, Operation, scoped_path
from gpukeras.tensor import STATELESS, Tensor, Variable

# Positional order of Keras 2, where the name came first.
_OLD_ORDER = ("name", "shape", "dtype", "initializer", "regularizer", "trainable", "constraint")
# Accepted for compatibility; they say nothing to us.
_IGNORED = ("synchronization", "use_resource", "getter", "collections", "experimental_autocast",
            "partitioner", "layout")


class Stateful(Operation):
    """What ``Layer`` knows about its weights, losses and metrics."""

    built: bool
    _own_policy: DTypePolicy  # that of this layer, where ``dtype_policy`` is a map
    _trainable: bool
    _trainable_variables: list[Variable]
    _non_trainable_variables: list[Variable]
    _losses: list
    _loss_functions: list
    _added_metrics: list
    _call_number = 0  # the outermost call in which this layer was last called
    _loss_number = 0  # the one in which ``_losses`` were added
    _functions_in_use = False  # whether any layer of this process was given a loss function

    # ---- making weights --------------------------------------------------------------------------
    def add_weight(self, *args, **kwargs) -> Variable:
        """Make a weight of this layer.

        Parameters
        ----------
        shape : tuple of int
            ``()`` where not given: a scalar.
        initializer : str, Initializer or callable, optional
            Default: ``"glorot_uniform"`` for floats, ``"zeros"`` else.
        dtype : str, optional
            Default: the layer's variable dtype.
        trainable : bool
        autocast : bool
            Whether the weight is read in the compute dtype.
        regularizer, constraint : str or object, optional
        aggregation, overwrite_with_gradient
            As in Keras.
        name : str, optional

        Returns
        -------
        Variable

        Notes
        -----
        Where the first argument is a string, the order of Keras 2 is meant: name, shape, dtype, initializer,
        regularizer, trainable, constraint.
        """
        if args and isinstance(args[0], str):
            if len(args) > len(_OLD_ORDER):
                raise TypeError(f"add_weight takes {_OLD_ORDER} by position, came {len(args)} arguments")
            kwargs = dict(zip(_OLD_ORDER, args)) | kwargs
            args = ()
        return self._add_weight(*args, **kwargs)

    add_variable = add_weight

    def _add_weight(self, shape=None, initializer=None, dtype=None, trainable=True, autocast=True,
                    regularizer=None, constraint=None, aggregation="none", overwrite_with_gradient=False,
                    name=None, **kwargs) -> Variable:
        from gpukeras import constraints, initializers, regularizers

        unknown = [k for k in kwargs if k not in _IGNORED]
        if unknown:
            raise TypeError(f"add_weight of layer {self.name!r}: unknown arguments {unknown}")
        shape = () if shape is None else (shape,) if isinstance(shape, int) else tuple(shape)
        if any(n is None for n in shape):
            raise ValueError(
                f"layer {self.name!r}: weight {name!r} would have shape {shape}; the input needs known sizes "
                "there"
            )
        dtype = dtype or self._own_policy.variable_dtype
        if initializer is None:
            initializer = "glorot_uniform" if dtypes.is_float(dtypes.standardize_dtype(dtype)) else "zeros"
        variable = Variable(
            initializers.get(initializer), shape=shape, dtype=dtype, trainable=trainable, autocast=autocast,
            aggregation=aggregation, name=name, regularizer=regularizers.get(regularizer),
            constraint=constraints.get(constraint),
        )
        variable.overwrite_with_gradient = overwrite_with_gradient
        variable.path = scoped_path(self._path(), variable.name)
        (self._trainable_variables if trainable else self._non_trainable_variables).append(variable)
        if not self._trainable:
            variable.trainable = False
        return variable

    def _path(self) -> list[str]:
        """Return the names of the layers being called or built, down to this one."""
        names = [layer.name for layer in CALLS.state.stack]
        return names if names and names[-1] == self.name else [*names, self.name]

    @property
    def path(self) -> str:
        return self.name

    # ---- finding weights -------------------------------------------------------------------------
    def _tracked(self) -> Iterator:
        """Yield the layers and variables in attributes, lists and dictionaries of this layer, in order."""
        return owned_attributes(self, (Stateful, Variable))

    def _sublayers(self) -> list:
        """Return the layers directly inside this one, each once, in order of their attributes."""
        return unique(item for item in self._tracked() if isinstance(item, Stateful))

    def _flatten_layers(self, include_self: bool = True) -> list:
        """Return this layer and all layers inside, depth first, each once."""
        found: dict[int, Stateful] = {}
        waiting: list[Stateful] = [self]
        while waiting:
            layer = waiting.pop()
            if id(layer) not in found:
                found[id(layer)] = layer
                waiting.extend(reversed(layer._sublayers()))
        return list(found.values())[0 if include_self else 1:]

    def _own_variables(self) -> list[Variable]:
        """Return the variables of this layer itself: made by ``add_weight``, or plain attributes."""
        own = [*self._trainable_variables, *self._non_trainable_variables]
        known = {id(v) for v in own}
        extra = unique(v for v in self._tracked() if isinstance(v, Variable) and id(v) not in known)
        if not extra:
            return own
        return ([*self._trainable_variables, *(v for v in extra if v._trainable)]
                + [*self._non_trainable_variables, *(v for v in extra if not v._trainable)])

    @property
    def weights(self) -> list[Variable]:
        """All weights, trainable ones of a layer first."""
        return unique(v for layer in self._flatten_layers() for v in layer._own_variables())

    @property
    def variables(self) -> list[Variable]:
        """All weights and other state."""
        return self.weights

    @property
    def trainable_weights(self) -> list[Variable]:
        """The weights that training changes: none where ``trainable`` is false."""
        found: list[Variable] = []
        seen: set[int] = set()

        def visit(layer):
            if id(layer) not in seen and layer._trainable:
                seen.add(id(layer))
                found.extend(v for v in layer._own_variables() if v._trainable)
                for inner in layer._sublayers():
                    visit(inner)

        visit(self)
        return unique(found)

    @property
    def trainable_variables(self) -> list[Variable]:
        return self.trainable_weights

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """The weights that training leaves alone."""
        trainable = {id(v) for v in self.trainable_weights}
        return [v for v in self.weights if id(v) not in trainable]

    @property
    def non_trainable_variables(self) -> list[Variable]:
        return self.non_trainable_weights

    @property
    def trainable(self) -> bool:
        """Whether training changes this layer; setting it reaches all layers inside."""
        return self._trainable

    @trainable.setter
    def trainable(self, value):
        self._trainable = bool(value)
        for variable in self._trainable_variables:
            variable.trainable = value
        for layer in self._sublayers():
            layer.trainable = value

    def count_params(self) -> int:
        """Return the number of numbers in all weights."""
        if not self.built:
            raise ValueError(
                f"layer {self.name!r} is not built yet, so its weights are not known; call it first"
            )
        return sum(v.size for v in self.weights)

    def get_weights(self) -> list[np.ndarray]:
        """Return copies of all weights as NumPy arrays."""
        return [v.numpy() for v in self.weights]

    def set_weights(self, weights) -> None:
        """Set all weights from arrays in the order of ``get_weights``."""
        variables = self.weights
        if len(weights) != len(variables):
            raise ValueError(
                f"layer {self.name!r} has {len(variables)} weights, {len(weights)} were given"
                + ("" if self.built else "; it is not built yet: call it on data first")
            )
        for variable, value in zip(variables, weights):
            shape = tuple(np.shape(value.array if isinstance(value, Tensor) else value))
            if shape != variable.shape:
                raise ValueError(
                    f"layer {self.name!r}: weight {variable.path!r} has shape {variable.shape}, came {shape}"
                )
        for variable, value in zip(variables, weights):
            variable.assign(value)

    def save_own_variables(self, store) -> None:
        """Write this layer's own variables into ``store``, a mapping of names to arrays."""
        for i, variable in enumerate(self._own_variables()):
            store[str(i)] = variable.numpy()

    def load_own_variables(self, store) -> None:
        """Set this layer's own variables from what ``save_own_variables`` wrote."""
        variables = self._own_variables()
        if len(store) != len(variables):
            raise ValueError(
                f"layer {self.name!r} has {len(variables)} variables of its own, the stored one had "
                f"{len(store)}" + ("" if self.built else "; it is not built yet: call it on data first")
            )
        for i, variable in enumerate(variables):
            variable.assign(np.asarray(store[str(i)]))

    # ---- losses and metrics -----------------------------------------------------------------------
    def add_loss(self, loss, inputs=None) -> None:
        """Add a loss to this call: a scalar tensor, a list of them; or for good: a function that gives one.

        Losses are part of what ``fit`` minimises. ``inputs`` (Keras 2: what it depends on) is not needed.
        """
        for one in loss if isinstance(loss, (list, tuple)) else [loss]:
            if isinstance(one, KerasTensor):
                if CALLS.state.tracing:
                    continue  # drawn up only: the values come when the model runs
                raise TypeError(
                    f"layer {self.name!r}: add_loss got a symbolic tensor outside of call(); give it to the "
                    "model (model.add_loss), or call add_loss inside a layer"
                )
            if STATELESS.scope is not None and STATELESS.scope.collect_losses:
                STATELESS.scope.add_loss(one)
            if callable(one):
                self._loss_functions.append(one)
                Stateful._functions_in_use = True
                continue
            # Outside of any call, the loss belongs to the last one.
            number = CALLS.state.number if CALLS.state.stack else self._call_number
            if self._loss_number != number:
                self._loss_number, self._losses = number, []
                self._call_number = number  # where the layer around adds it in our name
            self._losses.append(one)
            CALLS.state.loss_number = number

    def _may_have_losses(self) -> bool:
        """Tell whether the last call can have left losses: cheap, where ``losses`` walks all layers."""
        return CALLS.state.loss_number >= self._call_number or Stateful._functions_in_use

    @property
    def losses(self) -> list:
        """Losses of the last call (``add_loss``, activity regularizers) and of regularized weights."""
        found = []
        for layer in self._flatten_layers():
            # A layer inside has losses if its last call added some, unless we were called since without it.
            if layer._loss_number == layer._call_number >= self._call_number:
                found += layer._losses
            found += [loss() for loss in layer._loss_functions]
        return found + [v.regularizer(v) for v in self.trainable_weights if v.regularizer is not None]

    def add_metric(self, value, aggregation="mean", name=None) -> None:
        """Report a tensor (averaged over the batches) or a metric object from inside ``call``."""
        from gpukeras import metrics

        if isinstance(value, metrics.Metric):
            if not any(value is m for m in self._added_metrics):
                self._added_metrics.append(value)
            return
        if name is None:
            raise ValueError(f"layer {self.name!r}: add_metric of a tensor needs name=...")
        for metric in self._added_metrics:
            if metric.name == name:
                break
        else:
            metric = metrics.Mean(name=name)
            self._added_metrics.append(metric)
        if not isinstance(value, KerasTensor):  # traced: the values come when the model runs
            with autograd.no_recording():
                metric.update_state(value)

    @property
    def metrics(self) -> list:
        """Metrics of this layer and the layers inside."""
        return unique(m for layer in self._flatten_layers() for m in layer._own_metrics())

    def _own_metrics(self) -> list:
        from gpukeras.metrics import Metric

        return unique([*owned_attributes(self, Metric), *self._added_metrics])

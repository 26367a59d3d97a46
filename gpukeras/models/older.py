"""What models of Keras 2 could do by other names, and values in and out of models of Keras 3."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gpukeras.models.single_batches import SingleBatches
from gpukeras.scopes import StatelessScope
from gpukeras.tensor import Tensor, Variable


class OlderModel(SingleBatches):
    """A part of ``Model``: thin layers over ``fit``, ``evaluate``, ``predict`` and the weights."""

    # ---- generators (Keras 2) --------------------------------------------------------------------------
    def fit_generator(self, generator, steps_per_epoch=None, epochs=1, verbose=1, callbacks=None,
                      validation_data=None, validation_steps=None, validation_freq=1, class_weight=None,
                      max_queue_size=10, workers=1, use_multiprocessing=False, shuffle=True, initial_epoch=0):
        """Train on the batches of a generator: ``fit`` takes them as well."""
        return self.fit(
            generator, steps_per_epoch=steps_per_epoch, epochs=epochs, verbose=verbose, callbacks=callbacks,
            validation_data=validation_data, validation_steps=validation_steps,
            validation_freq=validation_freq, class_weight=class_weight, max_queue_size=max_queue_size,
            workers=workers, use_multiprocessing=use_multiprocessing, shuffle=shuffle,
            initial_epoch=initial_epoch,
        )

    def evaluate_generator(self, generator, steps=None, callbacks=None, max_queue_size=10, workers=1,
                           use_multiprocessing=False, verbose=0):
        """Evaluate the batches of a generator: ``evaluate`` takes them as well."""
        callbacks = None if isinstance(callbacks, int) else callbacks  # 2.2: the queue's size came third
        return self.evaluate(generator, steps=steps, callbacks=callbacks, workers=workers, verbose=verbose)

    def predict_generator(self, generator, steps=None, callbacks=None, max_queue_size=10, workers=1,
                          use_multiprocessing=False, verbose=0):
        """Return the outputs for the batches of a generator: ``predict`` takes them as well."""
        callbacks = None if isinstance(callbacks, int) else callbacks
        return self.predict(generator, steps=steps, callbacks=callbacks, workers=workers, verbose=verbose)

    # ---- writing down ----------------------------------------------------------------------------------
    def to_yaml(self, **kwargs):
        """Raise: models are not written as YAML any more (it could run code when read)."""
        raise RuntimeError("models are not written as YAML, which can run code when it is read; use to_json")

    def get_weight_paths(self) -> dict[str, Variable]:
        """Return the weights by the names that lead to them: attributes, or layers of a functional model."""
        found: dict[str, Variable] = {}

        def visit(owner, path):
            names = {id(v): k for k, v in vars(owner).items() if isinstance(v, Variable)}
            for variable in owner._own_variables():
                found.setdefault(".".join([*path, names.get(id(variable), variable.name)]), variable)
            attributes = {id(v): k for k, v in vars(owner).items() if k[0] != "_"}
            for layer in owner._sublayers():
                known = {id(v) for v in found.values()}
                if not layer.weights or not all(id(v) in known for v in layer.weights):
                    visit(layer, [*path, attributes.get(id(layer), layer.name)])

        visit(self, [])
        return found

    # ---- values in, values out (Keras 3) ---------------------------------------------------------------
    def stateless_compute_loss(self, trainable_variables, non_trainable_variables, metrics_variables, x=None,
                               y=None, y_pred=None, sample_weight=None, training=True):
        """Return the loss with given weights, and the states after it; the model itself does not change.

        Returns
        -------
        loss : tensor
        states : tuple of lists of tensors
            Trainable weights, other weights, state of the metrics.
        """
        groups = (self.trainable_variables, self.non_trainable_variables, self.metrics_variables)
        given = (trainable_variables, non_trainable_variables, metrics_variables)
        mapping = [pair for own, values in zip(groups, given) for pair in zip(own, values, strict=True)]
        with StatelessScope(mapping) as scope:
            loss = self._loss_of(x, y, y_pred, sample_weight, training)
            states = [[scope.get_current_value(v) for v in own] for own in groups[1:]]
        return loss, (list(trainable_variables), *states)

    def get_state_tree(self, value_format="backend_tensor") -> dict:
        """Return all state as nested dictionaries by the paths of the variables.

        Parameters
        ----------
        value_format : {"backend_tensor", "numpy_array"}
        """
        if value_format not in ("backend_tensor", "numpy_array"):
            raise ValueError(
                f"value_format must be 'backend_tensor' or 'numpy_array', came {value_format!r}"
            )
        plain = value_format == "numpy_array"
        found: dict = {}
        for group, variables in self._state_groups().items():
            found[group] = {}
            for variable in variables:
                *parents, name = variable.path.split("/")
                place = found[group]
                for parent in parents:
                    place = place.setdefault(parent, {})
                place[name] = variable.numpy() if plain else variable.value
        return found

    def set_state_tree(self, state_tree: Mapping) -> None:
        """Set the state from nested dictionaries as ``get_state_tree`` returns them; parts may be missing."""
        groups = self._state_groups()
        for group, values in state_tree.items():
            if group not in groups:
                raise ValueError(f"unknown part {group!r} of the state; it has {sorted(groups)}")
            flat = dict(_leaves(values))
            for variable in groups[group]:
                if variable.path in flat:
                    variable.assign(flat[variable.path])

    def _state_groups(self) -> dict[str, list]:
        return {
            "trainable_variables": self.trainable_variables,
            "non_trainable_variables": self.non_trainable_variables,
            "optimizer_variables": [] if self.optimizer is None else list(self.optimizer.variables),
            "metrics_variables": self.metrics_variables,
        }


class OlderSequential(OlderModel):
    """What only ``Sequential`` models of Keras 2 had."""

    @property
    def model(self):
        """The model itself."""
        return self

    def predict_proba(self, x, batch_size=32, verbose=0) -> np.ndarray:
        """Return the outputs for some inputs: the same as ``predict``."""
        return self.predict(x, batch_size=batch_size, verbose=verbose)

    def predict_classes(self, x, batch_size=32, verbose=0) -> np.ndarray:
        """Return the number of each sample's class: of the largest output, or whether the only one is > 0.5.

        Examples
        --------
        >>> import gpukeras as keras
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Softmax()])
        >>> model.predict_classes(keras.ops.array([[1.0, 3.0], [2.0, 0.0]]))
        array([1, 0])
        """
        found = self.predict(x, batch_size=batch_size, verbose=verbose)
        return found.argmax(axis=-1) if found.shape[-1] > 1 else (found > 0.5).astype("int32")


def _leaves(values, path=()):
    """Yield pairs of path and value of nested dictionaries."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, key))
        else:
            yield "/".join((*path, key)), value.array if isinstance(value, Tensor) else value

"""``TFOptimizer`` of Keras 2: somebody else's optimizer in the place of one of ours."""

from __future__ import annotations

import inspect

from gpukeras import ops
from gpukeras.tensor import Tensor, Variable, to_array

from .optimizer import Optimizer


class TFOptimizer(Optimizer):
    """Use an object that updates variables by itself.

    Parameters
    ----------
    optimizer : object
        With ``apply_gradients(grads_and_vars)``, and perhaps ``compute_gradients(loss, var_list)``; or with
        ``minimize(loss, var_list)`` alone, where ``loss`` is a function without arguments.
    iterations : Variable, optional
        Where the steps are counted.

    Examples
    --------
    >>> import gpukeras as keras
    >>> class Descent:
    ...     def apply_gradients(self, grads_and_vars):
    ...         for gradient, variable in grads_and_vars:
    ...             variable.assign_sub(0.5 * gradient)
    >>> w = keras.Variable([1.0])
    >>> keras.optimizers.TFOptimizer(Descent()).apply([keras.ops.ones(1)], [w])
    >>> w.numpy()
    array([0.5], dtype=float32)
    """

    def __init__(self, optimizer, iterations=None):
        if not any(hasattr(optimizer, name) for name in ("apply_gradients", "minimize")):
            raise TypeError(
                f"TFOptimizer: expected an object with apply_gradients or minimize, came {optimizer!r}"
            )
        super().__init__(0.0, name="tf_optimizer")
        self.__dict__["optimizer"] = optimizer
        if isinstance(iterations, Variable):
            self._untrack(self._iterations)
            self._iterations = iterations

    def apply(self, grads, trainable_variables=None):
        """Hand pairs of gradients and variables on; one without gradient (``None``) is left out."""
        grads = list(grads)
        if not self.built:
            self.build(self._variables_to_build(trainable_variables))
        variables = self._trainable_variables if trainable_variables is None else list(trainable_variables)
        tensors = [
            g if g is None or isinstance(g, Tensor) else Tensor(to_array(g, v.dtype, v.backend))
            for g, v in zip(grads, variables, strict=True)
        ]
        pairs = [(g, v) for g, v in zip(tensors, variables) if g is not None]
        if hasattr(self.optimizer, "apply_gradients"):
            self.optimizer.apply_gradients(pairs)
        else:  # a loss that has these gradients
            def loss():
                return sum(ops.sum(ops.multiply(g, v)) for g, v in pairs)

            self.optimizer.minimize(loss, [v for _, v in pairs])
        self._count_step()

    def compute_gradients(self, loss, var_list, tape=None):
        """Return pairs (gradient, variable) as the object computes them, if it does."""
        own = getattr(self.optimizer, "compute_gradients", None)
        if own is None:
            return super().compute_gradients(loss, var_list, tape)
        extra = {} if tape is None or "tape" not in inspect.signature(own).parameters else {"tape": tape}
        return list(own(loss, var_list, **extra))

    def get_config(self):
        raise NotImplementedError(
            "TFOptimizer: the settings of somebody else's optimizer are not known; make it anew after loading"
        )



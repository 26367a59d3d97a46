"""From a loss to a step in one call, and steps from values to values."""

from __future__ import annotations

from collections.abc import Callable

from gpukeras import autograd
from gpukeras.tensor import Tensor, Variable

from .settings import Settings


class GradientsMixin(Settings):
    """``minimize`` and what it is made of, ``stateless_apply``, and what Keras 2 called them."""

    # Set by Optimizer and the other parts of it.
    apply: Callable
    apply_gradients: Callable

    @property
    def variables(self) -> list[Variable]:
        raise NotImplementedError

    def aggregate_gradients(self, grads_and_vars):
        """Return pairs (gradient, variable) as they are: there is one device (``tf.keras``)."""
        return list(grads_and_vars)

    def stateless_apply(self, optimizer_variables, grads, trainable_variables) -> tuple:
        """Return the weights and the optimizer's state after a step from these values; nothing is changed.

        Parameters
        ----------
        optimizer_variables, grads, trainable_variables : list of tensors
            In the order of ``variables`` and of the weights that the optimizer was built for.

        Returns
        -------
        trainable_variables, optimizer_variables : list of tensors
        """
        if not self.built:
            raise ValueError(f"{self.name}: stateless_apply needs a built optimizer; call build(variables)")
        trained, own = self._trainable_variables, self.variables
        for what, given, known in (("trainable_variables", trainable_variables, trained),
                                   ("optimizer_variables", optimizer_variables, own)):
            if len(given) != len(known):
                raise ValueError(f"{self.name}: expected {len(known)} {what}, came {len(given)}")
        both = [*trained, *own]
        before = [v.value for v in both]
        try:
            for variable, value in zip(both, [*trainable_variables, *optimizer_variables]):
                variable.assign(value)
            self.apply(list(grads), trained)
            return [v.value for v in trained], [v.value for v in own]
        finally:
            for variable, value in zip(both, before):
                variable.assign(value)

    def compute_gradients(self, loss, var_list, tape=None) -> list:
        """Return pairs (gradient, variable) for a loss, or for a function that computes it."""
        if callable(loss) and not isinstance(loss, Tensor):
            with autograd.GradientTape() as tape:
                loss = loss()
                var_list = var_list() if callable(var_list) else var_list
                scaled = self.scale_loss(loss)
        elif tape is None:
            raise ValueError(f"{self.name}: a loss that is a tensor needs tape=, the tape that recorded it")
        elif self.loss_scale_factor is None:
            scaled = loss
        else:
            with tape:
                scaled = self.scale_loss(loss)
        var_list = list(var_list)
        return list(zip(tape.gradient(scaled, var_list), var_list))

    def get_gradients(self, loss, params) -> list:
        """Return the gradients of a loss, given as a function without arguments (Keras 2)."""
        if isinstance(loss, Tensor) or not callable(loss):
            raise NotImplementedError(
                f"{self.name}: get_gradients takes the loss as a function: get_gradients(lambda: ..., "
                "params); for a loss that is computed already use a GradientTape"
            )
        return [g for g, _ in self.compute_gradients(loss, params)]

    def get_updates(self, loss, params) -> list:
        """Make a step on a loss, given as a function without arguments; return the counter (Keras 2)."""
        return [self.apply_gradients(zip(self.get_gradients(loss, params), params))]

    def minimize(self, loss, var_list, tape=None):
        """Compute the gradients of ``loss`` and apply them; return the iteration counter.

        Parameters
        ----------
        loss : callable or tensor
            A function without arguments, or a tensor together with ``tape``.
        var_list : list of Variable
        tape : GradientTape, optional
        """
        return self.apply_gradients(self.compute_gradients(loss, var_list, tape))

    def scale_loss(self, loss):
        """Return the loss times ``loss_scale_factor``, where one is set."""
        return loss if self.loss_scale_factor is None else loss * self.loss_scale_factor

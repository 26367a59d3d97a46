"""Adafactor: second moments remembered by their means over rows and columns."""

from __future__ import annotations

from gpukeras.tensor import Variable

from .optimizer import Optimizer


class Adafactor(Optimizer):
    """Adaptive steps in the scale of the weights, with little state for large matrices.

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
        The largest rate: it is at most ``1 / sqrt(t)`` in step t.
    beta_2_decay : float
        The decay rate of the second moment in step t is ``1 - t^beta_2_decay``.
    epsilon_1 : float
        Added to squared gradients.
    epsilon_2 : float
        Scale of a variable whose values are smaller.
    clip_threshold : float
        Largest root mean square of a step before it is scaled.
    relative_step : bool
        That a constant rate is at most ``1 / sqrt(t)``; as in Keras every rate is, whatever is said here.
    weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
    loss_scale_factor, gradient_accumulation_steps, name, **kwargs
        See ``Optimizer``.

    Notes
    -----
    With ``b = 1 - t^beta_2_decay`` and ``s = g² + epsilon_1``, a vector has ``v = b v + (1 - b) s``; a tensor
    of more axes ``r = b r + (1 - b) mean(s, -1)``, ``c = b c + (1 - b) mean(s, -2)`` and
    ``v = r / mean(r) c``. The step is ``u = g / sqrt(v)``, of which
    ``w -= max(epsilon_2, rms(w)) min(lr, 1 / sqrt(t)) u / max(1, rms(u) / clip_threshold)``.

    References
    ----------
    Shazeer and Stern, Adafactor: Adaptive Learning Rates with Sublinear Memory Cost, arXiv:1804.04235

    Examples
    --------
    >>> import gpukeras as keras
    >>> w = keras.Variable([[1.0, 2.0]])
    >>> optimizer = keras.optimizers.Adafactor(0.1)
    >>> optimizer.apply([keras.ops.convert_to_tensor([[3.0, -3.0]])], [w])
    >>> w.numpy().round(3)
    array([[0.842, 2.158]], dtype=float32)
    """

    elementwise = False
    counts_on_device = True

    def __init__(
        self, learning_rate=0.001, beta_2_decay=-0.8, epsilon_1=1e-30, epsilon_2=1e-3, clip_threshold=1.0,
        relative_step=True, weight_decay=None, clipnorm=None, clipvalue=None, global_clipnorm=None,
        use_ema=False, ema_momentum=0.99, ema_overwrite_frequency=None, loss_scale_factor=None,
        gradient_accumulation_steps=None, name=None, **kwargs,
    ):
        super().__init__(
            learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name, **kwargs,
        )
        self.beta_2_decay = beta_2_decay
        self.epsilon_1 = epsilon_1
        self.epsilon_2 = epsilon_2
        self.clip_threshold = clip_threshold
        self.relative_step = relative_step

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self._r: list = []
        self._c: list = []
        self._v: list = []
        for variable in self._trainable_variables:
            r = c = v = None
            if not variable.overwrite_with_gradient:
                shape, settings = variable.shape, {"dtype": variable.dtype, "name": variable.name}
                if len(shape) >= 2:
                    r = self.add_variable(shape[:-1], **settings)
                    c = self.add_variable((*shape[:-2], shape[-1]), **settings)
                else:  # Keras's files have two numbers in their places
                    self.add_variable((), **settings), self.add_variable((), **settings)
                v = self.add_variable_from_reference(variable, "velocity")
            self._r.append(r)
            self._c.append(c)
            self._v.append(v)
        self._slot_lists["velocity"] = self._v

    @property
    def device_state(self):
        return [means for means in (*self._r, *self._c) if means is not None]

    def _flat_rate(self, learning_rate):
        """Return the rate relative to the size of the weights."""
        falling = 1 / self._local_step**0.5
        if not hasattr(falling, "shape") and not hasattr(learning_rate, "shape"):
            return min(learning_rate, falling)
        return self._iterations.backend.xp.minimum(learning_rate, falling)

    def _update_run(self, run, g, learning_rate):
        index = run.places[0][0]
        r, c = self._r[index], self._c[index]
        run.backend.adafactor_update(
            run.p, g, run.slots["velocity"], None if r is None else r.array, None if c is None else c.array,
            shape=self._trainable_variables[index].shape, learning_rate=learning_rate,
            beta_2=1 - self._local_step**self.beta_2_decay, epsilon_1=self.epsilon_1,
            epsilon_2=self.epsilon_2, clip_threshold=self.clip_threshold,
        )
        for means in (r, c):
            if isinstance(means, Variable):
                means.version += 1

    def get_config(self):
        return {
            **super().get_config(), "beta_2_decay": self.beta_2_decay, "epsilon_1": self.epsilon_1,
            "epsilon_2": self.epsilon_2, "clip_threshold": self.clip_threshold,
            "relative_step": self.relative_step,
        }

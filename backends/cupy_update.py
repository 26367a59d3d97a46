"""Optimizer rules on a GPU by our own kernels: one launch for a flat buffer."""

from __future__ import annotations

import functools

from gpukeras.kernels import update

from .update_rows import RowUpdateMixin
from .update_steps import StepMixin


def _by_kernel(name: str):
    """Return the rule of that name: a kernel for float32, else the generic way."""
    kernel = getattr(update, name)

    @functools.wraps(getattr(RowUpdateMixin, name))
    def rule(self, *arrays, **settings):
        if update.takes(*arrays):
            kernel(*arrays, **settings)
        else:
            getattr(super(CupyUpdateMixin, self), name)(*arrays, **settings)

    return rule


def _spread(name: str, rule: str):
    """Return a rule for rows that treats the whole table: running means forget everywhere anyway."""

    @functools.wraps(getattr(RowUpdateMixin, name))
    def by_rows(self, p, g, *slots, **settings):
        if update.takes_rows(p, g, *slots):
            getattr(self, rule)(p, update.spread_rows(g), *slots, **settings)
        else:
            getattr(super(CupyUpdateMixin, self), name)(p, g, *slots, **settings)

    return by_rows


class CupyUpdateMixin(RowUpdateMixin, StepMixin):
    """Kernels for float32; learning rates may be numbers or arrays of no axes on the device."""

    sgd_update = _by_kernel("sgd_update")
    momentum_update = _by_kernel("momentum_update")
    rmsprop_update = _by_kernel("rmsprop_update")
    adagrad_update = _by_kernel("adagrad_update")
    adadelta_update = _by_kernel("adadelta_update")
    adam_update = _by_kernel("adam_update")
    adamax_update = _by_kernel("adamax_update")
    nadam_update = _by_kernel("nadam_update")
    lamb_update = _by_kernel("lamb_update")
    lion_update = _by_kernel("lion_update")
    ftrl_update = _by_kernel("ftrl_update")
    average_update = _by_kernel("average_update")

    # ---- clipping ---
    def square_sum(self, array):
        return update.square_sum(array) if update.takes(array) else super().square_sum(array)

    def clip_factor(self, square_sum, limit):
        if not self.owns(square_sum) or square_sum.dtype != "float32" or square_sum.size != 1:
            return super().clip_factor(square_sum, limit)
        return update.clip_factor(square_sum, limit)

    def clip_each(self, g, bounds, limit):
        if update.takes(g):
            update.clip_each(g, bounds, limit)
        else:
            super().clip_each(g, bounds, limit)

    # ---- numbers of a step that the device counts ---
    def adam_rate(self, learning_rate, counter, beta_1, beta_2):
        return update.adam_rate(self._rate(learning_rate), counter, beta_1, beta_2)

    def adamax_rate(self, learning_rate, counter, beta_1):
        return update.adamax_rate(self._rate(learning_rate), counter, beta_1)

    def _rate(self, rate):
        return rate.astype("float32", copy=False) if self.owns(rate) else self.xp.full((), rate, "float32")

    def nadam_factors(self, counter, product, beta_1, beta_2, schedule_decay):
        if product.dtype != "float32":
            return super().nadam_factors(counter, product, beta_1, beta_2, schedule_decay)
        return update.nadam_factors(counter, product, beta_1, beta_2, schedule_decay)

    def lamb_corrections(self, counter, beta_1, beta_2):
        return update.lamb_corrections(counter, beta_1, beta_2)

    # ---- few rows of a table ---
    def sgd_update_rows(self, p, g, *, learning_rate):
        if not update.takes_rows(p, g):
            return super().sgd_update_rows(p, g, learning_rate=learning_rate)
        return update.sgd_update_rows(p, g, learning_rate=learning_rate)

    def adagrad_update_rows(self, p, g, s, *, learning_rate, epsilon):
        if not update.takes_rows(p, g, s):
            return super().adagrad_update_rows(p, g, s, learning_rate=learning_rate, epsilon=epsilon)
        return update.adagrad_update_rows(p, g, s, learning_rate=learning_rate, epsilon=epsilon)

    adam_update_rows = _spread("adam_update_rows", "adam_update")

    def rmsprop_update_rows(self, p, g, v, *, learning_rate, rho, epsilon):
        if not update.takes_rows(p, g, v):
            return super().rmsprop_update_rows(p, g, v, learning_rate=learning_rate, rho=rho, epsilon=epsilon)
        return self.rmsprop_update(
            p, update.spread_rows(g), v, learning_rate=learning_rate, rho=rho, momentum=0.0, epsilon=epsilon
        )

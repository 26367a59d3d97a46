"""Adam on a table of which each step uses few rows: the others take their steps when somebody looks at them.

Where the gradient of a row is zero, Adam's moments decay, and the row still moves. ``k`` such steps at once
multiply the moments m and v by ``beta_1^k`` and ``beta_2^k`` and move the row by ``m sum_j w_j / (s + e_j)``,
with ``s = sqrt(v)``, ``w_j = rate_j (beta_1 / sqrt(beta_2))^j`` and ``e_j = epsilon beta_2^(-j/2)``. As the
``e_j`` with any weight lie close to each other, the sum is, to float32's precision,
``W / (s + e - d / (s + e))`` with the weights' sum W and the weighted mean e and variance d of the ``e_j``.
These three depend on when a row was last brought up to date, not on the row.

A table and its moments become ``DeferredVariable``: whoever reads their values gets them up to date. Only an
embedding layer in training knows better and asks for the rows that it needs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpukeras import backends
from gpukeras.backends import memory, threads
from gpukeras.backends.sparse import put_rows
from gpukeras.sparse import DeferredVariable

WINDOW = 256  # steps after which all rows are brought up to date
CLOSE = 0.008  # how far the e_j may lie apart, relative to epsilon, for an error below 1e-6
SMALLEST_EPSILON = 1e-12  # its square must be a float32
_TINY = 1e-30
CHUNK = 1 << 18  # elements worked on at a time
SECONDS = 2e-9  # that one element takes


def can_defer(variable, beta_1: float, beta_2: float, epsilon: float) -> bool:
    """Tell whether Adam's steps without gradient may wait, on this table and with these settings."""
    return (
        variable.dtype == np.float32 and variable.regularizer is None and variable.constraint is None
        and 0 < beta_1 < 1 and 0 < beta_2 < 1 and epsilon >= SMALLEST_EPSILON
        and (1 - beta_2) / (2 * (1 - beta_1)) <= CLOSE
    )


class DeferredAdam:
    """A table, its moments, and the steps that some of its rows have yet to take.

    Parameters
    ----------
    variable, momentum, velocity : Variable, shape (V, E)
    beta_1, beta_2, epsilon : float
    """

    def __init__(self, variable, momentum, velocity, beta_1, beta_2, epsilon):
        self.settings = (beta_1, beta_2, epsilon)
        self.table = (variable, momentum, velocity)
        self.step = 0  # since all rows were up to date
        self.last = np.zeros(variable.shape[0], np.int64)  # the step that each row has taken
        # Of rows that stand at step l: the sums of w_j, w_j e_j and w_j e_j² (with e_j in units of epsilon).
        self.sums = np.zeros((3, WINDOW))
        ratios = beta_1 * beta_2 ** (-0.5 * np.arange(1, 4)[:, None])
        self.powers = ratios ** np.arange(WINDOW + 1)
        # Of both moments, for rows that have 256, ..., 1, 0 steps yet to take.
        self.decays = (np.array([[beta_1], [beta_2]]) ** np.arange(WINDOW, -1, -1)).astype(np.float32)
        self.fresh: Any = None  # rows, and their values and moments now
        self._factors: tuple | None = None
        self.attach()

    def attach(self) -> None:
        """Let reading any of the three bring them up to date first."""
        for variable in self.table:
            DeferredVariable.convert(variable, self)

    def __getstate__(self):
        self.catch_up()
        return self.__dict__

    def _arrays(self) -> list:
        return [variable.values for variable in self.table]

    # ---- reading -------------------------------------------------------------------------------------
    def waiting(self, rows):
        """Return which of some rows have steps yet to take."""
        return self.last.take(rows) != self.step

    def current(self, rows):
        """Return the values of some rows (all different) now; the table itself stays behind.

        It is quickest where the rows that are ``waiting`` come first.
        """
        tables = self._arrays()
        found = [memory.empty((rows.shape[0], tables[0].shape[1]), np.float32) for _ in tables]
        last = self.last.take(rows)
        for table, array in zip(tables, found):
            np.take(table, rows, 0, array, "clip")
        waiting = np.flatnonzero(last != self.step)
        if waiting.size:
            self._advance_all(found, last, waiting[-1] + 1)
        self.fresh = (rows, *found)
        return found[0]

    def catch_up(self) -> None:
        """Bring all rows up to date."""
        self.fresh = None
        if not self.step:
            return
        self._advance_all(self._arrays(), self.last, self.last.shape[0])
        self.step, self._factors = 0, None
        self.last[...] = 0
        self.sums[...] = 0

    def _by_parts(self, function, count: int) -> None:
        """Call ``function(slice)`` for parts of so many rows that what it computes stays in the cache."""
        width = max(1, self.table[0].shape[1])
        step = max(1, CHUNK // width)

        def run(start, stop):
            for at in range(start, stop, step):
                function(slice(at, min(at + step, stop)))

        threads.parallel(run, threads.split(count, count * width * SECONDS))

    def _advance_all(self, arrays, last, count: int) -> None:
        """Let the first rows of (p, m, v) take all steps since those in ``last``, in place."""
        factors = self._since()
        self._by_parts(lambda part: _advance([a[part] for a in arrays], last[part], factors), count)

    def _since(self) -> tuple:
        """Return W, e, d and the factors of both moments for rows that stand at steps 0 to now."""
        if self._factors is None:
            epsilon, now = self.settings[2], self.step
            sums = np.zeros((3, now + 1))  # the last column: rows that have taken all steps
            sums[:, :now] = self.sums[:, :now]
            weight, mean, variance = sums
            scale = np.maximum(weight, _TINY)
            mean /= scale
            variance /= scale
            variance -= mean * mean
            np.maximum(mean, _TINY, out=mean)  # it is divided by, even where the weight is 0
            sums *= ((1,), (epsilon,), (epsilon**2,))
            self._factors = (*sums.astype(np.float32), *self.decays[:, WINDOW - now:])
        return self._factors

    # ---- the step ------------------------------------------------------------------------------------
    def apply(self, rows, gradients, rate: float) -> None:
        """Take one step: ``rows`` (all different) with their gradients now, the others when they are read."""
        if self.table[0].behind is not self:  # another optimizer was here
            self.attach()
        if self.fresh is None or self.fresh[0] is not rows:
            self.current(rows)
        beta_1, beta_2, epsilon = self.settings
        tables, fresh = self._arrays(), self.fresh[1:]

        def step(part):
            p, m, v = (array[part] for array in fresh)
            flat = [array.reshape(-1) for array in (p, gradients[part], m, v)]
            backends.CPU.adam_update(*flat, learning_rate=rate, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon)
            for table, values in zip(tables, (p, m, v)):
                put_rows(table, rows[part], values)

        self._by_parts(step, rows.shape[0])
        self.sums[:, :self.step + 1] += rate * self.powers[:, self.step + 1:0:-1]
        self.step += 1
        self.last[rows] = self.step
        self.fresh = self._factors = None
        if self.step == WINDOW:
            self.catch_up()


def _advance(arrays, last, factors) -> None:
    """Let rows of (p, m, v) that stand at the steps ``last`` take all steps since then, in place."""
    p, m, v = arrays
    weight, mean, variance, of_m, of_v = (f.take(last)[:, None] for f in factors)
    root = np.sqrt(v)
    root += mean
    move = variance / root
    root -= move  # to float32's precision as if 1 / root were multiplied by 1 + variance / root²
    np.divide(m, root, move)
    move *= weight
    p -= move
    m *= of_m
    v *= of_v

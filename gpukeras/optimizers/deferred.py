"""Adam on a table of which each step uses few rows: the others take their steps when somebody looks at them.

Where the gradient of a row is zero, Adam's moments m and v decay, and the row still moves. So that the decay
costs nothing, ``M = m / beta_1^t`` and ``V = v / beta_2^t`` are kept meanwhile, with t the steps taken since
all rows were up to date: without a gradient they stay as they are. Step i then moves a row by
``w_i M / (S + e_i)``, with ``S = sqrt(V)``, ``w_i = rate_i (beta_1 / sqrt(beta_2))^i`` and
``e_i = epsilon beta_2^(-i/2)``. As the ``e_i`` with any weight lie close to each other, several steps move
it, to float32's precision, by ``M W / (S + e - d / (S + e))`` with the weights' sum W and the weighted mean e
and variance d of the ``e_i``. These three depend on when a row was last brought up to date, not on the row.
A gradient changes M and V; the step that follows it waits with those behind it, as they use the same M and V.

A table and its moments become ``DeferredVariable``: whoever reads their values gets them up to date. Only an
embedding layer in training knows better and asks for the rows that it needs.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gpukeras.backends import blas, memory, threads
from gpukeras.backends.sparse import put_rows
from gpukeras.sparse import DeferredVariable

WINDOW = 256  # steps after which all rows are brought up to date, at most
GROWTH = 1e12  # how much larger than m its kept form may get: both must be float32 numbers
CLOSE = 0.008  # how far the e_i may lie apart, relative to epsilon, for an error below 1e-6
SMALLEST_EPSILON = 1e-12  # its square must be a float32
SMALLEST_BETA = 0.1  # of the mean; below, the window would be too short to save anything
_TINY = 1e-30
CHUNK = 1 << 18  # elements worked on at a time
SECONDS = 2e-9  # that one element takes


def can_defer(variable, beta_1: float, beta_2: float, epsilon: float) -> bool:
    """Tell whether Adam's steps without gradient may wait, on this table and with these settings."""
    return (
        variable.dtype == np.float32 and variable.regularizer is None and variable.constraint is None
        and SMALLEST_BETA <= beta_1 < 1 and 0 < beta_2 < 1 and epsilon >= SMALLEST_EPSILON
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
        self.window = min(WINDOW, int(math.log(GROWTH) / -math.log(beta_1)))
        self.step = 0  # since all rows were up to date
        self.last = np.zeros(variable.shape[0], np.int64)  # the last step that each row has taken
        # Of rows that stand at step l: the sums of w_i, w_i e_i and w_i e_i² (with e_i in units of epsilon)
        # over the steps since.
        self.sums = np.zeros((3, self.window))
        self.fresh: Any = None  # rows, and their values and moments now
        self.reader: Any = None  # a weak reference to a tensor that may yet gather from those values
        self._factors: tuple | None = None
        self.attach()

    def attach(self) -> None:
        """Let reading any of the three bring them up to date first."""
        for variable in self.table:
            DeferredVariable.convert(variable, self)

    def __getstate__(self):
        self.catch_up()
        return self.__dict__ | {"reader": None}

    def _arrays(self) -> list:
        return [variable.values for variable in self.table]

    # ---- reading -------------------------------------------------------------------------------------
    def waiting(self, rows):
        """Return which of some rows have yet to take more than the step before."""
        return self.last.take(rows) < self.step - 1

    def current(self, rows):
        """Return the values of some rows (all different) now; the table itself stays behind.

        It is quickest where the rows that are ``waiting`` come first.
        """
        tables = self._arrays()
        found = memory.empty((5, rows.shape[0], tables[0].shape[1]), np.float32)  # p, M, V, two temporaries
        last = self.last.take(rows)
        waiting = np.flatnonzero(last < self.step - 1)
        behind = int(waiting[-1]) + 1 if waiting.size else 0
        factors = self._since() if self.step else None

        def bring(part):
            for table, array in zip(tables, found):
                np.take(table, rows[part], 0, array[part], "clip")
            if factors is not None:
                middle = min(max(part.start, behind), part.stop)
                _advance(found[:, part.start:middle], last[part.start:middle], factors)
                _advance_once(found[:, middle:part.stop], factors)

        self._by_parts(bring, rows.shape[0])
        self.fresh = (rows, found)
        return found[0]

    def catch_up(self) -> None:
        """Bring all rows up to date."""
        self.fresh = None
        if not self.step:
            return
        arrays, last, factors = self._arrays(), self.last, self._since()
        of_m, of_v = (np.float32(beta**self.step) for beta in self.settings[:2])

        def bring(part):
            p, m, v = (array[part] for array in arrays)
            spare = memory.empty((2, *p.shape), np.float32)
            _advance((p, m, v, *spare), last[part], factors)
            m *= of_m
            v *= of_v

        self._by_parts(bring, last.shape[0])
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

    def _since(self) -> tuple:
        """Return W, e and d for rows that stand at steps 0 to the one before now."""
        if self._factors is None:
            epsilon = self.settings[2]
            weight, mean, variance = sums = self.sums[:, :self.step].copy()
            sums[1:] /= np.maximum(weight, _TINY)
            variance -= mean * mean
            np.maximum(mean, _TINY, out=mean)  # it is divided by, even where the weight is 0
            mean *= epsilon
            variance *= epsilon**2
            self._factors = tuple(sums.astype(np.float32))
        return self._factors

    # ---- the step ------------------------------------------------------------------------------------
    def apply(self, rows, gradients, rate: float) -> None:
        """Take one step: ``rows`` (all different) with their gradients now, the others when they are read."""
        if self.table[0].behind is not self:  # another optimizer was here
            self.attach()
        if self.fresh is None or self.fresh[0] is not rows:
            self.current(rows)
        elif (reader := self.reader and self.reader()) is not None:
            reader.array  # noqa: B018 - gathered now, as the values are about to change
        self.reader = None
        beta_1, beta_2, _ = self.settings
        tables, fresh, number = self._arrays(), self.fresh[1], self.step + 1
        gain_1, gain_2 = (1 - beta_1) / beta_1**number, (1 - beta_2) / beta_2**number

        def step(part):
            p, m, v, t, _ = fresh[:, part]
            g = gradients[part]
            _add(gain_1, g, m)
            np.multiply(g, g, t)
            _add(gain_2, t, v)
            for table, values in zip(tables, (p, m, v)):
                put_rows(table, rows[part], values)

        self._by_parts(step, rows.shape[0])
        spread = beta_2 ** (-0.5 * number)  # e_i in units of epsilon
        weight = rate * beta_1**number * spread
        self.sums[:, :number] += ((weight,), (weight * spread,), (weight * spread**2,))
        self.last[rows] = self.step  # for all there is to know, this step waits as well
        self.step = number
        self.fresh = self._factors = None
        if number == self.window:
            self.catch_up()


def _advance(arrays, last, factors) -> None:
    """Let rows of (p, M, V) that stand at the steps ``last`` take all steps since then, p in place.

    Two temporaries as large come behind these three.
    """
    p, m, v, root, move = arrays
    weight, mean, variance = (f.take(last)[:, None] for f in factors)
    np.sqrt(v, root)
    root += mean
    np.divide(variance, root, move)
    root -= move  # to float32's precision as if 1 / root were multiplied by 1 + variance / root²
    np.divide(m, root, move)
    move *= weight
    p -= move


def _advance_once(arrays, factors) -> None:
    """Let rows as in ``_advance`` take one step, the last."""
    p, m, v, root, move = arrays
    weight, mean, _ = (f[-1] for f in factors)
    np.sqrt(v, root)
    root += mean
    np.divide(m, root, move)
    _add(-float(weight), move, p)


def _add(factor: float, x, y) -> None:
    """y += factor x, in one pass where the BLAS lets us."""
    if not blas.current().scaled_sum(factor, x, 1.0, y):
        y += np.float32(factor) * x

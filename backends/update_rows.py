"""Optimizer rules for tables of which a step has used few rows.

The results are those of the rules in ``update`` for a gradient that is zero in all other rows. A rule that
does nothing where the gradient is zero touches the rows alone; running means forget everywhere, and where
they move the weights these move everywhere.
"""

from __future__ import annotations

from . import threads
from .sparse import RowGradient
from .update import UpdateMixin, scalar


class RowUpdateMixin(UpdateMixin):
    """The rules; ``p`` and the slots are vectors as in ``update``, ``g`` is a ``RowGradient``."""

    def sgd_update_rows(self, p, g: RowGradient, *, learning_rate) -> None:
        """p -= learning_rate * g"""
        p = p.reshape(g.shape)
        p[g.rows] = p.take(g.rows, 0) - g.values * scalar(learning_rate, p.dtype)

    def adagrad_update_rows(self, p, g: RowGradient, s, *, learning_rate, epsilon) -> None:
        """s += g²; p -= rate * g / sqrt(s + epsilon)"""
        s = s.reshape(g.shape)
        sums = g.values * g.values
        sums += s.take(g.rows, 0)
        s[g.rows] = sums
        self._divided_step(p, g, sums, learning_rate, epsilon)

    def rmsprop_update_rows(self, p, g: RowGradient, v, *, learning_rate, rho, epsilon) -> None:
        """v = rho v + (1 - rho) g²; p -= rate * g / sqrt(v + epsilon)"""
        c = p.dtype.type

        def forget(start, stop):
            v[start:stop] *= c(rho)

        threads.parallel(forget, threads.split(v.size, v.size * 3e-10))
        means = g.values * g.values
        means *= c(1 - rho)
        table = v.reshape(g.shape)
        means += table.take(g.rows, 0)
        table[g.rows] = means
        self._divided_step(p, g, means, learning_rate, epsilon)

    def _divided_step(self, p, g, squares, rate, epsilon) -> None:
        """p -= rate * g / sqrt(squares + epsilon) in the rows of ``g``; ``squares`` is used up."""
        p = p.reshape(g.shape)
        squares += p.dtype.type(epsilon)
        self.xp.sqrt(squares, squares)
        self.xp.divide(g.values, squares, squares)
        squares *= scalar(rate, p.dtype)
        p[g.rows] = p.take(g.rows, 0) - squares

    def adam_update_rows(
        self, p, g: RowGradient, m, v, *, learning_rate, beta_1, beta_2, epsilon,
    ) -> None:
        """Moments m and v of the gradient; p -= rate * m / (sqrt(v) + epsilon). No beta may be 0."""
        xp, c, rate = self.xp, p.dtype.type, scalar(learning_rate, p.dtype)
        b1, b2, eps = c(beta_1), c(beta_2), c(epsilon)
        # First what is new, divided by the factor by which all is multiplied afterwards.
        new = g.values * c((1 - beta_1) / beta_1)
        _add_rows(m.reshape(g.shape), g.rows, new)
        xp.multiply(g.values, g.values, new)
        new *= c((1 - beta_2) / beta_2)
        _add_rows(v.reshape(g.shape), g.rows, new)

        def step(start, stop):
            for piece in self._passes(1, p[start:stop], m[start:stop], v[start:stop]):
                p_, m_, v_, t = piece
                xp.multiply(m_, b1, m_)
                xp.multiply(v_, b2, v_)
                xp.sqrt(v_, t)
                xp.add(t, eps, t)
                xp.divide(m_, t, t)
                xp.multiply(t, rate, t)
                xp.subtract(p_, t, p_)

        threads.parallel(step, threads.split(p.size, p.size * 1e-9))


def _add_rows(table, rows, values) -> None:
    """Do ``table[rows] += values`` for different rows; ``values`` is used up."""
    values += table.take(rows, 0)
    table[rows] = values

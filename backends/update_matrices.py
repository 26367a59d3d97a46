"""Optimizer rules that see a variable as a whole: factored second moments, orthogonal steps."""

from __future__ import annotations

from .linalg import LinalgMixin
from .update import UpdateMixin, scalar

SMALL = 1e-7  # beside a norm that may be zero


class MatrixUpdateMixin(LinalgMixin, UpdateMixin):
    """Rules for one variable at a time; vectors as in ``update``, with the variable's shape beside them."""

    def adafactor_update(
        self, p, g, v, r, c, *, shape, learning_rate, beta_2, epsilon_1, epsilon_2, clip_threshold,
    ) -> None:
        """Divide by the root of a second moment of which only means over rows and columns are remembered.

        ``r`` and ``c`` are these means, of shapes ``shape[:-1]`` and ``(*shape[:-2], shape[-1])``, and ``v``
        takes what they amount to; without them ``v`` is the second moment itself. The step has the scale of
        the weights, and a root mean square of at most ``clip_threshold`` before that.
        """
        xp, kind = self.xp, p.dtype.type
        keep, gain = scalar(beta_2, p.dtype), scalar(1 - beta_2, p.dtype)
        (t,) = self._scratch(1, p.size, p.dtype)
        xp.multiply(g, g, t)
        xp.add(t, kind(epsilon_1), t)
        if r is None:
            xp.multiply(v, keep, v)
            xp.multiply(t, gain, t)
            xp.add(v, t, v)
        else:
            squares = t.reshape(shape)
            for means, axis in ((r, -1), (c, -2)):
                xp.multiply(means, keep, means)
                xp.add(means, squares.mean(axis=axis) * gain, means)
            rows = r / r.mean(axis=-1, keepdims=True)
            xp.multiply(rows[..., None], c[..., None, :], v.reshape(shape))
        scale = xp.maximum(self._root_mean_square(p), epsilon_2) * learning_rate
        xp.sqrt(v, t)
        xp.divide(g, t, t)
        scale = scale / xp.maximum(self._root_mean_square(t) / clip_threshold, 1)
        xp.multiply(t, scalar(scale, p.dtype), t)
        xp.subtract(p, t, p)

    def _root_mean_square(self, x):
        return self.xp.sqrt(self.square_sum(x) / x.size)

    def muon_update(
        self, p, g, m, *, shape, learning_rate, momentum, nesterov, steps, coefficients,
    ) -> None:
        """m = momentum * m + g; p -= learning_rate * (m, its singular values brought near one).

        With Nesterov momentum ``g + momentum * m`` takes the place of the second ``m``.
        """
        xp, mu = self.xp, p.dtype.type(momentum)
        (t,) = self._scratch(1, p.size, p.dtype)
        xp.multiply(m, mu, m)
        xp.add(m, g, m)
        if nesterov:
            xp.multiply(m, mu, t)
            xp.add(t, g, t)
        else:
            t[...] = m
        xp.multiply(t, scalar(1 / (xp.sqrt(self.square_sum(t)) + SMALL), p.dtype), t)
        step = self._orthogonalized(t.reshape(shape), steps, coefficients).reshape(-1)
        xp.multiply(step, scalar(learning_rate, p.dtype), t)
        xp.subtract(p, t, p)

    def _orthogonalized(self, x, steps: int, coefficients):
        """Apply ``a x + b (x x') x + c (x x')² x`` a number of times to a matrix of norm one or less.

        Each time brings singular values nearer to one (a quintic Newton-Schulz iteration).
        """
        a, b, c = (x.dtype.type(factor) for factor in coefficients)
        high = x.shape[0] > x.shape[1]
        x = self.xp.ascontiguousarray(x.T) if high else x
        for _ in range(steps):
            products = self.matmul(x, x.T)
            both = b * products + c * self.matmul(products, products)
            x = a * x + self.matmul(both, x)
        return self.xp.ascontiguousarray(x.T) if high else x

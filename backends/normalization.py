"""Batch, layer and root-mean-square normalisation of matrices, forward and backward."""

from __future__ import annotations

from .rows import RowsMixin


class NormalizationMixin(RowsMixin):
    """Generic version on ``xp``.

    All matrices are (M, C). Batch normalisation has statistics per column, the others per row.
    """

    def _columns(self, f, x, *vectors, out=None):
        """Apply the ufunc ``f`` to ``x`` and per-column ``vectors`` on the quickest view."""
        wide, k = self.widen(x)
        tiled = [self.xp.tile(v, k) if k > 1 else v for v in vectors]
        if out is not None:
            out = out.reshape(wide.shape)
        return f(wide, *tiled, out=out).reshape(x.shape)

    def batch_norm_forward(self, x, gamma, beta, epsilon, weights=None, guard=0.0):
        """Normalise the columns of ``x`` by their own mean and variance.

        Parameters
        ----------
        x : array, shape (M, C)
        gamma, beta : array, shape (C,), or None
        weights : array, shape (M,), optional
            Weight of each row in the statistics; ``guard`` is added to their sum.

        Returns
        -------
        y, mean, variance, cache
        """
        xp = self.xp
        if weights is None:
            total = float(x.shape[0])
            mean = self.column_sum(x) / total
        else:
            total = weights.sum() + guard
            mean = xp.dot(weights, x) / total
        d = self._columns(xp.subtract, x, mean)
        square = d * d
        var = (self.column_sum(square) if weights is None else xp.dot(weights, square)) / total
        r = 1 / xp.sqrt(var + epsilon)
        scale = r if gamma is None else r * gamma
        y = self._columns(xp.multiply, d, scale, out=square)
        if beta is not None:
            self._columns(xp.add, y, beta, out=y)
        return y, mean, var, (d, r, scale, weights, total)

    def batch_norm_backward(self, dy, cache, dmean=None, dvar=None, need_dx=True):
        """Return the gradients of x, gamma and beta; ``dmean``, ``dvar`` come from uses of the statistics."""
        xp = self.xp
        d, r, scale, weights, total = cache
        dbeta = self.column_sum(dy)
        along = self.column_sum(dy * d)
        dgamma = along * r
        if not need_dx:
            return None, dgamma, dbeta
        # y = d * scale + beta with d = x - mean: what flows through the variance and through the mean.
        through_var = along * scale * r * r * -0.5
        if dvar is not None:
            through_var = through_var + dvar
        through_mean = dbeta * -scale
        if dmean is not None:
            through_mean = through_mean + dmean
        through_var = through_var * (2 / total)
        through_mean = through_mean / total
        dx = self._columns(xp.multiply, dy, scale)
        spread = self._columns(xp.multiply, d, through_var)
        self._columns(xp.add, spread, through_mean, out=spread)
        if weights is not None:
            spread *= weights[:, None]
        dx += spread
        return dx, dgamma, dbeta

    def layer_norm_forward(self, x, gamma, beta, epsilon, center=True):
        """Normalise the rows of ``x``; ``center=False`` divides by the root mean square only.

        Returns
        -------
        y, cache
        """
        xp = self.xp
        n = x.shape[1]
        xhat = x - self.row_sum(x) / n if center else x * 1
        r = self.row_sum(xhat * xhat) / n
        r += epsilon
        xp.sqrt(r, out=r)
        r = 1 / r
        xhat *= r
        y = xhat if gamma is None else self._columns(xp.multiply, xhat, gamma)
        if beta is not None:
            y = self._columns(xp.add, y, beta, out=None if y is xhat else y)
        return y, (xhat, r, gamma, center)

    def layer_norm_backward(self, dy, cache, need_dx=True):
        """Return the gradients of x, gamma and beta."""
        xhat, r, gamma, center = cache
        n = xhat.shape[1]
        dbeta = self.column_sum(dy)
        dgamma = self.column_sum(dy * xhat)
        if not need_dx:
            return None, dgamma, dbeta
        g = dy * 1 if gamma is None else self._columns(self.xp.multiply, dy, gamma)
        along = self.row_sum(g * xhat) / n
        if center:
            g -= self.row_sum(g) / n
        g -= xhat * along
        g *= r
        return g, dgamma, dbeta

    def affine_columns(self, x, scale, offset=None):
        """Return ``x * scale + offset`` with vectors (C,) along the columns of ``x`` (M, C)."""
        y = self._columns(self.xp.multiply, x, scale)
        return y if offset is None else self._columns(self.xp.add, y, offset, out=y)

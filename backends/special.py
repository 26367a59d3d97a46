"""Error functions, which NumPy lacks (the GPU backend takes CuPy's own).

The coefficients were fitted for this file against 40-digit values: Chebyshev interpolation for float64, a
reweighted least-squares rational for float32. Errors: below 2e-15 relative in float64 (``erfc`` where its
argument is above 5: 1e-14, the rounding of x²), below 4e-7 in float32.
"""

from __future__ import annotations

import math

import numpy as np

from .device import Device

# erf(x) = x P(x²), |x| <= 1/2
_SMALL = (
    1.1283791670955126, -0.37612638903183476, 0.11283791670925353, -0.026866170632887928, 0.00522397737302147,
    -0.0008548297753674966, 0.00012053335124353741, -1.4845849259707869e-05, 1.4725865480556744e-06,
)
# erfc(x) = t exp(-x² + sum c[k] T[k](2t - 1)), t = 2 / (2 + x), x >= 0
_TAIL = (
    -0.6513268598908547, 0.6419697923564902, 0.019476473204185836, -0.009561514786808632,
    -0.0009465953444820369,
    0.00036683949785276145, 4.252332480690777e-05, -2.0278578112534242e-05, -1.6242900046470256e-06,
    1.3036558355805232e-06, 1.5626441722066142e-08, -8.523809591492654e-08, 6.5290544390988515e-09,
    5.059343495551469e-09, -9.91364156493033e-10, -2.273651222931836e-10, 9.646791102015527e-11,
    2.3940380830391146e-12, -6.886027526497553e-12, 8.944879273090725e-13, 3.130921399342958e-13,
    -1.1270822361367252e-13, 3.810905255189232e-16, 7.106097613609237e-15, -1.5230282014571043e-15,
    -9.457494571291233e-17, 1.210237189224279e-16, -2.816663087747177e-17,
)
# float32: erf(x) = x P(x²) / Q(x²) up to |x| = 3.92, where it rounds to 1
_P32 = (
    1.1283791065216064, 0.19992020726203918, 0.05057274550199509, 0.003701424226164818, 0.0001418459287378937,
    -1.957817630682257e-06, 1.9924335958876327e-08,
)
_Q32 = (1.0, 0.5105063319206238, 0.11499661952257156, 0.014352829195559025, 0.0009559938334859908)
# Single-precision inverse in w = -log(1 - x²) (Giles, 2012), the start of the refinement below.
_CENTRE = (
    2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503,
    -0.00417768164, 0.246640727, 1.50140941,
)
_EDGE = (
    -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613,
    0.00943887047,
    1.00167406, 2.83297682,
)


def _horner(x, rising):
    """Return the polynomial with coefficients ``rising`` (constant first) at ``x``, in one buffer."""
    y = x * rising[-1]
    for c in rising[-2:0:-1]:
        y += c
        y *= x
    y += rising[0]
    return y


class SpecialMixin(Device):
    """Error functions over ``xp``, float16|32|64 in, the same out.

    References
    ----------
    M. Giles, "Approximating the erfinv function", GPU Computing Gems Jade Edition, 2012.
    """

    def erf(self, x):
        """Return the error function."""
        xp = self.xp
        x = xp.asarray(x)
        if x.dtype == np.float64:
            size = xp.abs(x)
            small = xp.minimum(size, 0.5)
            inner = small * _horner(small * small, _SMALL)
            return xp.copysign(xp.where(size <= 0.5, inner, 1 - self._tail(size)), x)
        y = xp.clip(x.astype(np.float32, copy=False), -3.92, 3.92)
        square = y * y
        y = y * _horner(square, _P32)
        y /= _horner(square, _Q32)
        return xp.clip(y, -1, 1).astype(x.dtype, copy=False)

    def erfc(self, x):
        """Return ``1 - erf(x)`` with full relative precision."""
        xp = self.xp
        x = xp.asarray(x)
        wide = x.astype(np.float64, copy=False)
        tail = self._tail(xp.abs(wide))
        y = xp.where(wide > 0.5, tail, xp.where(wide < -0.5, 2 - tail, 1 - self.erf(wide)))
        return y.astype(x.dtype, copy=False)

    def _tail(self, size):
        """Return ``erfc(size)`` for float64 ``size >= 0`` by Clenshaw's recurrence."""
        xp = self.xp
        size = xp.minimum(size, 30.0)  # beyond, it is 0 in float64; infinity would give NaN
        t = 2 / (2 + size)
        y = 2 * t - 1
        twice = 2 * y
        b = before = xp.zeros_like(t)
        for c in _TAIL[:0:-1]:
            b, before = twice * b - before + c, b
        with np.errstate(under="ignore"):
            return t * xp.exp(y * b - before + _TAIL[0] - size * size)

    def erfinv(self, x):
        """Return the inverse of the error function; ±1 give infinities, values outside NaN."""
        xp = self.xp
        x = xp.asarray(x)
        wide = x.astype(np.float64 if x.dtype == np.float64 else np.float32, copy=False)
        with np.errstate(divide="ignore", invalid="ignore"):
            w = -xp.log((1 - wide) * (1 + wide))
            inner = _horner(w - 2.5, _CENTRE[::-1])
            edge = _horner(xp.sqrt(xp.maximum(w, 5)) - 3, _EDGE[::-1])
            y = xp.where(w < 5, inner, edge) * wide
            if x.dtype == np.float64:
                # The fit ends at w = 16, where float32 does; beyond, the first terms of the asymptotic
                # series.
                far = xp.maximum(w, 16)
                far = xp.sqrt(far + math.log(2) - 0.5 * xp.log(math.pi * far))
                y = self._refine_erfinv(xp.abs(wide), xp.where(w < 16, xp.abs(y), far))
                y = xp.copysign(y, wide)
            ends = xp.abs(wide) == 1
            y = xp.where(ends, xp.copysign(xp.full_like(wide, np.inf), wide), y)
            return y.astype(x.dtype, copy=False)

    def _refine_erfinv(self, x, y):
        """Sharpen ``y`` with ``erf(y) = x`` by two Halley steps, on ``erfc`` where ``x`` is near 1."""
        xp = self.xp
        for _ in range(2):
            step = xp.where(x < 0.5, self.erf(y) - x, (1 - x) - self._tail(y))
            step = step * (math.sqrt(math.pi) / 2) * xp.exp(xp.minimum(y * y, 700))
            y = y - step / (1 + y * step)
        return y

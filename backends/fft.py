"""Fourier transforms of pairs (real part, imaginary part), and signals cut into overlapping frames."""

from __future__ import annotations

from .device import Device


class FourierMixin(Device):
    """Transforms by the array library; pairs of float16 are computed in float32."""

    def fourier(self, re, im, axes: tuple, inverse: bool, norm: str):
        """Return the transform of ``re + i im`` over ``axes`` as a pair.

        Parameters
        ----------
        re, im : array of float, equal shapes
        axes : tuple of int
        inverse : bool
        norm : {"backward", "forward"}
            Which of the two directions divides by the number of points.
        """
        xp, kind = self.xp, re.dtype
        re, im = self._wide(re), self._wide(im)
        z = xp.empty(re.shape, "complex128" if re.dtype == "float64" else "complex64")
        z.real[...] = re
        z.imag[...] = im
        transform = xp.fft.ifftn if inverse else xp.fft.fftn
        return self._pair(transform(z, axes=axes, norm=norm), kind)

    def real_fourier(self, x, length: int):
        """Return the first ``length // 2 + 1`` points of the transform of real signals (last axis).

        Signals are cut or filled with zeros to ``length``.
        """
        return self._pair(self.xp.fft.rfft(self._wide(x), length), x.dtype)

    def inverse_real_fourier(self, re, im, length: int, norm: str = "backward"):
        """Return the real signals of ``length`` with the transforms ``re + i im`` (last axis)."""
        xp, kind = self.xp, re.dtype
        re, im = self._wide(re), self._wide(im)
        z = xp.empty(re.shape, "complex128" if re.dtype == "float64" else "complex64")
        z.real[...] = re
        z.imag[...] = im
        return xp.fft.irfft(z, length, norm=norm).astype(kind, copy=False)

    def _wide(self, x):
        return x.astype("float32") if x.dtype == "float16" else x

    def _pair(self, z, kind):
        xp = self.xp
        return xp.ascontiguousarray(z.real).astype(kind, copy=False), xp.ascontiguousarray(z.imag).astype(
            kind, copy=False)

    def frames(self, x, length: int, stride: int):
        """Return the pieces of ``length`` elements that begin every ``stride`` elements (last axis)."""
        count = frame_count(x.shape[-1], length, stride)
        if not count:
            return self.xp.zeros((*x.shape[:-1], 0, length), x.dtype)
        steps = (*x.strides[:-1], x.strides[-1] * stride, x.strides[-1])
        pieces = self.xp.lib.stride_tricks.as_strided(x, (*x.shape[:-1], count, length), steps)
        return pieces.copy()

    def overlap_add(self, pieces, stride: int, total: int):
        """Return signals of ``total`` elements (last axis): the sums of pieces that begin every ``stride``.

        Parameters
        ----------
        pieces : array, shape (..., frames, length)
        """
        xp = self.xp
        *lead, count, length = pieces.shape
        parts = -(-length // stride)  # each piece in blocks as wide as the stride, the last maybe narrower
        blocks = xp.zeros((*lead, max(count + parts - 1, -(-total // stride)), stride), pieces.dtype)
        for j in range(parts):
            block = pieces[..., j * stride:(j + 1) * stride]
            blocks[..., j:j + count, :block.shape[-1]] += block
        return blocks.reshape(*lead, -1)[..., :total]


def frame_count(size: int, length: int, stride: int) -> int:
    """Return how many pieces of ``length``, ``stride`` apart, lie within ``size`` elements."""
    return max(0, (size - length) // stride + 1)

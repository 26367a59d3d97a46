"""Fourier transforms against the sums that define them."""

import numpy as np
import pytest
from support.checks import check_op

from gpukeras import KerasTensor, ops

pytestmark = pytest.mark.usefixtures("backend")
RNG = np.random.default_rng(4)
RE, IM = RNG.standard_normal((2, 5)), RNG.standard_normal((2, 5))


def matrix(n, sign=-1):
    k = np.arange(n)
    return np.exp(sign * 2j * np.pi * np.outer(k, k) / n)


def pair(z):
    return z.real, z.imag


def test_fft():
    check_op(ops.fft, [RE, IM], lambda x: pair((x[0] + 1j * x[1]) @ matrix(5)), listed=True,
             second_order=True)


@pytest.mark.parametrize("name, sign, scale", [("fft2", -1, 1.0), ("ifft2", 1, 0.1)])
def test_two_axes(name, sign, scale):
    def reference(x):
        z = x[0] + 1j * x[1]
        return pair(scale * np.einsum("nij,ia,jb->nab", z, matrix(2, sign), matrix(5, sign)))

    parts = [np.stack([RE, -IM]), np.stack([IM, RE])]
    check_op(getattr(ops, name), parts, reference, listed=True, second_order=True)


@pytest.mark.parametrize("length", [None, 4, 7])
def test_rfft(length):
    n = length or 5

    def reference(x, fft_length=None):
        whole = np.zeros((2, n))
        whole[:, :min(n, 5)] = x[:, :n]
        return pair((whole @ matrix(n))[:, :n // 2 + 1])

    check_op(ops.rfft, [RE], reference, kwargs={"fft_length": length}, second_order=True)


@pytest.mark.parametrize("length", [None, 7, 11])
def test_irfft(length):
    n = length or 8

    def reference(x, fft_length=None):
        z = np.zeros((2, n // 2 + 1), complex)
        bins = min(5, n // 2 + 1)
        z[:, :bins] = (x[0] + 1j * x[1])[:, :bins]
        ends = [0, n // 2] if n % 2 == 0 else [0]
        z[:, ends] = z[:, ends].real
        mirrored = np.conj(z[:, 1:(n + 1) // 2][:, ::-1])
        return (np.concatenate([z, mirrored], 1) @ matrix(n, 1)).real / n

    check_op(ops.irfft, [RE, IM], reference, listed=True, kwargs={"fft_length": length}, second_order=True)


@pytest.mark.parametrize("length, stride", [(3, 1), (2, 3), (4, 2), (9, 2)])
def test_extract_sequences(length, stride):
    def reference(x, *_):
        starts = range(0, 8 - length, stride)
        pieces = [x[..., s:s + length] for s in starts if s + length <= 7]
        return np.stack(pieces, -2) if pieces else np.zeros((2, 0, length))

    check_op(ops.extract_sequences, [RNG.standard_normal((2, 7))], reference, settings=(length, stride),
             second_order=length < 9, grad=length < 9)


def test_one_part_alone_has_a_gradient():
    check_op(lambda x: ops.rfft(x)[1], [RE], lambda x: (x @ matrix(5))[:, :3].imag)


def test_types_and_integers():
    assert ops.rfft(np.arange(4, dtype="float16"))[0].dtype == "float16"
    assert ops.rfft(np.arange(4))[0].dtype == "float32"
    assert ops.irfft((np.ones(3, "float16"), np.ones(3, "float16"))).dtype == "float16"


def test_refusals():
    with pytest.raises(ValueError, match="pair"):
        ops.fft((RE,))
    with pytest.raises(ValueError, match="imaginary part"):
        ops.fft((RE, IM[:1]))
    with pytest.raises(ValueError, match="2 axes"):
        ops.fft2((RE[0], IM[0]))
    with pytest.raises(ValueError, match="sequence_stride must be at least 1"):
        ops.extract_sequences(RE, 2, 0)


def test_symbolic_sizes_may_be_open():
    x = KerasTensor((None, None))
    assert [y.shape for y in ops.rfft(x)] == [(None, None)] * 2
    assert ops.rfft(x, 6)[0].shape == (None, 4)
    assert ops.irfft((x, x)).shape == (None, None)
    assert ops.extract_sequences(x, 4, 2).shape == (None, None, 4)

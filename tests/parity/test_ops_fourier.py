"""Fourier transforms and CTC decoding: the same values as real Keras, models with them in its files."""

import numpy as np
import pytest

import gpukeras as keras
from gpukeras import ops, tree

pytestmark = pytest.mark.parity
RNG = np.random.default_rng(2)
X, Y = (RNG.standard_normal((2, 3, 20)).astype("float32") for _ in range(2))
PARTS = [RNG.standard_normal((2, 6, 5)).astype("float32") for _ in range(2)]
LOGITS = (RNG.standard_normal((2, 7, 4)) * 2).astype("float32")
WINDOW = np.linspace(0.5, 1, 6).astype("float32")
CASES = {
    **{name: lambda K, name=name: getattr(K, name)((X, Y)) for name in ("fft", "fft2", "ifft2", "irfft")},
    **{f"rfft_{n}": lambda K, n=n: K.rfft(X, n) for n in (None, 15, 24)},
    **{f"irfft_{n}": lambda K, n=n: K.irfft((X, Y), n) for n in (15, 50)},
    "extract_sequences": lambda K: K.extract_sequences(X, 7, 3),
    "stft": lambda K: K.stft(X, 6, 3, 8), "stft_5": lambda K: K.stft(X, 5, 2, 9, "hamming", False),
    "stft_window": lambda K: K.stft(X, 6, 4, 8, WINDOW), "stft_none": lambda K: K.stft(X, 6, 4, 8, None),
    "istft": lambda K: K.istft(PARTS, 8, 4, 8), "istft_length": lambda K: K.istft(PARTS, 6, 2, 8, length=9),
    "istft_window": lambda K: K.istft(PARTS, 6, 4, 8, window=WINDOW, center=False),
    "greedy": lambda K: K.ctc_decode(LOGITS, np.array([7, 4]), mask_index=3),
    "greedy_all": lambda K: K.ctc_decode(LOGITS, np.array([7, 4]), merge_repeated=False),
    "beam": lambda K: K.ctc_decode(LOGITS, np.array([7, 4]), "beam_search", 300, 3),
    "ctc_loss": lambda K: K.ctc_loss(np.array([[1, 2, 2], [3, 1, 0]]), LOGITS, np.array([3, 2]),
                                     np.array([7, 5])),
}


@pytest.mark.parametrize("case", CASES)
def test_values(real_keras, case):
    found, expected = (tree.flatten(CASES[case](K)) for K in (ops, real_keras.ops))
    assert len(found) == len(expected)
    for a, b in zip(found, expected):
        b = np.asarray(b)
        assert a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-5, atol=2e-5)


def test_models_are_shared(real_keras, tmp_path):
    def model(K):
        inputs = K.Input((24,))
        re, im = K.ops.rfft(K.ops.extract_sequences(inputs, 8, 4))
        return K.Model(inputs, K.ops.irfft((re * 2, im)))

    x = RNG.standard_normal((2, 24)).astype("float32")
    for source, target in ((keras, real_keras), (real_keras, keras)):
        made = model(source)
        made.save(tmp_path / "model.keras")
        loaded = target.models.load_model(tmp_path / "model.keras")
        np.testing.assert_allclose(
            loaded.predict(x, verbose=0), made.predict(x, verbose=0), rtol=1e-4, atol=1e-5)

"""Layers that prepare numbers and categories: scaling, bins, vectors, hashes, crosses."""

import copy
import json
import types

import numpy as np
import pytest

import gpukeras as keras
from gpukeras import backends, layers, ops
from gpukeras.layers.experimental import preprocessing
from gpukeras.layers.preprocessing import hashes
from gpukeras.sparse import SparseTensor
from gpukeras.utils import PyDataset

DATA = np.random.default_rng(0).normal(3, 2, (50, 4)).astype("float32")


def values(layer, *args, **kwargs):
    return layer(*args, **kwargs).numpy()


# ---- Rescaling, Normalization ---------------------------------------------------------------------------
def test_rescaling_of_channels_first():
    layer = layers.Rescaling([1.0, 2.0], offset=np.array([0.0, 1.0]))
    x = np.ones((1, 2, 2, 2), "float32")
    keras.config.set_image_data_format("channels_first")
    try:
        assert values(layer, x)[0, :, 0, 0].tolist() == [1.0, 3.0]
    finally:
        keras.config.set_image_data_format("channels_last")
    assert values(layer, x)[0, 0, 0].tolist() == [1.0, 3.0]
    again = layers.Rescaling.from_config(json.loads(json.dumps(layer.get_config())))
    np.testing.assert_array_equal(values(again, x), values(layer, x))


@pytest.mark.parametrize("data", [
    DATA, DATA.tolist(), [DATA[:7], DATA[7:30], DATA[30:]], lambda: iter([DATA[:1], DATA[1:]]),
    ops.convert_to_tensor,
], ids=["array", "lists", "batches", "generator", "tensor"])
def test_normalization_learns_from_any_data(data):
    if isinstance(data, types.FunctionType) and data is ops.convert_to_tensor:
        data = data(DATA)
    layer = layers.Normalization()
    layer.adapt(data() if callable(data) else data)
    np.testing.assert_allclose(layer.mean.numpy(), DATA.mean(0, keepdims=True), rtol=1e-5)
    np.testing.assert_allclose(layer.variance.numpy(), DATA.var(0, keepdims=True), rtol=1e-5)
    np.testing.assert_allclose(values(layer, DATA), (DATA - DATA.mean(0)) / DATA.std(0), rtol=1e-4, atol=1e-5)


def test_normalization_follows_its_weights():
    layer = layers.Normalization()
    layer.adapt(DATA)
    layer(DATA)
    twin = copy.deepcopy(layer)
    layer.set_weights([np.zeros(4), np.full(4, 4.0), 0])
    np.testing.assert_allclose(values(layer, DATA), DATA / 2, rtol=1e-6)
    np.testing.assert_allclose(values(twin, DATA).mean(0), 0, atol=1e-5)


def test_normalization_back_and_forth():
    there, back = layers.Normalization(axis=None), layers.Normalization(axis=None, invert=True)
    for layer in (there, back):
        layer.adapt(DATA)
    np.testing.assert_allclose(values(back, there(DATA)), DATA, rtol=1e-5)
    assert there.get_config()["axis"] == () and layers.Normalization(axis=1).get_config()["axis"] == (1,)
    constant = layers.Normalization()
    constant.adapt([[1.0], [1.0]])
    assert values(constant, [[1.0]]).tolist() == [[0.0]]


def test_normalization_in_half_precision():
    layer = layers.Normalization(dtype="mixed_float16")
    layer.adapt(DATA)
    assert layer(DATA).dtype == "float16" and layer.adapt_mean.dtype == "float32"


def test_normalization_refuses():
    with pytest.raises(ValueError, match="go together"):
        layers.Normalization(mean=1.0)
    with pytest.raises(ValueError, match="nothing to learn"):
        layers.Normalization(mean=1.0, variance=1.0).adapt(DATA)
    with pytest.raises(ValueError, match="must be known"):
        layers.Normalization().build((None, None))
    with pytest.raises(ValueError, match="does not exist"):
        layers.Normalization(axis=2).build((None, 4))
    layer = layers.Normalization()
    layer.adapt(DATA)
    with pytest.raises(ValueError, match="with 2 axes"):
        layer.adapt(DATA[None])
    with pytest.raises(TypeError, match="array of complex64"):
        layer.adapt(DATA.astype("complex64"))


# ---- Discretization, CategoryEncoding --------------------------------------------------------------------
class Rows(PyDataset):
    def __len__(self):
        return 2

    def __getitem__(self, i):
        return DATA[25 * i:25 * i + 25]


def test_bins_by_quantiles():
    layer = layers.Discretization(num_bins=4)
    layer.adapt(Rows())
    counts = np.bincount(values(layer, DATA).ravel(), minlength=4)
    assert len(layer.bin_boundaries) == 3 and (abs(counts - 50) <= 4).all()
    again = layers.Discretization.from_config(json.loads(json.dumps(layer.get_config())))
    np.testing.assert_array_equal(values(again, DATA), values(layer, DATA))
    again.adapt(DATA * 2)
    assert again.bin_boundaries != layer.bin_boundaries
    coarse = layers.Discretization(num_bins=4, epsilon=0.3)
    coarse.adapt(DATA)
    assert coarse.summary.shape[1] <= 4


def test_bins_of_odd_values():
    layer = layers.Discretization([1, 2])
    assert values(layer, [np.nan, np.inf, -np.inf, 1, 2]).tolist() == [2, 2, 0, 1, 2]
    assert values(layer, np.array([1, 3])).tolist() == [1, 2] and layer(DATA).dtype == "int32"
    hot = layers.Discretization([1.0], output_mode="one_hot", dtype="float16")
    assert hot([[0.0]]).dtype == "float16" and hot(keras.Input((1,))).shape == (None, 2)
    assert layers.Discretization(bins=3).num_bins == 3
    assert layers.Discretization(bins=[1.0]).bin_boundaries == [1.0]


@pytest.mark.parametrize("kwargs, message", [
    ({}, "either bin_boundaries or num_bins"), ({"bin_boundaries": [1.0], "num_bins": 2}, "either"),
    ({"bin_boundaries": [2.0, 1.0]}, "must rise"), ({"num_bins": -1}, "negative"),
    ({"num_bins": 2, "output_mode": "x"}, "output_mode must be"), ({"num_bins": 2, "sparse": True}, "sparse"),
])
def test_bins_that_do_not_fit(kwargs, message):
    with pytest.raises(ValueError, match=message):
        layers.Discretization(**kwargs)


def test_bins_before_and_after_adapt():
    with pytest.raises(ValueError, match="call adapt"):
        layers.Discretization(num_bins=2)([1.0])
    with pytest.raises(ValueError, match="nothing to learn"):
        layers.Discretization([1.0]).adapt(DATA)


def test_category_encoding():
    layer = layers.CategoryEncoding(3, output_mode="count", sparse=True)
    found = layer([[0, 2, 2], [1, 7, -1]])
    assert found.numpy().tolist() == [[1, 0, 2], [0, 1, 0]]
    assert isinstance(found, SparseTensor) == (backends.current() is backends.CPU)
    weighted = layer([[0, 2, 2]], count_weights=np.array([[0.5, 1, 2]], "float32"))
    assert weighted.numpy().tolist() == [[0.5, 0, 3]]
    assert values(layers.CategoryEncoding(3), 2).tolist() == [0, 0, 1]
    assert values(layers.CategoryEncoding(3, output_mode="binary"), [[0.0, 2.7]]).tolist() == [[1, 0, 1]]
    assert values(layers.CategoryEncoding(max_tokens=2, output_mode="one_hot"), [1]).tolist() == [[0, 1]]
    with pytest.raises(ValueError, match="go with output_mode='count'"):
        layers.CategoryEncoding(3)([[1]], count_weights=np.ones((1, 1)))
    for kwargs in ({}, {"num_tokens": 0}, {"num_tokens": 2, "output_mode": "int"}):
        with pytest.raises(ValueError, match="num_tokens must be|output_mode must be"):
            layers.CategoryEncoding(**kwargs)


def test_sparse_vectors_train_a_dense_layer():
    encoding = layers.CategoryEncoding(50, output_mode="count", sparse=True)
    dense = layers.Dense(2, kernel_initializer="ones")
    np.testing.assert_allclose(values(dense, encoding([[3, 3, 9], [0, 1, 2]])), 3)


# ---- Hashing, crossing ------------------------------------------------------------------------------------
def test_hashing():
    layer = layers.Hashing(3, mask_value=0, salt=1)
    again = layers.Hashing.from_config(json.loads(json.dumps(layer.get_config())))
    x = np.arange(20).reshape(4, 5)
    np.testing.assert_array_equal(values(again, x), values(layer, x))
    assert (values(layer, x) == 0).sum() == 1
    assert layers.Hashing(3)(keras.Input((2,), dtype="string")).dtype == "int64"
    assert layers.Hashing(3, dtype="int32")(["a"]).dtype == "int32"
    assert layers.Hashing(3, output_mode="one_hot").compute_output_shape((None, 2)) == (None, 2, 3)
    assert values(layers.Hashing(9), [True]).tolist() == values(layers.Hashing(9), ["true"]).tolist()
    assert values(layers.Hashing(9), [2.9]).tolist() == values(layers.Hashing(9), [2]).tolist()
    assert values(layers.Hashing(9), np.zeros((0, 2), "int32")).shape == (0, 2)
    with pytest.raises(TypeError, match="mask_value='x' is text"):
        layers.Hashing(3, mask_value="x")([1])
    for kwargs in ({"num_bins": 0}, {"num_bins": None}, {"num_bins": 2, "salt": "x"},
                   {"num_bins": 2, "dtype": "float32"}, {"num_bins": 2, "output_mode": "tf_idf"}):
        with pytest.raises(ValueError, match="num_bins must|salt must|dtype must|output_mode must"):
            layers.Hashing(**kwargs)


def test_long_strings_are_hashed_in_parts(monkeypatch):
    strings = [b"a" * n for n in (5, 300, 90, 0, 64, 65, 300)]
    whole = hashes.fingerprint64(strings), hashes.siphash24(strings, (1, 2))
    monkeypatch.setattr(hashes, "_LARGEST", 700)
    np.testing.assert_array_equal(hashes.fingerprint64(strings), whole[0])
    np.testing.assert_array_equal(hashes.siphash24(strings, (1, 2)), whole[1])
    assert whole[0][1] == whole[0][6] and len(set(whole[0].tolist())) == 6


def test_hashed_crossing():
    layer = layers.HashedCrossing(7)
    inputs = [keras.Input((1,), dtype="string"), keras.Input((1,), dtype="int64")]
    model = keras.Model(inputs, layer(inputs))
    pair = [np.array([["a"], ["b"]], object), np.array([[1], [2]])]
    np.testing.assert_array_equal(model.predict(pair, verbose=0), values(layer, pair))
    assert values(layer, (["a", "b"], [1, 2])).tolist() == values(layer, pair).ravel().tolist()
    again = layers.HashedCrossing.from_config(layer.get_config())
    np.testing.assert_array_equal(values(again, pair), values(layer, pair))
    for bad, message in (([["a"]], "two or more"), ([["a"], [1, 2]], "same shape"),
                         ([["a"], [1.5]], "strings and integers"), ([[[["a"]]], [[[1]]]], r"\(N, 1\)")):
        with pytest.raises(ValueError, match=message):
            layer(bad)


def test_category_crossing():
    layer = preprocessing.CategoryCrossing(depth=2, separator="-")
    assert layer([["a", "b"], [1, 2]]).tolist() == [["a", "1", "a-1"], ["b", "2", "b-2"]]
    wide = preprocessing.CategoryCrossing(depth=(2,))
    assert wide([[["a", "b"]], [["c", "d"]]]).tolist() == [["a_X_c", "a_X_d", "b_X_c", "b_X_d"]]
    assert wide.compute_output_shape([(None, 2), (None, 2)]) == (None, 4)
    symbolic = wide([keras.Input((2,), dtype="string"), keras.Input((None,), dtype="int64")])
    assert symbolic.shape == (None, None) and symbolic.dtype == "string"
    assert layer.partial_crossing([["a"], ["b"]]).tolist() == [["a-b"]]
    assert layers.deserialize(layers.serialize(layer)).get_config() == layer.get_config()
    with pytest.raises(ValueError, match="samples"):
        layer([["a", "b"], [1]])
    with pytest.raises(ValueError, match="a list of inputs"):
        layer(np.array(["a"]))
    with pytest.raises(ValueError, match="dense here"):
        layer.partial_crossing([["a"]], ragged_out=True)


# ---- the base, and layers in a row ------------------------------------------------------------------------
def test_layers_of_ones_own():
    class Largest(preprocessing.PreprocessingLayer):
        def build(self, input_shape):
            self.columns = input_shape[-1]

        def reset_state(self):
            self.largest = np.zeros(self.columns) if self.built else 0.0

        def update_state(self, data):
            self.largest = np.maximum(self.largest, data.max(0))

        def call(self, inputs):
            return inputs / self.largest.astype("float32")

    layer = Largest()
    layer.compile()
    assert not layer.is_adapted
    layer.adapt(DATA, batch_size=20)
    np.testing.assert_allclose(values(layer, DATA).max(0), 1)
    assert layer.is_adapted and layer.columns == 4
    with pytest.raises(NotImplementedError, match="update_state"):
        preprocessing.PreprocessingLayer().adapt(DATA)


def test_pipeline():
    lookup = layers.StringLookup(vocabulary=["a", "b"])
    pipeline = layers.Pipeline([lookup, layers.CategoryEncoding(3, output_mode="one_hot")])
    assert values(pipeline, ["b", "x"]).tolist() == [[0, 0, 1], [1, 0, 0]]
    again = layers.Pipeline.from_config(json.loads(json.dumps(pipeline.get_config())))
    assert values(again, ["b", "x"]).tolist() == values(pipeline, ["b", "x"]).tolist()
    noisy = layers.Pipeline([layers.Dropout(0.5)])
    x = np.ones((50, 50), "float32")
    assert (values(noisy, x) == 0).any() and not (values(noisy, x, training=False) == 0).any()
    with pytest.raises(TypeError, match="takes layers"):
        layers.Pipeline([3])


# ---- spectrograms ----------------------------------------------------------------------------------------
def test_spectrograms_of_a_tone():
    tone = np.sin(2 * np.pi * 1000 * np.arange(4000) / 8000).astype("float32")
    layer = layers.MelSpectrogram(256, 128, sampling_rate=8000, num_mel_bins=40)
    loudest = values(layer, tone).mean(-1).argmax()
    bands = layer.linear_to_mel_weight_matrix(40, 129, 8000, 20.0, 4000.0)
    assert bands[:, loudest].argmax() == pytest.approx(32, abs=1)  # 32 of 256 points is 1000 Hz
    assert layer.compute_output_shape((None, None)) == (None, 40, None)
    parts = layers.STFTSpectrogram(mode="magnitude", frame_length=256)
    assert (values(parts, tone[None, :, None]).argmax(-1) == 32).all()
    angle = layers.STFTSpectrogram(mode="angle", frame_length=64)
    assert abs(values(angle, tone[None, :, None])).max() <= np.pi + 1e-6
    assert parts.compute_output_shape((None, None, 1)) == (None, None, 129)


@pytest.mark.parametrize("kwargs, message", [
    ({"mode": "x"}, "mode must be"), ({"scaling": "x"}, "scaling must be"), ({"padding": "x"}, "padding"),
    ({"fft_length": 10}, "at least frame_length"), ({"frame_step": 0}, "frame_step must lie"),
    ({"window": np.ones(3)}, "must have shape"),
])
def test_spectrograms_that_do_not_fit(kwargs, message):
    with pytest.raises(ValueError, match=message):
        layers.STFTSpectrogram(**kwargs)
    with pytest.raises(ValueError, match="lower edge"):
        layers.MelSpectrogram(min_freq=9000.0)(np.ones(4000, "float32"))


@pytest.mark.cpu
def test_what_is_left_out_says_why():
    with pytest.raises(AttributeError, match="DenseFeatures is not part.*feature columns"):
        _ = layers.DenseFeatures
    with pytest.raises(AttributeError, match="DynamicLookup is not part.*adapt"):
        _ = layers.experimental.DynamicLookup

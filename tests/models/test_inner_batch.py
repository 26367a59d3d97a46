"""Batches of ``predict`` computed together or in pieces: which models, which sizes, what callbacks see."""

import numpy as np
import pytest

import gpukeras as keras
from gpukeras import layers, ops
from gpukeras.models import inner_batch
from gpukeras.models.inner_batch import Pace, rowwise


def sequential(*parts):
    return keras.Sequential([keras.Input((6, 4)), *parts])


ROWWISE = [
    lambda: sequential(layers.Flatten(), layers.Dense(3, "relu"), layers.Dropout(0.5),
                       layers.Dense(2, "softmax")),
    lambda: sequential(layers.Conv1D(3, 2), layers.BatchNormalization(), layers.GlobalAveragePooling1D()),
    lambda: sequential(layers.Masking(), layers.LSTM(3, return_sequences=True), layers.GRU(2)),
    lambda: sequential(layers.Bidirectional(layers.LSTM(3)), layers.LayerNormalization()),
    lambda: sequential(layers.TimeDistributed(layers.Dense(2))),
    lambda: sequential(keras.Sequential([keras.Input((6, 4)), layers.Dense(3)]), layers.Flatten()),
]


def _axis_zero():
    x = keras.Input((4,))
    return keras.Model(x, layers.Concatenate(axis=0)([x, x]))


def _op():
    x = keras.Input((4,))
    return keras.Model(x, x - ops.mean(x, axis=0))


def _training():
    x = keras.Input((4,))
    return keras.Model(x, layers.BatchNormalization()(x, training=True))


class Own(layers.Layer):
    """Looks across the batch."""

    def call(self, x):
        return x - ops.mean(x, axis=0, keepdims=True)


class OwnModel(keras.Sequential):
    """Counts its batches."""

    def predict_step(self, data):
        self.sizes = [*getattr(self, "sizes", []), len(data[0] if isinstance(data, tuple) else data)]
        return super().predict_step(data)


NOT = [
    _axis_zero, _op, _training,
    lambda: sequential(Own()),
    lambda: sequential(layers.Lambda(lambda x: x - ops.mean(x, axis=0))),
    lambda: sequential(layers.Dense(2, activation=lambda x: x - ops.mean(x, axis=0))),
    lambda: sequential(layers.TimeDistributed(Own())),
    lambda: keras.Sequential([keras.Input((6, 4), batch_size=2), layers.LSTM(3, stateful=True)]),
    lambda: sequential(keras.Sequential([keras.Input((6, 4)), Own()])),
    lambda: sequential(layers.Softmax(axis=0)),
    lambda: OwnModel([keras.Input((6, 4)), layers.Dense(2)]),
]


@pytest.mark.parametrize("make", ROWWISE)
def test_joined_batches_and_pieces_give_the_same(make, monkeypatch):
    model = make()
    assert rowwise(model)
    x = np.random.default_rng(0).standard_normal((70, 6, 4)).astype("float32")
    joined = model.predict(x, batch_size=8, verbose=0)
    monkeypatch.setattr(inner_batch, "TOGETHER", 1)
    single = model.predict(x, batch_size=8, verbose=0)
    monkeypatch.setattr(inner_batch, "APART", 100)
    pieces = model.predict(x, batch_size=32, verbose=0)
    np.testing.assert_allclose(joined, single, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(pieces, single, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", NOT)
def test_models_that_may_look_across_the_batch_keep_it(make):
    assert not rowwise(make())


def sizes_of(model, monkeypatch, count, **settings):
    """Return the sizes of the batches that the model computes."""
    seen = []
    step = type(model).predict_step

    def note(self, data):
        seen.append(len(data[0] if isinstance(data, tuple) else data))
        return step(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(type(model), "predict_step", note)
        model.predict(np.ones((count, 6, 4), "float32"), **{"verbose": 0, **settings})
    return seen


def test_sizes(monkeypatch):
    model = ROWWISE[0]()
    assert sizes_of(model, monkeypatch, 5000) == [2048, 2048, 904]
    assert sizes_of(model, monkeypatch, 5000, batch_size=1500) == [1500, 1500, 1500, 500]
    monkeypatch.setattr(inner_batch, "TOGETHER", 24 * 100)
    assert sizes_of(model, monkeypatch, 250) == [96, 96, 58]
    assert sizes_of(model, monkeypatch, 250, batch_size=250) == [250]
    monkeypatch.setattr(inner_batch, "APART", 24 * 100)
    assert sizes_of(model, monkeypatch, 250, batch_size=250) == [100, 100, 50]
    assert sizes_of(model, monkeypatch, 250, steps=3) == [32, 32, 32]
    model.run_eagerly = True
    assert sizes_of(model, monkeypatch, 70) == [32, 32, 6]


def test_open_shapes_keep_their_batches(monkeypatch):
    model = keras.Sequential([keras.Input((None, 4)), layers.LSTM(3)])
    assert rowwise(model)
    assert sizes_of(model, monkeypatch, 70) == [32, 32, 6]


class Watch(keras.callbacks.Callback):
    """Notes the batches of prediction."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_predict_batch_end(self, batch, logs=None):
        self.seen.append((batch, len(logs["outputs"])))


class Stop(keras.callbacks.Callback):
    """Stops before the first batch has ended."""

    def on_predict_begin(self, logs=None):
        self.model.stop_predicting = True


def test_callbacks_see_the_users_batches(monkeypatch):
    watch, model = Watch(), ROWWISE[0]()
    model.predict(np.ones((70, 6, 4), "float32"), verbose=0, callbacks=[watch])
    assert watch.seen == [(0, 32), (1, 32), (2, 6)]
    assert len(model.predict(np.ones((70, 6, 4), "float32"), verbose=0, callbacks=[Stop()])) == 32


@pytest.mark.parametrize("pieces", [False, True])
def test_the_progress_bar_counts_the_users_batches(pieces, monkeypatch, capsys):
    if pieces:
        monkeypatch.setattr(inner_batch, "APART", 24 * 5)
    ROWWISE[0]().predict(np.ones((70, 6, 4), "float32"))
    assert "3/3" in capsys.readouterr().out


@pytest.mark.parametrize("rows, size, count, batches", [
    (64, 32, 150, [(0, 1), (2, 3), (4, 4)]),
    (10, 32, 35, [(0, 0), (0, 0), (0, 0), (0, 1)]),
    (32, 32, 70, [(0, 0), (1, 1), (2, 2)]),
])
def test_pace(rows, size, count, batches):
    pace = Pace(rows, size, count)
    assert [(pace.first(i), pace.last(i)) for i in range(len(batches))] == batches


def test_pace_of_other_sources_counts_their_batches():
    assert [(Pace().first(i), Pace().last(i)) for i in range(3)] == [(0, 0), (1, 1), (2, 2)]

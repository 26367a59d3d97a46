"""Training on a device, here the stand-in for a GPU: nothing waits, data moves once, files fit all."""

import numpy as np
import pytest
from support.fake_device import fake_device, forbid_waiting, installed, state

import gpukeras as keras
from gpukeras import backends, layers, optimizers
from gpukeras.models.data import make_source
from gpukeras.tensor import Tensor

pytestmark = pytest.mark.cpu


def mlp(noise=1.0):
    model = keras.Sequential([
        layers.Input((6,)), layers.Dense(8, activation="relu", kernel_regularizer="l2"),
        layers.Dense(3, activation="softmax"),
    ])
    return model, "sparse_categorical_crossentropy", ["accuracy", "sparse_top_k_categorical_accuracy"]


def convnet(noise=1.0):
    model = keras.Sequential([
        layers.Input((8, 8, 1)), layers.Conv2D(4, 3), layers.BatchNormalization(), layers.ReLU(),
        layers.MaxPooling2D(), layers.SpatialDropout2D(0.2 * noise), layers.Flatten(),
        layers.Dropout(0.3 * noise),
        layers.Dense(1, activation="sigmoid"),
    ])
    return model, "binary_crossentropy", ["accuracy", "AUC"]


def masked_lstm(noise=1.0):
    model = keras.Sequential([
        layers.Input((5,), dtype="int32"), layers.Embedding(10, 4, mask_zero=True),
        layers.LSTM(6, return_sequences=True, dropout=0.1 * noise, recurrent_dropout=0.1 * noise),
        layers.Bidirectional(layers.GRU(3)), layers.Dense(1),
    ])
    return model, "mse", ["mae"]


def data(make, count=20):
    rng = np.random.default_rng(0)
    if make is mlp:
        return rng.standard_normal((count, 6)).astype("float32"), rng.integers(0, 3, count)
    if make is convnet:
        return rng.standard_normal((count, 8, 8, 1)).astype("float32"), rng.integers(0, 2, (count, 1))
    return rng.integers(0, 10, (count, 5)), rng.standard_normal((count, 1)).astype("float32")


def schedule():
    return optimizers.schedules.CosineDecay(0.1, 100)


@pytest.mark.parametrize("rule", [
    lambda: "adam", lambda: optimizers.SGD(schedule(), momentum=0.9, global_clipnorm=1.0, weight_decay=0.01),
], ids=["adam", "sgd"])
@pytest.mark.parametrize("make", [mlp, convnet, masked_lstm])
def test_a_training_step_never_waits(make, rule):
    with fake_device() as backend:
        model, loss, metrics = make()
        model.compile(rule(), loss, metrics)
        x, y = data(make)
        batch = (Tensor(backend.asarray(x)), Tensor(backend.asarray(y)), None)
        model.train_step(batch)  # the first one builds
        uploads = state.uploads
        with forbid_waiting():
            logs = model.train_step(batch)
            model.test_step(batch)
            model.predict_step(batch)
        assert state.uploads == uploads  # nor is anything sent to the device
        waits = state.waits
        assert np.isfinite(logs["loss"]) and state.waits > waits  # read when asked for
        assert {v.device for v in (*model.variables, *model.optimizer.variables)} <= {"gpu:0", "cpu"}
        assert {v.device for v in model.trainable_variables} == {"gpu:0"}


@pytest.mark.gpu
@pytest.mark.parametrize("make", [mlp, convnet, masked_lstm])
def test_a_training_step_never_waits_for_a_real_gpu(make):
    import cupyx

    with backends.device_scope("gpu") as backend:
        model, loss, metrics = make()
        model.compile(optimizers.SGD(schedule(), momentum=0.9), loss, metrics)
        x, y = data(make)
        batch = (Tensor(backend.asarray(x)), Tensor(backend.asarray(y)), None)
        model.train_step(batch)
        with cupyx.allow_synchronize(False):
            logs = model.train_step(batch)
        assert np.isfinite(logs["loss"])


@pytest.mark.parametrize("make", [mlp, convnet, masked_lstm])
def test_fit_gives_the_numbers_of_the_cpu_and_waits_once_an_epoch(make):
    def run():
        keras.utils.set_random_seed(3)
        model, loss, metrics = make(noise=0.0)  # each device draws noise of its own
        model.compile(optimizers.SGD(0.05), loss, metrics[:1])
        x, y = data(make)
        model.fit(x, y, batch_size=10, epochs=3, verbose=0)  # with the step that is captured, and its proof
        before = state.waits, state.uploads
        model.fit(x, y, batch_size=10, epochs=2, verbose=0)
        counts = state.waits - before[0], state.uploads - before[1]
        return model.history.history["loss"], model.predict(x, verbose=0), counts

    expected_loss, expected, _ = run()
    with fake_device():
        loss, found, (waits, uploads) = run()
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-4)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
    assert waits == 4  # loss and metric, twice
    assert uploads == 4  # x and y once, the order of every epoch


def test_data_too_large_for_the_device_stays_on_the_host(monkeypatch):
    x, y = np.arange(40.0).reshape(20, 2), np.arange(20)
    with fake_device() as backend:
        keras.utils.set_random_seed(1)
        fitting = list(make_source(x, y, batch_size=6, shuffle=True))
        monkeypatch.setattr(state, "free", x.nbytes)
        keras.utils.set_random_seed(1)
        uploads = state.uploads
        source = make_source(x, y, batch_size=6, shuffle=True)
        assert all(isinstance(leaf, np.ndarray) for leaf in source.leaves) and state.uploads == uploads
        for one, two in zip(fitting, source, strict=True):
            for a, b in zip(one[:2], two[:2]):
                assert backend.owns(b.array)
                np.testing.assert_array_equal(a.numpy(), b.numpy())
        model, loss, _ = mlp()
        model.compile("sgd", loss)
        x, y = data(mlp)
        model.fit(x, y, class_weight={0: 1.0, 1: 2.0, 2: 3.0}, verbose=0)
        assert np.isfinite(model.history.history["loss"]).all()


def test_sparse_rows_and_generators_reach_the_device():
    sparse = pytest.importorskip("scipy.sparse")
    with fake_device() as backend:
        matrix = sparse.csr_matrix(np.eye(6, dtype="float32"))
        for shuffle in (True, False, "batch"):
            rows = [x for x, _, _ in make_source(matrix, np.arange(6), batch_size=4, shuffle=shuffle)]
            assert all(backend.owns(r.array) for r in rows)
            assert sum(r.numpy().sum() for r in rows) == 6
        weights = {0: 1.0, 1: 3.0}
        batches = ((np.ones((2, 1)), np.array([0, 1])) for _ in range(2))
        source = make_source(batches, class_weight=weights)
        with forbid_waiting():
            found = [w for _, _, w in source]
        assert [w.device for w in found] == ["gpu:0"] * 2 and found[0].numpy().tolist() == [1, 3]


def test_files_fit_every_device(tmp_path):
    x, y = data(convnet)
    with fake_device():
        model, loss, metrics = convnet()
        model.compile("adam", loss, metrics[:1])
        model.fit(x, y, verbose=0)
        expected = model.predict(x, verbose=0)
        model.save(tmp_path / "model.keras")
        model.save_weights(tmp_path / "model.weights.h5")
    for device in ("cpu", "gpu:1"):
        with installed(), backends.device_scope(device):
            loaded = keras.models.load_model(tmp_path / "model.keras")
            assert {v.device for v in loaded.trainable_variables} == {device}
            np.testing.assert_allclose(loaded.predict(x, verbose=0), expected, rtol=1e-4, atol=1e-6)
            loaded.fit(x, y, verbose=0)
            fresh = convnet()[0]
            fresh.load_weights(tmp_path / "model.weights.h5")
            np.testing.assert_allclose(fresh.predict(x, verbose=0), expected, rtol=1e-4, atol=1e-6)


def test_data_on_another_device_is_refused():
    with fake_device() as backend:
        x = backend.asarray(np.zeros((4, 6), "float32"))
        with backends.device_scope("cpu"):
            with pytest.raises(backends.DeviceError, match="x lies on gpu:0, but new arrays go to cpu"):
                make_source(x)
            with pytest.raises(backends.DeviceError, match="expected a tensor on cpu, came one on gpu:0"):
                make_source(Tensor(x))

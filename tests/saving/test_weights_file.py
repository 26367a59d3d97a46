"""Weights in HDF5 files: both layouts, partial loading, and what must not happen."""

import h5py
import numpy as np
import pytest

import gpukeras as keras
from gpukeras import layers


def small_model(units=3, name="small"):
    return keras.Sequential([
        keras.Input((4,)), layers.Dense(5, activation="tanh", name="hidden"),
        layers.BatchNormalization(name="norm"), layers.Dense(units, name="head"),
    ], name=name)


def randomize(model, seed=0):
    rng = np.random.default_rng(seed)
    model.set_weights([rng.random(w.shape).astype("float32") + 0.1 for w in model.get_weights()])
    return model


def recurrent_model():
    inputs = keras.Input((5, 4))
    x = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(inputs)
    x = layers.TimeDistributed(layers.Dense(4))(x)
    x = layers.RNN([layers.GRUCell(3), layers.SimpleRNNCell(2)])(x)
    inner = keras.Sequential([keras.Input((2,)), layers.Dense(2), layers.BatchNormalization()])
    return keras.Model(inputs, layers.Dense(1)(inner(x)))


class Block(keras.Model):
    def __init__(self):
        super().__init__()
        self.steps = [layers.Dense(4), layers.Dense(4)]
        self.by_name = {"out": layers.Dense(2)}
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

    def call(self, x):
        for layer in self.steps:
            x = layer(x)
        return self.by_name["out"](x) * self.scale


def block():
    model = Block()
    model(np.zeros((1, 4), "float32"))
    return model


def assert_same_weights(one, two):
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


# ---- round trips ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("suffix", [".weights.h5", ".h5", ".hdf5"])
@pytest.mark.parametrize("build", [small_model, recurrent_model, block])
def test_round_trip(tmp_path, build, suffix):
    model, other = randomize(build(), 1), randomize(build(), 2)
    path = tmp_path / f"w{suffix}"
    model.save_weights(path)
    other.load_weights(str(path))
    assert_same_weights(model, other)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_round_trip_on_each_device(backend, tmp_path):
    model, other = randomize(small_model(), 1), randomize(small_model(), 2)
    model.save_weights(tmp_path / "w.weights.h5")
    other.load_weights(tmp_path / "w.weights.h5")
    assert_same_weights(model, other)
    assert other.weights[0].device == backend.name


def test_optimizer_state_travels_with_the_weights(tmp_path):
    x, y = np.random.rand(8, 4).astype("float32"), np.random.rand(8, 3).astype("float32")
    model, other = small_model(), small_model()
    for m in (model, other):
        m.compile("adam", "mse")
    model.fit(x, y, epochs=3, verbose=0, shuffle=False)
    model.save_weights(tmp_path / "w.weights.h5")
    other.load_weights(tmp_path / "w.weights.h5")
    assert int(other.optimizer.iterations) == 3
    losses = [m.fit(x, y, epochs=3, verbose=0, shuffle=False).history["loss"] for m in (model, other)]
    assert losses[0] == losses[1]
    sgd = small_model()
    sgd.compile("sgd", "mse")
    with pytest.warns(UserWarning, match="optimizer state.*starts anew"):
        sgd.load_weights(tmp_path / "w.weights.h5")
    model.load_weights(tmp_path / "w.weights.h5")  # flat buffers stay in place: training goes on
    model.fit(x, y, epochs=1, verbose=0)


# ---- partial loading -----------------------------------------------------------------------------------
def test_by_name_takes_the_layers_that_agree(tmp_path):
    source = randomize(small_model(), 1)
    source.save_weights(tmp_path / "w.h5")
    target = keras.Sequential([
        keras.Input((4,)), layers.Dense(5, name="hidden"), layers.Dense(2, name="new_head"),
    ])
    before = target.get_layer("new_head").get_weights()
    target.load_weights(tmp_path / "w.h5", by_name=True)
    for a, b in zip(target.get_layer("hidden").get_weights(), source.get_layer("hidden").get_weights()):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(target.get_layer("new_head").get_weights(), before):
        np.testing.assert_array_equal(a, b)
    source.save_weights(tmp_path / "w.weights.h5")
    with pytest.raises(ValueError, match="by_name=True needs a file in the layout of Keras 2"):
        target.load_weights(tmp_path / "w.weights.h5", by_name=True)


@pytest.mark.parametrize("suffix", [".weights.h5", ".h5"])
def test_skip_mismatch_names_what_it_skips(tmp_path, suffix):
    source, target = randomize(small_model(3), 1), randomize(small_model(7), 2)
    path = tmp_path / f"w{suffix}"
    source.save_weights(path)
    head = target.get_layer("head").get_weights()
    with pytest.warns(UserWarning, match="skipped, layer 'head'"):
        target.load_weights(path, skip_mismatch=True)
    np.testing.assert_array_equal(target.get_weights()[0], source.get_weights()[0])
    np.testing.assert_array_equal(target.get_layer("head").get_weights()[0], head[0])


@pytest.mark.parametrize("suffix", [".weights.h5", ".h5"])
def test_nothing_changes_where_something_does_not_fit(tmp_path, suffix):
    source, target = randomize(small_model(3), 1), randomize(small_model(7), 2)
    path = tmp_path / f"w{suffix}"
    source.save_weights(path)
    before = target.get_weights()
    with pytest.raises(ValueError, match=r"layer 'head'.*needs shape \(5, 7\), the file holds \(5, 3\)"):
        target.load_weights(path)
    for a, b in zip(target.get_weights(), before):
        np.testing.assert_array_equal(a, b)


def test_too_few_layers_are_named(tmp_path):
    source = small_model()
    source.save_weights(tmp_path / "w.h5")
    source.save_weights(tmp_path / "w.weights.h5")
    target = keras.Sequential([keras.Input((4,)), layers.Dense(5)])
    with pytest.raises(ValueError, match="weights of 3 layers.*has 1.*by_name"):
        target.load_weights(tmp_path / "w.h5")
    deeper = keras.Sequential([keras.Input((4,)), *[layers.Dense(5) for _ in range(3)]])
    with pytest.raises(ValueError, match="dense"):
        deeper.load_weights(tmp_path / "w.weights.h5")


def test_more_layers_in_the_file_than_in_the_model_are_refused(tmp_path):
    small_model().save_weights(tmp_path / "w.weights.h5")
    target = keras.Sequential([keras.Input((4,)), layers.Dense(5, activation="tanh")])
    with pytest.raises(ValueError, match="holds weights that model .* has no place for.*batch_normalization"):
        target.load_weights(tmp_path / "w.weights.h5")


# ---- the file itself -----------------------------------------------------------------------------------
def test_overwrite_and_names(tmp_path):
    model, path = small_model(), tmp_path / "w.weights.h5"
    model.save_weights(path)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        model.save_weights(path, overwrite=False)
    model.save_weights(path, overwrite=True)
    with pytest.raises(ValueError, match=r"must end in \.weights\.h5 or \.h5"):
        model.save_weights(tmp_path / "weights")
    with pytest.raises(FileNotFoundError, match=r"missing\.h5"):
        model.load_weights(tmp_path / "missing.h5")
    (tmp_path / "text.h5").write_text("not HDF5")
    with pytest.raises(ValueError, match=r"text\.h5 is not an HDF5 file"):
        model.load_weights(tmp_path / "text.h5")


def test_unbuilt_models_have_nothing_to_save_or_load(tmp_path):
    small_model().save_weights(tmp_path / "w.weights.h5")
    model = keras.Sequential([layers.Dense(2)])
    with pytest.raises(ValueError, match="not built yet"):
        model.save_weights(tmp_path / "x.weights.h5")
    with pytest.raises(ValueError, match=r"not built yet.*model\.build"):
        model.load_weights(tmp_path / "w.weights.h5")
    assert not (tmp_path / "x.weights.h5").exists()


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    model, path = randomize(small_model()), tmp_path / "w.weights.h5"
    model.save_weights(path)
    before = path.read_bytes()

    def fail(self):
        raise OSError("disk full")

    monkeypatch.setattr(keras.Variable, "numpy", fail)
    with pytest.raises(OSError, match="disk full"):
        model.save_weights(path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == [path.name]


def test_links_and_data_elsewhere_are_refused(tmp_path):
    model = small_model()
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as f:
        f["kernel"] = np.zeros((4, 5), "float32")
    place = "layers/dense/vars"
    for kind in ("external link", "soft link", "external data"):
        path = tmp_path / f"{kind.replace(' ', '_')}.weights.h5"
        model.save_weights(path)
        with h5py.File(path, "a") as f:
            del f[place]["0"]
            if kind == "external link":
                f[place]["0"] = h5py.ExternalLink(str(secret), "/kernel")
            elif kind == "soft link":
                f[place]["0"] = h5py.SoftLink("/layers/dense_1/vars/0")
            else:
                (tmp_path / "raw.bin").write_bytes(bytes(80))
                f[place].create_dataset("0", (4, 5), "float32", external=[(str(tmp_path / "raw.bin"), 0, 80)])
        with pytest.raises(ValueError, match="is a link to elsewhere|keeps its data in another file"):
            model.load_weights(path)


def test_text_where_numbers_belong_is_refused(tmp_path):
    model, path = small_model(), tmp_path / "w.weights.h5"
    model.save_weights(path)
    with h5py.File(path, "a") as f:
        del f["layers/dense/vars"]["1"]
        f["layers/dense/vars"]["1"] = np.array([b"a"] * 5)
    with pytest.raises(ValueError, match="expected numbers in the file"):
        model.load_weights(path)


# ---- checkpoints ---------------------------------------------------------------------------------------
def test_model_checkpoint_keeps_the_best(tmp_path):
    x, y = np.random.rand(16, 4).astype("float32"), np.random.rand(16, 3).astype("float32")
    model = small_model()
    model.compile("sgd", "mse")
    best = keras.callbacks.ModelCheckpoint(
        tmp_path / "best.weights.h5", monitor="val_loss", save_best_only=True, save_weights_only=True)
    each = keras.callbacks.ModelCheckpoint(tmp_path / "at{epoch:02d}-{val_loss:.2f}.keras")
    history = model.fit(x, y, validation_split=0.25, epochs=3, verbose=0, callbacks=[best, each])
    assert len(list(tmp_path.glob("at0?-*.keras"))) == 3
    model.load_weights(tmp_path / "best.weights.h5")
    found = model.evaluate(x[12:], y[12:], verbose=0)
    assert found == pytest.approx(min(history.history["val_loss"]), rel=1e-5)


# ---- real Keras ----------------------------------------------------------------------------------------
def pair(k):
    inputs = k.Input((4,))
    x = k.layers.Dense(5, activation="tanh", name="hidden")(inputs)
    x = k.layers.BatchNormalization(name="norm")(x)
    return k.Model(inputs, k.layers.Dense(3, name="head")(x))


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_weights_go_to_real_keras_and_back(real_keras, tmp_path):
    x, y = np.random.rand(8, 4).astype("float32"), np.random.rand(8, 3).astype("float32")
    for source, target in ((keras, real_keras), (real_keras, keras)):
        one, two = pair(source), pair(target)
        for k, m in ((source, one), (target, two)):
            m.compile(k.optimizers.Adam(0.05), "mse")
        one.fit(x, y, epochs=2, verbose=0, shuffle=False)
        one.save_weights(path := str(tmp_path / f"{source.__name__}.weights.h5"))
        two.optimizer.build(two.trainable_variables)
        two.load_weights(path)
        np.testing.assert_allclose(one.predict(x, verbose=0), two.predict(x, verbose=0), atol=1e-5)
        losses = [m.fit(x, y, epochs=3, verbose=0, shuffle=False).history["loss"] for m in (one, two)]
        np.testing.assert_allclose(*losses, rtol=1e-4)


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_the_older_layout_is_shared_with_real_keras(real_keras, tmp_path):
    ours, theirs = randomize(pair(keras), 1), pair(real_keras)
    ours.save_weights(path := str(tmp_path / "ours.h5"))
    theirs.load_weights(path)
    x = np.random.rand(8, 4).astype("float32")
    np.testing.assert_allclose(ours.predict(x, verbose=0), theirs.predict(x, verbose=0), atol=1e-5)
    theirs.save(path := str(tmp_path / "whole.h5"))  # a whole model of Keras 2's kind holds weights too
    again = randomize(pair(keras), 3)
    again.load_weights(path)
    assert_same_weights(again, ours)

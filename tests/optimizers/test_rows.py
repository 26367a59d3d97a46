"""Tables of which a step uses few rows: the numbers of the dense rules."""

import copy
import pickle
import warnings

import numpy as np
import pytest

import gpukeras as keras
from gpukeras import backends, optimizers
from gpukeras.backends.embedding import EmbeddingMixin, RowGroups
from gpukeras.backends.sparse import RowGradient
from gpukeras.optimizers.deferred import DeferredAdam, can_defer
from gpukeras.sparse import DeferredVariable, GatheredTensor, RowTensor
from gpukeras.tensor import Tensor

pytestmark = pytest.mark.cpu

ROWS, WIDTH = 700, 4

MAKERS = {
    "sgd": lambda: optimizers.SGD(0.5),
    "momentum": lambda: optimizers.SGD(0.1, momentum=0.9),
    "adagrad": lambda: optimizers.Adagrad(0.1),
    "rmsprop": lambda: optimizers.RMSprop(0.01),
    "rmsprop_momentum": lambda: optimizers.RMSprop(0.01, momentum=0.5),
    "centered": lambda: optimizers.RMSprop(0.01, centered=True),
    "adam": lambda: optimizers.Adam(0.01),
    "adam_schedule": lambda: optimizers.Adam(optimizers.schedules.ExponentialDecay(0.02, 5, 0.7)),
    "adam_fast": lambda: optimizers.Adam(0.01, beta_1=0.5, beta_2=0.6),
    "adam_no_mean": lambda: optimizers.Adam(0.01, beta_1=0.0),
    "amsgrad": lambda: optimizers.Adam(0.01, amsgrad=True),
    "adamw": lambda: optimizers.AdamW(0.01, weight_decay=0.1),
    "clipped": lambda: optimizers.Adam(0.01, global_clipnorm=0.1),
    "average": lambda: optimizers.Adam(0.01, use_ema=True, ema_overwrite_frequency=7),
    "accumulating": lambda: optimizers.Adam(0.01, gradient_accumulation_steps=3),
    "lamb": lambda: optimizers.Lamb(0.01),
    "ftrl": lambda: optimizers.Ftrl(0.01),
}


@pytest.fixture
def small_tables_count(monkeypatch):
    """Treat the tables of these tests as large ones."""
    monkeypatch.setattr(type(backends.CPU), "direct_gradient", 1000)


def texts(samples=96, length=6):
    rng = np.random.default_rng(0)
    x = np.minimum(rng.zipf(1.3, (samples, length)) - 1, ROWS - 1).astype("int32")
    return x, rng.standard_normal((samples, 2)).astype("float32")


def trained(make, rows: bool, monkeypatch, epochs=3, **layer):
    """Return a model trained with the gradients of tables by rows or whole."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([
        keras.Input((6,), dtype="int32"), keras.layers.Embedding(ROWS, WIDTH, **layer),
        keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(2),
    ])
    model.compile(make(), "mse")
    x, y = texts()
    with monkeypatch.context() as patch:
        if not rows:
            patch.setattr(type(backends.CPU), "embedding_row_gradient", lambda *args: None)
        history = model.fit(x, y, batch_size=8, epochs=epochs, verbose=0).history["loss"]
    return model, history


def assert_alike(one, two):
    np.testing.assert_allclose(one[1], two[1], rtol=1e-4)
    for a, b in zip(one[0].get_weights(), two[0].get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-6)
    for a, b in zip(one[0].optimizer.variables, two[0].optimizer.variables, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("name", MAKERS)
def test_rules_by_rows_are_the_dense_rules(name, monkeypatch, small_tables_count):
    assert_alike(trained(MAKERS[name], True, monkeypatch), trained(MAKERS[name], False, monkeypatch))


@pytest.mark.parametrize("layer", [
    {"mask_zero": True}, {"embeddings_regularizer": "l2"}, {"embeddings_constraint": "unit_norm"},
    {"dtype": "mixed_float16"},
])
def test_masks_regularizers_and_constraints(layer, monkeypatch, small_tables_count):
    found = trained(MAKERS["adam"], True, monkeypatch, **layer)
    assert_alike(found, trained(MAKERS["adam"], False, monkeypatch, **layer))


def test_rows_are_what_the_optimizer_gets(monkeypatch, small_tables_count):
    taken = []
    original = optimizers.Adam._update_rows

    def spy(self, run, g, rate):
        assert type(g) is RowGradient and len(np.unique(g.rows)) == len(g.rows)
        taken.append(len(g.rows))
        return original(self, run, g, rate)

    monkeypatch.setattr(optimizers.Adam, "_update_rows", spy)
    trained(MAKERS["adam"], True, monkeypatch, epochs=1)
    assert len(taken) > 8 and max(taken) < 48

    class Mine(optimizers.Adam):
        def update_flat(self, backend, p, g, slots, learning_rate):
            assert type(g) is np.ndarray
            super().update_flat(backend, p, g, slots, learning_rate)

    trained(Mine, True, monkeypatch, epochs=1)


def test_a_gradient_that_is_asked_for_is_dense(small_tables_count):
    layer = keras.layers.Embedding(ROWS, WIDTH)
    ids = np.array([[3, 5, 3], [699, 0, 5]])
    with keras.GradientTape() as tape:
        loss = keras.ops.sum(layer(ids) * np.arange(24, dtype="float32").reshape(2, 3, 4))
    gradient = tape.gradient(loss, layer.embeddings)
    assert type(gradient) is not RowTensor
    expected = np.zeros((ROWS, WIDTH))
    np.add.at(expected, ids, np.arange(24.0).reshape(2, 3, 4))
    np.testing.assert_array_equal(gradient.numpy(), expected)
    rows = RowTensor(RowGradient(np.array([1, 4]), np.ones((2, 3), "float32"), 6))
    assert rows.shape == (6, 3) and rows.dtype == "float32" and float(keras.ops.sum(rows)) == 6


def test_two_uses_of_one_table_and_a_step_of_the_user(monkeypatch, small_tables_count):
    results = []
    for rows in (True, False):
        with monkeypatch.context() as patch:
            if not rows:
                patch.setattr(type(backends.CPU), "embedding_row_gradient", lambda *args: None)
            keras.utils.set_random_seed(2)
            a, b = keras.Input((6,), dtype="int32"), keras.Input((6,), dtype="int32")
            table = keras.layers.Embedding(ROWS, WIDTH)
            both = keras.layers.Flatten()(keras.layers.Multiply()([table(a), table(b)]))
            model = keras.Model([a, b], keras.layers.Dense(2)(both))
            model.compile("adam", "mse")
            x, y = texts()
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                history = model.fit([x, x[::-1]], y, batch_size=8, epochs=2, verbose=0).history["loss"]
            with keras.GradientTape() as tape:
                loss = keras.ops.mean((model([x, x]) - y) ** 2)
            model.optimizer.apply(tape.gradient(loss, model.trainable_weights), model.trainable_weights)
            results.append((model, history))
    assert_alike(*results)


# ---- steps put off ----------------------------------------------------------------------------------------
def lazy_and_dense(monkeypatch, **fitting):
    return [trained(MAKERS["adam"], rows, monkeypatch, **fitting) for rows in (True, False)]


def test_rows_wait_until_somebody_looks(monkeypatch, small_tables_count):
    (model, _), (other, _) = lazy_and_dense(monkeypatch)
    table = model.layers[0].embeddings
    assert type(table) is DeferredVariable and table.behind.step and (table.behind.last < 30).any()
    waiting = table.values.copy()
    np.testing.assert_allclose(table.numpy(), other.layers[0].embeddings.numpy(), rtol=1e-3, atol=2e-6)
    assert not table.behind.step and not np.array_equal(waiting, table.values)
    assert table.shape == (ROWS, WIDTH) and table.ndim == 2 and table.size == ROWS * WIDTH
    assert table.dtype == "float32" and table.device == "cpu"


def test_the_closed_form_is_that_of_single_steps():
    rng = np.random.default_rng(0)
    for scale, betas, epsilon in (
        (1.0, (0.9, 0.999), 1e-7), (1e-7, (0.9, 0.999), 1e-7), (1e-4, (0.8, 0.998), 1e-3),
        (0.0, (0.9, 0.999), 1e-7), (1e-7, (0.95, 0.9995), 1e-8), (1e-4, (0.5, 0.995), 1e-7),
        (1e-4, (0.15, 0.99), 1e-5),
    ):
        table, m, v = (keras.Variable(rng.standard_normal((5, 3)).astype("float32") * s)
                       for s in (1.0, scale, scale))
        v.assign(v.numpy() ** 2)
        assert can_defer(table, *betas, epsilon)
        exact = [a.numpy().astype("float64") for a in (table, m, v)]
        start = exact[0].copy()
        deferred = DeferredAdam(table, m, v, *betas, epsilon)
        none = np.zeros(0, np.int64)
        for step in range(300):
            rate = 0.01 / (1 + step % 7) if step != 11 else 0.0
            deferred.apply(none, np.zeros((0, 3), "float32"), rate)
            exact[1] *= betas[0]
            exact[2] *= betas[1]
            exact[0] -= rate * exact[1] / (np.sqrt(exact[2]) + epsilon)
            if step in (0, 40, 290):
                now = deferred.current(np.array([1, 4]))
                moves = (exact[0] - start)[[1, 4]]
                np.testing.assert_allclose(now - start[[1, 4]], moves, rtol=2e-5, atol=1e-6)
        moved = np.abs(exact[0] - start).max()
        np.testing.assert_allclose(table.numpy(), exact[0], rtol=3e-6, atol=1e-6 + 1e-6 * moved)
        np.testing.assert_allclose(m.numpy(), exact[1], rtol=1e-4, atol=1e-30)
        np.testing.assert_allclose(v.numpy(), exact[2], rtol=1e-4, atol=1e-30)


def test_who_may_wait():
    table = keras.Variable(np.zeros((5, 3), "float32"))
    assert can_defer(table, 0.9, 0.999, 1e-7)
    for settings in (
        (0.9, 0.9, 1e-7), (0.0, 0.999, 1e-7), (0.05, 0.999, 1e-7), (0.9, 0.999, 0.0), (0.99, 0.999, 1e-7),
    ):
        assert not can_defer(table, *settings)
    table.constraint = keras.constraints.NonNeg()
    assert not can_defer(table, 0.9, 0.999, 1e-7)


def test_settings_may_change_and_models_be_copied_saved_and_compiled_again(
    monkeypatch, small_tables_count, tmp_path,
):
    pair = lazy_and_dense(monkeypatch)
    x, y = texts()
    table = pair[0][0].layers[0].embeddings
    copied, restored = copy.deepcopy(table), pickle.loads(pickle.dumps(table))
    np.testing.assert_array_equal(copied.numpy(), table.numpy())
    np.testing.assert_array_equal(restored.numpy(), table.numpy())

    def more(model, change):
        change(model)
        keras.utils.set_random_seed(3)
        return model, model.fit(x, y, batch_size=8, epochs=2, verbose=0).history["loss"]

    def clip(model):
        model.optimizer.global_clipnorm = 0.01

    def unclip(model):
        model.optimizer.global_clipnorm = None
        model.optimizer.epsilon = 1e-5

    def assign(model):
        model.layers[0].embeddings.assign_add(np.ones((ROWS, WIDTH), "float32"))
        model.optimizer.learning_rate = 0.003

    def recompile(model):
        model.compile(optimizers.Adam(0.01), "mse")

    def decay(model):
        model.optimizer.weight_decay = 0.1

    def reload(model):
        model.save(tmp_path / "model.keras")
        model.load_weights(_weights_of(model, tmp_path))

    for change in (clip, unclip, assign, reload, recompile, decay):
        with monkeypatch.context() as patch:
            one = more(pair[0][0], change)
            patch.setattr(type(backends.CPU), "embedding_row_gradient", lambda *args: None)
            two = more(pair[1][0], change)
        assert_alike(one, two)
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.optimizer.iterations.numpy() > 0


def _weights_of(model, folder):
    path = folder / "model.weights.h5"
    model.save_weights(path)
    return path


def test_steps_with_gradients_are_those_of_adam():
    rng = np.random.default_rng(3)
    table, m, v = (keras.Variable(np.zeros((9, 3), "float32")) for _ in range(3))
    deferred = DeferredAdam(table, m, v, 0.9, 0.999, 1e-7)
    p, mean, square = (np.zeros((9, 3)) for _ in range(3))
    for step in range(270):
        rows = np.flatnonzero(rng.random(9) < 0.3)
        gradient = np.zeros((9, 3))
        gradient[rows] = rng.standard_normal((rows.size, 3)) * 10.0 ** rng.integers(-8, 3)
        rate = 0.01 * rng.random()
        if step % 3:
            deferred.current(rows)  # as an embedding does; without it ``apply`` does it
        deferred.apply(rows, gradient[rows].astype("float32"), rate)
        mean += 0.1 * (gradient - mean)
        square += 0.001 * (gradient**2 - square)
        p -= rate * mean / (np.sqrt(square) + 1e-7)
    np.testing.assert_allclose(table.numpy(), p, rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(m.numpy(), mean, rtol=1e-4, atol=1e-5 * np.abs(mean).max())
    np.testing.assert_allclose(v.numpy(), square, rtol=1e-4)


@pytest.mark.parametrize("early", ["none", "all", "some"])
@pytest.mark.parametrize("shape", [(5, 7), (3, 1), (1, 40), (0, 4), (4, 300)])
def test_groups_and_their_sums(shape, early):
    rng = np.random.default_rng(1)
    numbers = np.minimum(rng.zipf(1.3, shape) - 1, 499).astype("int32")
    groups = RowGroups(numbers, 500)
    chosen = {"none": groups.rows < 0, "all": groups.rows >= 0, "some": groups.rows % 3 == 0}[early]
    wanted = set(groups.rows[chosen].tolist())
    groups.arrange(chosen)
    assert set(groups.rows[:len(wanted)].tolist()) == wanted
    np.testing.assert_array_equal(groups.rows[groups.places()], numbers)
    often = dict(zip(*np.unique(numbers, return_counts=True), strict=True))
    assert [often[r] for r in groups.rows] == groups.lengths.tolist()
    for part in (slice(groups.larger.start), slice(groups.larger.stop, None)):
        assert (groups.lengths[part] == 1).all()
    dy = rng.standard_normal((shape[0], 3)).astype("float32")
    for whole in (np.broadcast_to(dy[:, None], (*shape, 3)), np.repeat(dy[:, None], shape[1], 1)):
        expected = np.zeros((500, 3))
        np.add.at(expected, numbers, whole)
        np.testing.assert_allclose(groups.sums(whole).toarray(), expected, rtol=1e-5, atol=1e-5)


def test_means_of_rows(monkeypatch):
    table = np.random.default_rng(0).standard_normal((50, 8)).astype("float32")
    numbers = np.random.default_rng(1).integers(0, 50, (13, 5))
    for most in (1, 100, 1 << 20):
        monkeypatch.setattr("gpukeras.backends.embedding.AVERAGED", most)
        found = np.empty((13, 8), "float32")
        backends.CPU.mean_rows(table, numbers, found)
        np.testing.assert_allclose(found, table[numbers].mean(1), rtol=1e-5, atol=1e-6)
    general, gathered = np.empty((13, 8), "float32"), np.empty((13, 5, 8), "float32")
    EmbeddingMixin.mean_rows(backends.CPU, table, numbers, general)
    np.testing.assert_allclose(general, found, rtol=1e-5, atol=1e-6)
    for gather in (EmbeddingMixin.gather_rows, type(backends.CPU).gather_rows):
        gather(backends.CPU, table, numbers, gathered)
        np.testing.assert_array_equal(gathered, table[numbers])
        gathered[...] = 0


def test_what_was_looked_up_stays_as_it_was(monkeypatch, small_tables_count):
    (model, _), _ = lazy_and_dense(monkeypatch, epochs=1)
    layer, ids = model.layers[0], np.array([[3, 5, 3], [699, 0, 5]], "int32")
    expected = layer.embeddings.numpy()[ids]
    for keepdims in (False, True):
        with keras.GradientTape() as tape:
            found = layer(keras.ops.convert_to_tensor(ids))
            assert type(found) is GatheredTensor and found.shape == (2, 3, WIDTH) and found.ndim == 3
            assert found.dtype == "float32" and found.backend is backends.CPU
            mean = keras.layers.GlobalAveragePooling1D(keepdims=keepdims)(found)
            assert type(found) is GatheredTensor
            wanted = expected.mean(1, keepdims=keepdims)
            np.testing.assert_allclose(mean.numpy(), wanted, rtol=1e-5, atol=1e-7)
            loss = keras.ops.sum(mean * mean)
        weights = model.trainable_weights
        gradients = tape.gradient_at(loss, [layer.embeddings], {})
        model.optimizer.apply([*gradients, *map(keras.ops.zeros_like, weights[1:])], weights)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)  # gathered before the rows changed
        assert type(found) is Tensor
        after = layer.embeddings.numpy()[ids]
        assert np.abs(after - expected).max() > 1e-4
        expected = after


def test_evaluation_between_steps(monkeypatch, small_tables_count):
    x, y = texts()
    one, two = lazy_and_dense(monkeypatch, epochs=1)
    for _ in range(3):
        for model in (one[0], two[0]):
            with monkeypatch.context() as patch:
                if model is two[0]:
                    patch.setattr(type(backends.CPU), "embedding_row_gradient", lambda *args: None)
                model.train_on_batch(x[:8], y[:8])
        found, expected = (model.predict(x, verbose=0) for model in (one[0], two[0]))
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_mixed_precision_reads_a_deferred_table_as_any_other(monkeypatch, small_tables_count):
    one, _ = lazy_and_dense(monkeypatch, dtype="mixed_float16")
    table = one[0].layers[0].embeddings
    layer = keras.layers.Dense(3, dtype="mixed_float16")
    layer.build((None, ROWS))
    layer.kernel = table
    layer.bias = None
    assert layer(np.ones((2, ROWS), "float32")).dtype == "float16"

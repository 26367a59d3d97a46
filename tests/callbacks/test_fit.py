"""Callbacks inside real training: what they do to the model, and that they make no step wait."""

import numpy as np
import pytest

import gpukeras as keras
from gpukeras.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TerminateOnNaN,
)

X = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
Y = (X.sum(axis=1, keepdims=True) > 0).astype("float32")


def make(learning_rate=0.1):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, activation="sigmoid")])
    model.compile(keras.optimizers.SGD(learning_rate), "binary_crossentropy", metrics=["accuracy"])
    return model


def fit(model, *callbacks, epochs=3, **kwargs):
    kwargs = {"epochs": epochs, "batch_size": 16, "verbose": 0, **kwargs}
    return model.fit(X, Y, callbacks=list(callbacks), **kwargs).history


def test_early_stopping_puts_back_the_best_weights(backend):
    model = make(0.0)
    first = [w.copy() for w in model.get_weights()]
    worsen = LambdaCallback(
        on_epoch_end=lambda e, logs: model.set_weights([w + e + 1 for w in model.get_weights()])
    )
    stop = EarlyStopping(monitor="loss", patience=2, restore_best_weights=True)
    history = fit(model, stop, worsen, epochs=10)
    assert len(history["loss"]) < 10 and stop.stopped_epoch == len(history["loss"]) - 1
    best = int(np.argmin(history["loss"]))
    drift = sum(range(1, best + 1))
    assert all(np.allclose(now, then + drift, atol=1e-5) for now, then in zip(model.get_weights(), first))


def test_checkpoint_is_the_model_of_that_epoch(tmp_path):
    model = make()
    kept = []
    fit(
        model, ModelCheckpoint(tmp_path / "m_{epoch}_{val_acc:.2f}.keras"),
        ModelCheckpoint(tmp_path / "w_{epoch}.weights.h5", save_weights_only=True),
        LambdaCallback(on_epoch_end=lambda e, logs: kept.append(model.get_weights())), validation_split=0.25,
    )
    for epoch, weights in enumerate(kept, 1):
        (path,) = tmp_path.glob(f"m_{epoch}_*.keras")
        loaded = keras.models.load_model(path)
        other = make()
        other.load_weights(tmp_path / f"w_{epoch}.weights.h5")
        for found in (loaded, other):
            assert all(np.array_equal(a, b) for a, b in zip(found.get_weights(), weights))


def test_learning_rates_reach_the_optimizer():
    model = make()
    history = fit(model, LearningRateScheduler(lambda epoch, lr: lr / 2))
    assert history["lr"] == pytest.approx([0.05, 0.025, 0.0125])
    assert float(model.optimizer.learning_rate) == pytest.approx(0.0125)
    history = fit(make(), ReduceLROnPlateau(monitor="loss", patience=1, min_delta=10, factor=0.5), epochs=4)
    assert history["learning_rate"] == pytest.approx([0.1, 0.1, 0.05, 0.025])


def test_csv_holds_the_history(tmp_path):
    history = fit(make(), CSVLogger(tmp_path / "log.csv"), validation_split=0.25)
    header, *rows = (tmp_path / "log.csv").read_text().splitlines()
    assert header == "epoch,accuracy,loss,val_accuracy,val_loss"
    for epoch, row in enumerate(rows):
        assert [float(v) for v in row.split(",")] == [
            epoch, *(history[n][epoch] for n in header.split(",")[1:])
        ]


def test_terminate_on_nan_ends_a_lost_run(capsys):
    model = make()
    model.set_weights([w * np.nan for w in model.get_weights()])
    history = fit(model, TerminateOnNaN(), epochs=5)
    assert len(history["loss"]) == 1 and "Batch 0: Invalid loss" in capsys.readouterr().out


def test_old_callback_code_stops_training():
    class Enough(Callback):
        def on_epoch_end(self, epoch, logs=None):
            if logs.get("acc") >= 0:
                self.model.stop_training = True

    assert len(fit(make(), Enough(), epochs=5)["acc"]) == 1


def test_every_hook_in_order():
    calls = []

    class Trace(Callback):
        pass

    for hook in ("train_begin", "train_end", "test_begin", "test_end", "predict_begin", "predict_end"):
        setattr(Trace, f"on_{hook}", lambda self, logs=None, hook=hook: calls.append(hook))
    for hook in ("epoch_begin", "epoch_end", "train_batch_begin", "train_batch_end", "test_batch_begin",
                 "test_batch_end", "predict_batch_begin", "predict_batch_end"):
        setattr(Trace, f"on_{hook}", lambda self, n, logs=None, hook=hook: calls.append(f"{hook} {n}"))
    model = make()
    model.fit(X[:32], Y[:32], batch_size=16, epochs=1, verbose=0, callbacks=[Trace()],
              validation_data=(X[:4], Y[:4]))
    test = ["test_begin", "test_batch_begin 0", "test_batch_end 0", "test_end"]
    batches = [f"train_batch_{what} {n}" for n in range(2) for what in ("begin", "end")]
    assert calls == ["train_begin", "epoch_begin 0", *batches, *test, "epoch_end 0", "train_end"]
    calls.clear()
    model.evaluate(X[:4], Y[:4], verbose=0, callbacks=[Trace()])
    model.predict(X[:4], verbose=0, callbacks=[Trace()])
    assert calls == [*test, *[c.replace("test", "predict") for c in test]]


def test_no_step_reads_from_the_device(monkeypatch):
    model = make()
    backend = keras.backends.current()
    reads = []
    original = type(backend).to_numpy
    monkeypatch.setattr(type(backend), "to_numpy", lambda self, a: reads.append(1) or original(self, a))

    def count(**kwargs):
        reads.clear()
        model.fit(X, Y, epochs=1, batch_size=1, callbacks=[Callback()], **kwargs)
        return len(reads)

    assert count(verbose=0) <= 4 and count(verbose=2) <= 4  # 64 steps; loss and accuracy at the end
    kept = []
    keep = LambdaCallback(on_train_batch_end=lambda b, logs: kept.append(logs))
    model.fit(X, Y, epochs=1, batch_size=16, verbose=0, callbacks=[keep])
    assert len({logs["loss"] for logs in kept}) == 4  # logs kept for later hold the values of their batch


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside real Keras
def test_real_keras_stops_and_slows_at_the_same_epochs(real_keras):
    def run(module, backend_keras):
        model = backend_keras.Sequential(
            [backend_keras.Input((3,)), backend_keras.layers.Dense(1, activation="sigmoid")]
        )
        model.set_weights([np.full((3, 1), -0.5, "float32"), np.zeros(1, "float32")])
        model.compile(backend_keras.optimizers.SGD(1.0), "binary_crossentropy", metrics=["accuracy"])
        stop = module.EarlyStopping(monitor="val_loss", patience=3, min_delta=0.01, restore_best_weights=True)
        slow = module.ReduceLROnPlateau(monitor="val_loss", factor=0.3, patience=1, min_delta=0.02)
        history = model.fit(
            X, Y, epochs=40, batch_size=16, shuffle=False, verbose=0, validation_split=0.25,
            callbacks=[stop, slow],
        ).history
        return history, stop, model.get_weights()

    ours, our_stop, our_weights = run(keras.callbacks, keras)
    theirs, their_stop, their_weights = run(real_keras.callbacks, real_keras)
    assert our_stop.stopped_epoch == their_stop.stopped_epoch > 0
    assert our_stop.best_epoch == their_stop.best_epoch
    assert set(ours) == set(theirs)
    for name in ours:
        assert np.allclose(ours[name], theirs[name], rtol=1e-4)
    for a, b in zip(our_weights, their_weights):
        assert np.allclose(a, b, atol=1e-4)

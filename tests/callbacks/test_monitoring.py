"""Callbacks that follow a value: EarlyStopping, ReduceLROnPlateau, ModelCheckpoint."""

import warnings

import numpy as np
import pytest
from support.fakes import FakeModel, run

from gpukeras.callbacks import (
    EarlyStopping,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TerminateOnNaN,
)


def losses(*values, name="val_loss"):
    return [{name: v} for v in values]


@pytest.mark.parametrize(
    ("arguments", "values", "stopped"),
    [
        ({}, (3, 2, 2.5, 1), 2),
        ({"patience": 2}, (3, 2, 2.5, 2.6, 1), 3),
        ({"patience": 2}, (3, 2, 2.5, 1.5, 1.6, 1.7), 5),
        ({"min_delta": 0.5}, (3, 2.8, 1), 1),
        ({"mode": "max"}, (1, 2, 1.5), 2),
        # What Keras 3 does: a baseline is looked at once values stop improving, and then at once.
        ({"baseline": 1.0, "patience": 2}, (3, 2, 1.5, 1.2), 0),
        ({"baseline": 1.0, "patience": 2}, (3, 2, 1.5, 1.6, 1.2), 3),
        ({"baseline": 2.5, "patience": 2}, (3, 2, 1.5, 1.2), 0),
        ({"start_from_epoch": 2}, (1, 2, 3, 2, 5), 4),
        ({"patience": 1}, (float("nan"), float("nan"), 1), 1),
    ],
)
def test_early_stopping_epoch(arguments, values, stopped):
    callback = EarlyStopping(**arguments)
    model = run([callback], losses(*values))
    assert callback.stopped_epoch == stopped and model.stop_training == (stopped > 0)


def test_early_stopping_restores_the_best(capsys):
    callback = EarlyStopping(patience=2, restore_best_weights=True, verbose=1)
    model = run([callback], losses(3, 1, 2, 2, 0))
    assert model.weight == 1 and callback.best == 1 and callback.best_epoch == 1
    assert capsys.readouterr().out == (
        "Epoch 4: early stopping\nRestoring model weights from the end of the best epoch: 2.\n"
    )
    # Also where training ends by itself, and where no value is ever better than none.
    assert run([EarlyStopping(patience=9, restore_best_weights=True)], losses(3, 1, 2)).weight == 1
    nan = float("nan")
    assert run([EarlyStopping(patience=9, restore_best_weights=True)], losses(nan, nan)).weight == 0


def test_early_stopping_begins_anew_with_every_fit():
    callback = EarlyStopping(patience=1)
    run([callback], losses(1, 2))
    assert callback.stopped_epoch == 1
    run([callback], losses(5, 4, 3))
    assert callback.stopped_epoch == 0 and callback.best == 3


@pytest.mark.parametrize(
    ("monitor", "larger"),
    [
        ("val_loss", False), ("val_accuracy", True), ("acc", True), ("val_auc", True), ("mae", False),
        ("precision_1", True), ("out_binary_crossentropy", False), ("root_mean_squared_error", False),
        ("val_top_k_categorical_accuracy", True), ("r2_score", True), ("false_negatives", False),
    ],
)
def test_direction_from_the_name(monitor, larger):
    assert EarlyStopping(monitor=monitor).larger_is_better() == larger


def test_direction_from_the_metric_and_unknown():
    class Metric:
        name = "score"
        _direction = "up"

    model = FakeModel()
    model.metrics = [Metric()]
    callback = EarlyStopping(monitor="val_score")
    callback.set_model(model)
    assert callback.larger_is_better()
    with pytest.warns(UserWarning, match="'score'.*mode='min' or mode='max'"):
        assert not EarlyStopping(monitor="score").larger_is_better()
    with pytest.warns(UserWarning, match="mode must be"):
        assert EarlyStopping(mode="up").mode == "auto"


@pytest.mark.parametrize(
    "cls", [EarlyStopping, ReduceLROnPlateau, lambda: ModelCheckpoint("x", save_best_only=True)]
)
def test_missing_value_is_told_once_with_what_there_is(cls):
    with pytest.warns(UserWarning, match="'val_loss', .* there are: loss.*validation_data") as seen:
        model = run([cls()], losses(1, 2, 3, name="loss"))
    assert len(seen) == 1 and not model.stop_training and not model.saved


def test_old_and_new_spellings_of_the_monitor():
    pairs = (("val_acc", "val_accuracy"), ("val_accuracy", "val_acc"), ("mse", "mean_squared_error"))
    for monitor, name in pairs:
        callback = EarlyStopping(monitor=monitor)
        run([callback], losses(0.5, name=name))
        assert callback.best == 0.5
        callback = EarlyStopping(monitor=monitor)  # in a user's own loop, with a plain dictionary
        callback.on_train_begin()
        callback.on_epoch_end(0, {name: 0.25})
        assert callback.best == 0.25


# ---- learning rates ------------------------------------------------------------------
def rates(callback, values, learning_rate=1.0):
    model = run([callback], losses(*values), FakeModel(learning_rate))
    return model.history.history["learning_rate"], model.optimizer.learning_rate


@pytest.mark.parametrize(
    ("arguments", "values", "expected"),
    [
        ({"patience": 1}, (1, 1, 1), [1.0, 1.0, 0.1]),
        ({"patience": 1, "factor": 0.5, "cooldown": 1}, (1, 1, 1, 1, 1), [1.0, 1.0, 0.5, 0.25, 0.125]),
        ({"patience": 2, "factor": 0.5, "cooldown": 2}, (1, 1, 1, 1, 1, 1), [1.0, 1.0, 1.0, 0.5, 0.5, 0.5]),
        ({"patience": 1, "min_lr": 0.4, "factor": 0.5}, (1, 1, 1, 1), [1.0, 1.0, 0.5, 0.4]),
        ({"patience": 1, "min_delta": 0.5}, (1, 0.8, 0.6), [1.0, 1.0, 0.1]),
        ({"patience": 1, "epsilon": 0.5}, (1, 0.8, 0.6), [1.0, 1.0, 0.1]),
        ({"patience": 1, "mode": "max"}, (1, 2, 3), [1.0, 1.0, 1.0]),
    ],
)
def test_reduce_on_plateau(arguments, values, expected):
    found, _ = rates(ReduceLROnPlateau(**arguments), values)
    assert found == pytest.approx(expected)


def test_reduce_says_so(capsys):
    rates(ReduceLROnPlateau(patience=1, verbose=1, factor=0.5), (1, 1))
    assert capsys.readouterr().out == "\nEpoch 2: ReduceLROnPlateau reducing learning rate to 0.5.\n"
    with pytest.raises(ValueError, match="factor of ReduceLROnPlateau"):
        ReduceLROnPlateau(factor=1.0)
    with pytest.raises(TypeError, match="'patients'"):
        ReduceLROnPlateau(patients=3)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (lambda epoch: 0.5**epoch, [1.0, 0.5, 0.25]),
        (lambda epoch, lr: lr * 0.5, [0.5, 0.25, 0.125]),
        (lambda epoch: np.float32(0.5), [0.5, 0.5, 0.5]),
        (lambda epoch: np.array(0.5), [0.5, 0.5, 0.5]),
        (lambda *args: 0.25, [0.25, 0.25, 0.25]),
        (lambda epoch, *, rate=0.125: rate, [0.125, 0.125, 0.125]),
    ],
)
def test_scheduler(schedule, expected):
    found, last = rates(LearningRateScheduler(schedule), (1, 1, 1))
    assert found == pytest.approx(expected) and last == pytest.approx(expected[-1])


def test_scheduler_errors_and_message(capsys):
    def broken(epoch, lr):
        return None + lr  # its own TypeError must not be taken for another signature

    with pytest.raises(TypeError, match="NoneType"):
        rates(LearningRateScheduler(broken), (1,))
    for wrong in (lambda e: None, lambda e: "0.1", lambda e: True, lambda e: [0.1]):
        with pytest.raises(ValueError, match="must return a number"):
            rates(LearningRateScheduler(wrong), (1,))
    with pytest.raises(TypeError, match="must be a function"):
        LearningRateScheduler(0.1)
    model = FakeModel()
    model.optimizer = None
    with pytest.raises(ValueError, match="compiled model"):
        run([LearningRateScheduler(lambda e: 0.1)], losses(1), model)
    rates(LearningRateScheduler(lambda e: 0.5, verbose=1), (1,))
    assert capsys.readouterr().out == "\nEpoch 1: LearningRateScheduler setting learning rate to 0.5.\n"


# ---- checkpoints ---------------------------------------------------------------------
def saved(tmp_path, values, batches=0, name="m_{epoch:02d}.keras", **arguments):
    model = run([ModelCheckpoint(tmp_path / name, **arguments)], losses(*values), batches=batches)
    return [(kind, path[len(str(tmp_path)) + 1:]) for kind, path in model.saved]


def test_checkpoint_every_epoch(tmp_path):
    assert saved(tmp_path, (3, 2)) == [("model", "m_01.keras"), ("model", "m_02.keras")]
    found = saved(tmp_path, (3, 2), save_weights_only=True, name="w.weights.h5")
    assert found == [("weights", "w.weights.h5")] * 2
    found = saved(tmp_path, (3, 2, 1, 0, 0), period=2)
    assert found == [("model", "m_02.keras"), ("model", "m_04.keras")]


def test_checkpoint_best_only(tmp_path, capsys):
    kept = saved(tmp_path, (3, 4, 2, 2), save_best_only=True)
    assert [p for _, p in kept] == ["m_01.keras", "m_03.keras"]
    kept = saved(tmp_path, (3, 4, 2), save_best_only=True, initial_value_threshold=2.5)
    assert [p for _, p in kept] == ["m_03.keras"]
    kept = saved(tmp_path, (3, 4, 2), save_best_only=True, mode="max")
    assert [p for _, p in kept] == ["m_01.keras", "m_02.keras"]
    capsys.readouterr()
    saved(tmp_path, (3, 4, 2), save_best_only=True, verbose=1, name="b.keras")
    path = tmp_path / "b.keras"
    assert capsys.readouterr().out == (
        f"\nEpoch 1: val_loss improved from inf to 3.00000, saving model to {path}\n"
        "\nEpoch 2: val_loss did not improve from 3.00000\n"
        f"\nEpoch 3: val_loss improved from 3.00000 to 2.00000, saving model to {path}\n"
    )


def test_checkpoint_every_so_many_batches(tmp_path):
    found = saved(tmp_path, (1, 1), batches=5, save_freq=3, name="b{epoch}_{batch}.keras")
    assert [p for _, p in found] == ["b1_3.keras", "b2_1.keras", "b2_4.keras"]


def test_checkpoint_makes_folders_and_formats_values(tmp_path):
    callback = ModelCheckpoint(str(tmp_path / "deep" / "m_{epoch}_{val_acc:.2f}.h5"))
    model = run([callback], [{"loss": 1.0, "val_accuracy": 0.875}])
    assert model.saved == [("model", str(tmp_path / "deep" / "m_1_0.88.h5"))] and (tmp_path / "deep").is_dir()
    with pytest.raises(KeyError, match="'val_f1'.*there are: val_loss, epoch"):
        saved(tmp_path, (1,), name="m_{val_f1}.keras")
    for wrong in ("batch", 1.5, True):
        with pytest.raises(ValueError, match="save_freq"):
            ModelCheckpoint("x.keras", save_freq=wrong)


# ---- NaN -----------------------------------------------------------------------------
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_terminate_on_nan(value, capsys):
    model = run([TerminateOnNaN()], [{"loss": 1.0}, {"loss": value}, {"loss": 1.0}], batches=2)
    assert model.stop_training and model.history.epoch == [0, 1]
    assert capsys.readouterr().out == "\nBatch 0: Invalid loss, terminating training\n"
    with pytest.raises(RuntimeError, match="batch 0: the loss is"):
        run([TerminateOnNaN(raise_error=True)], [{"loss": value}], batches=1)


def test_no_warnings_from_a_normal_run(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(
            [
                EarlyStopping(), ReduceLROnPlateau(), TerminateOnNaN(),
                ModelCheckpoint(tmp_path / "m.keras", save_best_only=True),
            ],
            losses(3, 2, 1),
        )

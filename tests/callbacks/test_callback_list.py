"""CallbackList: who is called, with what, and what that costs."""

import pytest
from support.fakes import FakeModel, run

from gpukeras import ops
from gpukeras.callbacks import (
    BaseLogger,
    Callback,
    CallbackList,
    History,
    LambdaCallback,
    Logs,
    ProgbarLogger,
)
from gpukeras.callbacks.callback import HOOKS


def test_every_hook_reaches_every_callback():
    calls = []

    class Noted(Callback):
        pass

    for hook in HOOKS:
        if hook not in ("on_batch_begin", "on_batch_end"):
            setattr(Noted, hook, lambda self, *args, hook=hook, **kw: calls.append(hook))
    hooks = CallbackList([Noted(), [Noted()]])
    for hook in HOOKS:
        arguments = () if hook in ("on_train_begin", "on_train_end") or hook.count("_") == 2 else (0,)
        if "epoch" in hook or "batch" in hook:
            arguments = (0,)
        getattr(hooks, hook)(*arguments)
    expected = [h for h in HOOKS if h not in ("on_batch_begin", "on_batch_end")]
    assert sorted(calls) == sorted([*expected * 2, *["on_train_batch_begin", "on_train_batch_end"] * 2])


def test_unused_hooks_are_known():
    class Old(Callback):
        def on_batch_end(self, batch, logs=None):
            pass

    assert not any(CallbackList([Callback()]).wants(hook) for hook in HOOKS)
    assert CallbackList([Old()]).wants("on_train_batch_end")
    assert not CallbackList([Old()]).wants("on_train_batch_begin")
    assert CallbackList([LambdaCallback(on_test_begin=print)]).wants("on_test_begin")
    hooks = CallbackList([])
    hooks.append(Old())
    assert hooks.wants("on_train_batch_end") and len(list(hooks)) == 1


def test_logs_are_fetched_only_when_read_or_kept():
    fetched = []
    kept = []

    def fetch():
        fetched.append(1)
        return {"loss": 1.0}

    ignoring = CallbackList([LambdaCallback(on_train_batch_end=lambda b, logs: None)])
    ignoring.on_train_batch_end(0, Logs(fetch))
    assert not fetched
    keeping = CallbackList([LambdaCallback(on_train_batch_end=lambda b, logs: kept.append(logs))])
    keeping.on_train_batch_end(0, Logs(fetch))
    assert fetched == [1] and kept[0] == {"loss": 1.0}
    reading = CallbackList([LambdaCallback(on_train_batch_end=lambda b, logs: logs["loss"])])
    reading.on_train_batch_end(0, Logs(fetch))
    assert fetched == [1, 1]


def test_tensors_become_numbers_and_writes_come_back():
    seen = []

    def hook(epoch, logs):
        seen.append(logs["loss"])
        logs["mine"] = 7

    logs = {"loss": ops.convert_to_tensor(2.0)}
    CallbackList([LambdaCallback(on_epoch_end=hook)]).on_epoch_end(0, logs)
    assert seen == [2.0] and type(seen[0]) is float and logs["mine"] == 7


def test_prediction_outputs_stay_as_they_are():
    seen = []
    outputs = ops.zeros((1, 1))
    hooks = CallbackList([LambdaCallback(on_predict_batch_end=lambda b, logs: seen.append(logs["outputs"]))])
    hooks.on_predict_batch_end(0, {"outputs": outputs})
    assert seen[0] is outputs


def test_history_and_progress_are_added_once():
    model = FakeModel()
    own = History()
    hooks = CallbackList([own], add_history=True, add_progbar=True, model=model, verbose=0)
    assert [type(c) for c in hooks] == [History, ProgbarLogger]
    assert model.history is own and own.model is model and own.params == {"verbose": 0}


def test_what_callbacks_write_lands_in_the_history():
    model = run([LambdaCallback(on_epoch_end=lambda e, logs: logs.update(score=e * 10))], [{"loss": 1}] * 3)
    assert model.history.history == {"loss": [1, 1, 1], "score": [0, 10, 20]}
    assert model.history.epoch == [0, 1, 2]


def test_history_of_old_code():
    model = run([BaseLogger()], [{"accuracy": 0.5, "val_accuracy": 0.25}] * 2)
    history = model.history.history
    assert history["acc"] == [0.5, 0.5] and history["val_acc"] == [0.25, 0.25]
    assert list(history.keys()) == ["accuracy", "val_accuracy"]


def test_history_goes_on_where_fit_is_called_again():
    history = History()
    run([history], [{"loss": 1}])
    run([history], [{"loss": 2}])
    assert history.history == {"loss": [1, 2]} and history.epoch == [0]


def test_duck_typed_callback():
    class Duck:
        def __init__(self):
            self.epochs = []

        def on_epoch_end(self, epoch, logs=None):
            self.epochs.append(epoch)

    duck = Duck()
    run([duck], [{}, {}])
    assert duck.epochs == [0, 1]


def test_callback_without_super_init():
    class Lazy(Callback):
        def __init__(self):
            self.seen = []

        def on_epoch_begin(self, epoch, logs=None):
            self.seen.append((self.model is not None, self.params["epochs"]))

    lazy = Lazy()
    run([lazy], [{}])
    assert lazy.seen == [(True, 1)]


@pytest.mark.parametrize("wrong", [History, print, 3, "early"])
def test_wrong_things_are_named(wrong):
    with pytest.raises(TypeError, match=r"callbacks must be"):
        CallbackList([wrong])


def test_lambda_callback_takes_every_hook_and_no_other():
    seen = []
    run([LambdaCallback(on_batch_end=lambda b, logs: seen.append(b))], [{}], batches=2)
    assert seen == [0, 1]
    with pytest.raises(TypeError, match="on_epochs_end"):
        LambdaCallback(on_epochs_end=print)

"""ProgbarLogger: what fit, evaluate and predict print."""

import re

from gpukeras.callbacks import CallbackList, Logs, ProgbarLogger
from gpukeras.utils import progbar


def drive(verbose, epochs=2, steps=3, target=3, fetched=None):
    def fetch():
        if fetched is not None:
            fetched.append(1)
        return {"loss": 2.0}

    bar = ProgbarLogger()
    hooks = CallbackList([bar], verbose=verbose, epochs=epochs, steps=target)
    hooks.on_train_begin()
    for epoch in range(epochs):
        hooks.on_epoch_begin(epoch)
        for step in range(steps):
            hooks.on_train_batch_end(step, Logs(fetch))
        hooks.on_test_begin()
        hooks.on_test_batch_end(0, {"loss": 9.0})
        hooks.on_test_end({"loss": 9.0})
        hooks.on_epoch_end(epoch, {"loss": 1.5, "val_loss": 0.0001})
    hooks.on_train_end()
    return bar


def test_one_line_per_epoch(capsys):
    drive(2)
    out = re.sub(r"\d+[um]?s/step", "T", capsys.readouterr().out)
    line = "3/3 - 0s - T - loss: 1.5000 - val_loss: 1.0000e-04\n"
    assert out == "Epoch 1/2\n" + line + "Epoch 2/2\n" + line


def test_silent_and_single_epoch(capsys):
    drive(0)
    assert capsys.readouterr().out == ""
    drive(2, epochs=1)
    assert capsys.readouterr().out.startswith("3/3")


def test_a_file_gets_one_line_and_costs_no_reads(capsys):
    fetched = []
    drive(1, fetched=fetched)
    out = capsys.readouterr().out
    assert out.count("\n") == 4 and "\r" not in out and "━" * 20 in out and not fetched


def test_in_place_is_drawn_seldom(monkeypatch, capsys):
    monkeypatch.setattr(progbar, "draws_in_place", lambda: True)
    fetched = []
    drive(1, epochs=1, steps=500, target=500, fetched=fetched)
    out = capsys.readouterr().out
    assert 2 <= out.count("\r") <= 8 and out.endswith("\n") and out.count("\n") == 1
    assert len(fetched) == out.count("\r") - 1


def test_unknown_length_is_known_in_the_second_epoch(capsys):
    drive(1, target=None)
    out = capsys.readouterr().out
    assert out.count("3/3 ━━") == 2 and "Unknown" not in out


def test_evaluate_and_predict(capsys):
    for name in ("test", "predict"):
        hooks = CallbackList([ProgbarLogger()], verbose=2, steps=2)
        getattr(hooks, f"on_{name}_begin")()
        for step in range(2):
            getattr(hooks, f"on_{name}_batch_end")(step, {"outputs": [1], "loss": 3.0})
        getattr(hooks, f"on_{name}_end")({"loss": 2.0} if name == "test" else None)
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 2 and out[0].endswith("- loss: 2.0000") and out[1].endswith("/step")

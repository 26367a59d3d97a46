"""Progbar: text, averages, when it is drawn."""

import io
import re
import sys
import time

import pytest

from gpukeras import config, ops
from gpukeras.utils import Progbar, progbar


@pytest.fixture
def in_place(monkeypatch):
    monkeypatch.setattr(progbar, "draws_in_place", lambda: True)


def drawings(capsys):
    return [re.sub(r" \d+s \d+[um]?s/", " T/", d).rstrip() for d in capsys.readouterr().out.split("\r")[1:]]


def test_drawn_in_place(in_place, capsys):
    bar = Progbar(10, interval=0)
    for step in (1, 5, 10):
        bar.update(step, [("loss", step)])
    assert drawings(capsys) == [
        " 1/10 ━━" + "─" * 18 + " T/step - loss: 1.0000",
        " 5/10 " + "━" * 10 + "─" * 10 + " T/step - loss: 4.2000",
        "10/10 " + "━" * 20 + " T/step - loss: 10.0000",
    ]


def test_a_shorter_line_covers_a_longer_one(in_place, capsys):
    bar = Progbar(3, interval=0)
    bar.update(1, [("loss", 100000.0)])
    bar.update(3, [("loss", 1.0)])
    first, second = capsys.readouterr().out.split("\r")[1:]
    assert len(second) - 1 >= len(first) - 3 and second.endswith("\n")


def test_interval(in_place, capsys):
    bar = Progbar(1000, interval=100)
    for step in range(1, 1000):
        bar.update(step)
    assert len(drawings(capsys)) == 1
    bar.update(1000)
    assert len(drawings(capsys)) == 1


def test_averages(in_place, capsys):
    for arguments, shown in [
        ({}, "a: 1.5000 - b: 1.5000"), ({"stateful_metrics": ["a"]}, "a: 2.0000 - b: 1.5000"),
        ({"stateless_metrics": ["a"]}, "a: 1.5000 - b: 2.0000"),
    ]:
        bar = Progbar(3, interval=0, **arguments)
        for step in (1, 2, 3):
            bar.update(step, [("a", step), ("b", step)])
        found = drawings(capsys)
        assert found[1].endswith(shown) and found[2].endswith("a: 3.0000 - b: 3.0000")
    with pytest.raises(ValueError, match="not both"):
        Progbar(3, stateful_metrics=["a"], stateless_metrics=["b"])


def test_average_is_weighted_by_steps(in_place, capsys):
    bar = Progbar(100, interval=0)
    bar.add(1, [("a", 1.0)])
    bar.add(3, [("a", 3.0)])
    assert drawings(capsys)[-1].endswith("a: 2.5000")


def test_tensors_are_read_only_for_drawing(in_place, capsys, backend):
    bar = Progbar(5, interval=100)
    for step in range(1, 5):
        bar.update(step, [("a", ops.convert_to_tensor(float(step)))])
    bar.update(5, [("a", ops.convert_to_tensor(7.0))])
    assert drawings(capsys)[-1].endswith("a: 7.0000")


def test_unknown_length(in_place, capsys):
    bar = Progbar(None, interval=0)
    bar.update(1)
    bar.update(7, [("a", -3.0)], finalize=True)
    assert drawings(capsys) == ["      1/Unknown T/step", "      7/Unknown T/step - a: -3.0000"]


def test_files_get_the_last_line_only(capsys):
    bar = Progbar(4)
    for step in range(1, 5):
        bar.update(step, [("a", step)])
    out = capsys.readouterr().out
    assert out.count("\n") == 1 and "\r" not in out and out.startswith("4/4 ━")


def test_verbose_0_and_2(capsys):
    Progbar(2, verbose=0).update(2)
    assert capsys.readouterr().out == ""
    bar = Progbar(2, verbose=2, unit_name="file")
    bar.update(1)
    bar.update(2, [("a", 1)])
    assert re.fullmatch(r"2/2 - 0s - \d+[um]?s/file - a: 1.0000\n", capsys.readouterr().out)


def test_finished_stays_finished(capsys):
    bar = Progbar(2)
    bar.update(2)
    bar.update(2)
    assert capsys.readouterr().out.count("\n") == 1


def test_long_lines_fit_the_terminal(in_place, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    bar = Progbar(100, interval=0)
    bar.update(50, [(f"a_long_name_{i}", 1.0) for i in range(5)])
    assert len(drawings(capsys)[0]) <= 59


def test_estimate_leaves_out_the_slow_first_step(in_place, capsys):
    bar = Progbar(3, interval=0)
    time.sleep(0.5)
    bar.update(1)
    bar.update(2)
    number, unit = re.search(r"(\d+)([um]s)/step", capsys.readouterr().out.split("\r")[-1]).groups()
    assert int(number) * {"us": 1e-6, "ms": 1e-3}[unit] < 0.2


def test_plain_characters_where_the_console_has_no_others(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    Progbar(2, interval=0).update(2)
    sys.stdout.flush()
    assert raw.getvalue().startswith(b"2/2 " + b"=" * 20)


def test_where_lines_are_drawn_in_place(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    class Notebook(io.StringIO):
        pass

    Notebook.__module__ = "ipykernel.iostream"
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.delenv("PYCHARM_HOSTED", raising=False)
    assert not progbar.draws_in_place() and not progbar.in_notebook()
    monkeypatch.setattr(sys, "stdout", Notebook())
    assert progbar.draws_in_place() and progbar.in_notebook()
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert progbar.draws_in_place() and not progbar.in_notebook()
    config.disable_interactive_logging()
    try:
        assert not progbar.draws_in_place()
    finally:
        config.enable_interactive_logging()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0s"), (59, "59s"), (61, "1:01"), (3661, "1:01:01")]
)
def test_seconds(seconds, text):
    assert progbar.format_seconds(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0.0000e+00"), (-2.0, "-2.0000"), (5e-4, "5.0000e-04"), ("n/a", "n/a")]
)
def test_values(value, text):
    assert progbar.format_value(value) == text

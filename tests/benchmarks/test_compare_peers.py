"""The comparison itself: its options, one tiny run with gpukeras alone, its tables."""

from __future__ import annotations

import json
import sys

import pytest


def figures(median, spread=0.1):
    low, high = median * (1 - spread), median * (1 + spread)
    return {"median": median, "low": low, "high": high, "kept": 5, "dropped": 0}


def record(threads=1):
    """A run as ``compare_peers.py`` writes it: two workloads, one of them with a peer that disagreed."""
    medians = {"gpukeras": 1e-3, "keras-jax": 1.2e-3, "tf_keras": 2e-3, "torch": 5e-4}
    fit = {name: figures(median) for name, median in medians.items()}
    found = {
        "errors": {}, "losses": {n: [1.0, 0.5] for n in fit}, "versions": {}, "cold": dict.fromkeys(fit, 1.0),
        "memory": dict.fromkeys(fit, 100 * 2**20), "times": {"fit": fit},
    }
    other = json.loads(json.dumps(found))
    other["errors"]["keras-jax"] = "keras-jax: other work than ours"
    del other["times"]["fit"]["keras-jax"]
    return {
        "machine": {"cores": 2}, "threads": threads, "cold": {n: figures(2.0) for n in fit},
        "sizes": {"gpukeras": {"numpy": 70_000_000, "h5py": 16_000_000}},
        "workloads": {"a": found, "d": other},
    }


# ---- options ----------------------------------------------------------------------------------------------
def test_options_name_interpreters(script):
    options = script("compare_peers").arguments(["--python", "torch=/x/python", "tf_keras=/y=z/python"])
    assert options.pythons == {"torch": "/x/python", "tf_keras": "/y=z/python"}
    assert options.workloads == list("abcdefghijklmnop") and options.threads is None


@pytest.mark.parametrize("given, message", [
    (["--python", "tensorflow=/x"], "PEER=PATH"), (["--python", "torch"], "PEER=PATH"),
    (["--workloads", "z"], "invalid choice"), (["--peers", "keras"], "invalid choice"),
    (["--resume"], "--json"), (["--rounds", "0"], "at least 1"), (["--threads", "0"], "at least 1"),
])
def test_wrong_options_are_told(script, capsys, given, message):
    with pytest.raises(SystemExit):
        script("compare_peers").arguments(given)
    assert message in capsys.readouterr().err


def test_ours_is_always_measured(script):
    options = script("compare_peers").arguments(["--peers", "keras-jax", "--quick"])
    assert options.peers == ["gpukeras", "keras-jax"]
    assert (options.rounds, options.seconds, options.cold) == (3, 8.0, 1)


# ---- a run ------------------------------------------------------------------------------------------------
def test_a_tiny_run(script, monkeypatch, tmp_path, capsys):
    file = tmp_path / "run.json"
    given = ["compare_peers.py", "--peers", "gpukeras", "--workloads", "a", "d", "--threads", "1", "--quick",
             "--seconds", "0.5", "--kinds", "fit", "predict_one", "--json", str(file)]
    monkeypatch.setattr(sys, "argv", given)
    assert script("compare_peers").main() == 0
    run = json.loads(file.read_text())
    assert set(run["workloads"]) == {"a", "d"} and run["threads"] == 1
    assert 0 < run["cold"]["gpukeras"]["median"] < 60
    for found in run["workloads"].values():
        assert set(found["times"]) == {"fit", "predict_one"}
        assert found["times"]["fit"]["gpukeras"]["median"] > 0
        first, second, evaluated = found["losses"]["gpukeras"]
        assert first > second > evaluated  # it learns
        assert found["memory"]["gpukeras"] > 2**20 and not found["errors"]
        assert "numpy" in found["versions"]["gpukeras"]
    assert "(a) MLP" in capsys.readouterr().out

    monkeypatch.setattr(sys, "argv", [*given, "--resume"])
    monkeypatch.setattr(script("compare_peers"), "measure", None)  # nothing is left to do
    assert script("compare_peers").main() == 0


def test_a_run_is_not_resumed_with_other_threads(script, tmp_path):
    file = tmp_path / "run.json"
    file.write_text(json.dumps(record(threads=1)))
    compare = script("compare_peers")
    with pytest.raises(SystemExit, match="threads=1"):
        compare.begin(compare.arguments(["--resume", "--json", str(file), "--threads", "2"]))


class Answers:
    """A peer with given answers; ``None`` stands for a failure."""

    def __init__(self, harness, name, losses, seconds=0.1):
        self.harness, self.name, self.losses, self.seconds = harness, name, losses, seconds
        self.closed = False

    def ask(self, do, count=1, **request):
        if do == "check":
            return {"losses": self.losses}
        if do == "memory":
            return {"peak": 2**20}
        if self.seconds is None and do == "predict":
            raise self.harness.PeerError(self.name, "no answer")
        return {"seconds": (self.seconds or 0.1) * count, "steps": count}

    def close(self):
        self.closed = True


def test_peers_that_fail_or_do_other_work_are_left_out(script):
    compare, harness = script("compare_peers"), script("harness")
    peers = {name: Answers(harness, name, losses, seconds) for name, losses, seconds in (
        ("gpukeras", [1.0, 0.5], 0.1), ("keras-jax", [1.0, 0.51], 0.1), ("tf_keras", [1.0, 0.502], None),
        ("torch", [1.001, 0.5], 0.2))}
    known = dict(peers)
    found = {"errors": {}, "losses": {}, "memory": {}}
    compare.agree("", peers, found)
    assert set(found["errors"]) == {"keras-jax"} and known["keras-jax"].closed
    options = compare.arguments(["--rounds", "3", "--seconds", "0.1", "--kinds", "fit", "predict"])
    times = compare.times(peers, options, found)
    assert set(found["errors"]) == {"keras-jax", "tf_keras"} and known["tf_keras"].closed
    assert set(times["fit"]) == {"gpukeras", "tf_keras", "torch"}
    assert set(times["predict"]) == {"gpukeras", "torch"}
    assert times["predict"]["torch"]["median"] == pytest.approx(0.2)


def test_nothing_is_compared_without_ours(script):
    compare, harness = script("compare_peers"), script("harness")
    peers = {"gpukeras": Answers(harness, "gpukeras", [1.0], None)}
    options = compare.arguments(["--kinds", "predict"])
    with pytest.raises(harness.PeerError, match="gpukeras: no answer"):
        compare.times(peers, options, {"errors": {}})


# ---- tables -----------------------------------------------------------------------------------------------
def test_the_best_engine_is_no_bare_torch_and_agrees(script):
    report, run = script("report"), record()
    assert report.best(run["workloads"]["a"]["times"]["fit"]) == "keras-jax"
    assert report.best(run["workloads"]["d"]["times"]["fit"]) == "tf_keras"
    assert report.best({"gpukeras": figures(1.0), "torch": figures(1.0)}) is None


@pytest.mark.parametrize("value, word", [(1.6, "aim"), (1.5, "aim"), (1.2, "must"), (1.0, "missed")])
def test_verdict(script, value, word):
    assert script("report").verdict("a", value) == word


def test_tables_show_ratios_targets_and_errors(script):
    report = script("report")
    text = report.markdown([record(1), record(None)])
    assert "| 1 thread | 1.20 (0.98–1.47) |" in text and "| default threads (2 cores) |" in text
    assert "| *must* | 1.1 | 1 | 1 | 3 |" in text
    assert "keras-jax: other work than ours" in text
    assert "| gpukeras | 2.00 | 2.00 | 86 |" in text
    assert "(d)   2.00 [1.64, 2.44]  must 3.0   aim 6.0  missed  best: tf_keras" in report.summary(record())


def test_tables_of_an_unfinished_run(script):
    run = record()
    run["workloads"], run["cold"], run["sizes"] = {}, {}, {}
    assert "Peak memory" in script("report").markdown([run])


def test_chart(script, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    path = tmp_path / "chart.png"
    assert script("report").chart([record(1), record(None)], path) == f"chart: {path}"
    assert path.read_bytes().startswith(b"\x89PNG")


def test_sizes_count_what_is_required(script):
    found = script("environments").size("gpukeras")
    assert set(found) >= {"numpy", "h5py", "gpukeras"}
    assert 10e6 < sum(found.values()) < 120e6  # installed size below 120 MB

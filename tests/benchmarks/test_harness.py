"""What the harness makes of its samples; peers are stand-ins that take the time they are told."""

from __future__ import annotations

import pytest


class Paid:
    """A peer whose calls cost fixed seconds; ``first`` more on the first one."""

    def __init__(self, seconds: float, first: float = 0.0, log: list | None = None, name: str = ""):
        self.seconds, self.first, self.log, self.name = seconds, first, log, name
        self.counts: list[int] = []

    def ask(self, do, count):
        self.counts.append(count)
        if self.log is not None:
            self.log.append(self.name)
        extra, self.first = self.first, 0.0
        return {"seconds": count * self.seconds + extra, "steps": count}


def test_summarize_drops_stolen_samples_and_outliers(script):
    summarize = script("harness").summarize
    found = summarize([(1.0, 0.0), (1.2, 0.0), (1.1, 0.01), (0.2, 0.5), (9.0, 0.0)])
    assert found == {"median": 1.1, "low": 1.05, "high": pytest.approx(1.15), "kept": 3, "dropped": 2}


def test_summarize_keeps_disturbed_samples_where_all_are(script):
    found = script("harness").summarize([(1.0, 0.3), (2.0, 0.3), (1.5, 0.2)])
    assert (found["median"], found["kept"], found["dropped"]) == (1.5, 3, 0)


def test_summarize_of_one_sample_has_no_spread(script):
    found = script("harness").summarize([(2.0, 0.0)])
    assert found == {"median": 2.0, "low": 2.0, "high": 2.0, "kept": 1, "dropped": 0}


@pytest.mark.parametrize("seconds", [1e-5, 3e-3, 0.7])
def test_calibrate_fills_the_sample_whatever_the_first_call_compiles(script, seconds):
    peer = Paid(seconds, first=5.0)
    count = script("harness").calibrate(peer, "fit", target=0.3)
    assert count == max(1, -(-0.3 // seconds))
    assert sum(peer.counts) * seconds < max(1.0, 2.1 * seconds)  # cheap itself


def test_calibrate_of_warm_work_counts_the_first_call(script):
    peer = Paid(2.0)
    assert script("harness").calibrate(peer, "fit", target=0.3, warm=True) == 1
    assert peer.counts == [1]


def test_interleave_asks_in_turn_and_rotates(script):
    log: list[str] = []
    peers = {n: Paid(s, log=log, name=n) for n, s in (("x", 1.0), ("y", 2.0), ("z", 4.0))}
    found = script("harness").interleave(peers, "fit", rounds=3, target=1.0, pause=0.0, warm=True)
    assert "".join(log[3:]) == "xyz" "yzx" "zxy"
    assert [found[n]["median"] for n in "xyz"] == [1.0, 2.0, 4.0]
    assert all(f["kept"] == 3 for f in found.values())


def test_interleave_makes_three_rounds_in_any_budget(script):
    peers = {"x": Paid(1.0)}
    found = script("harness").interleave(peers, "fit", rounds=50, target=1.0, budget=0.0, pause=0.0)
    assert found["x"]["kept"] == 3


def test_interleave_drops_what_waited_for_a_core(script):
    class Waiting(Paid):
        def ask(self, do, count):
            answer = super().ask(do, count)
            late = len(self.counts) == 3  # the second sample, after one call to calibrate
            return {**answer, "seconds": answer["seconds"] * (1.3 if late else 1), "waited": 0.3 * late}

    found = script("harness").interleave({"x": Waiting(1.0)}, "fit", 4, target=1.0, pause=0.0, warm=True)
    assert found["x"] == {"median": 1.0, "low": 1.0, "high": 1.0, "kept": 3, "dropped": 1}


def test_ratio_has_the_spread_of_both_sides(script):
    slow, ours = {"median": 3.0, "low": 2.0, "high": 4.0}, {"median": 1.0, "low": 0.5, "high": 2.0}
    assert script("harness").ratio(slow, ours) == {"ratio": 3.0, "low": 1.0, "high": 8.0}


def test_disagreements_name_the_loss(script):
    losses = {"ours": [1.0, 0.5], "same": [1.001, 0.499], "other": [1.0, 0.6], "lost": [float("nan"), 0.5]}
    found = script("harness").disagreements(losses, "ours")
    assert set(found) == {"other", "lost"}
    assert "loss 1" in found["other"] and "0.6" in found["other"] and "loss 0" in found["lost"]


def test_environment_limits_every_library(script, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("XLA_FLAGS", "--anything")
    harness = script("harness")
    free, one = harness.environment("keras-jax", None), harness.environment("keras-jax", 1)
    assert "OMP_NUM_THREADS" not in free and "XLA_FLAGS" not in free  # by themselves means: told nothing
    assert all(one[name] == "1" for name in harness.THREAD_VARIABLES)
    assert one["KERAS_BACKEND"] == "jax" and "eigen=false" in one["XLA_FLAGS"]
    assert "KERAS_BACKEND" not in harness.environment("torch", 1)


def test_a_peer_that_fails_says_why(script):
    harness = script("harness")
    peer = harness.Peer("gpukeras", threads=1)
    try:
        with pytest.raises(harness.PeerError, match="gpukeras: KeyError: 'no workload'"):
            peer.ask(do="start", workload="no workload", folder=".")
    finally:
        peer.close()


def test_a_peer_that_is_gone_says_so(script, tmp_path):
    harness = script("harness")
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    peer = harness.Peer("keras-jax", python=str(broken))
    try:
        with pytest.raises(harness.PeerError, match="keras-jax: the worker ended with status 3"):
            peer.ask(do="versions")
    finally:
        peer.close()

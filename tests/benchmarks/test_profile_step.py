"""The profile of a step: its clock, its two kinds of table."""

from __future__ import annotations

import sys
import time

import gpukeras as keras


def test_nested_time_counts_once(script):
    clock = script("profile_step").Clock()
    with clock.section("outer"):
        time.sleep(0.01)
        with clock.section("inner"):
            time.sleep(0.03)
    assert 0.01 <= clock.seconds["outer"] < 0.03 <= clock.seconds["inner"]
    assert clock.here() is None


def test_patches_are_undone(script):
    profile = script("profile_step")

    class Owner:
        value = 1

    with profile.Patches() as patches:
        patches.set(Owner, "value", 2)
        patches.set(Owner, "value", 3)
        assert Owner.value == 3
    assert Owner.value == 1


def test_operations_of_the_products(script):
    profile, workloads = script("profile_step"), script("workloads").WORKLOADS
    found = {}
    for letter in "aegjlno":
        model = workloads[letter].build(keras)
        found |= {(letter, layer.name): profile.operations(layer, 2) for layer in model.layers}
    assert found["a", "hidden"] == 2 * 2 * 784 * 128
    assert found["e", "conv2"] == 2 * 2 * 24 * 24 * 9 * 32 * 64
    assert found["g", "lstm"] == 2 * 2 * 80 * (128 + 128) * 512
    assert found["j", "norm1"] == 0
    assert found["l", "up2"] == 2 * 2 * 14 * 14 * 64 * 16 * 32
    assert found["n", "lstm2"] == 2 * 2 * 10 * 32 * 32 * 9 * (16 + 16) * 64
    assert found["o", "attention"] == 2 * 2 * 128 * (4 * 64 * 64 + 2 * 128 * 64)


def test_layers_add_up_to_the_step(script):
    profile, workload = script("profile_step"), script("workloads").WORKLOADS["d"]
    model, data = workload.build(keras), workload.data()
    rows = {row[0]: row for row in profile.by_layer(keras, model, workload, data, epochs=1)}
    assert set(rows) == {
        "hidden1", "hidden2", "out", "loss", "metrics", "optimizer", "data", "remaining Python"}
    for name in ("hidden1", "hidden2", "out"):
        _, forward, backward, products, flops = rows[name]
        assert forward > 0 and backward > 0 and flops > 0
        assert 0 < products <= forward + backward
    assert rows["optimizer"][1] > 0 and rows["remaining Python"][1] > 0
    assert not model.run_eagerly


def test_profile_prints_a_table(script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["profile_step.py", "d", "--epochs", "1", "--markdown"])
    script("profile_step").main()
    text = capsys.readouterr().out
    assert "(d) MLP 13-64-64-1" in text and "| all |" in text
    assert "matrix products:" in text and "optimizer" in text


def test_calls_of_a_recorded_step_are_named(script):
    profile, workload = script("profile_step"), script("workloads").WORKLOADS["d"]
    model, data = workload.build(keras), workload.data()
    model.fit(*data, batch_size=1, epochs=1, verbose=0)
    recorded = profile.program(model)
    rows = profile.by_call(recorded, rounds=3)
    names = [name for name, _, _ in rows]
    assert len(rows) == len(recorded.calls)
    assert sum("dot(1x13, 13x64)" in name or "matmul(1x13, 13x64)" in name for name in names) == 1
    assert sum(flops for _, flops, _ in rows) >= 2 * (13 * 64 + 64 * 64 + 64)
    update = [name.startswith("optimizer: ") for name in names]
    assert update == sorted(update)  # the update comes last

"""The comparison of devices: its arithmetic, a run on the CPU, layers and a run on the emulated GPU."""

from __future__ import annotations

import dataclasses
import json
import time

import numpy as np
import pytest
from support import emulator
from support.halves import needs_bfloat16

import gpukeras as keras


def figures(median, spread=0.1):
    low, high = median * (1 - spread), median * (1 + spread)
    return {"median": median, "low": low, "high": high, "kept": 5, "dropped": 0}


def row(family, step, ours, torch=None, flops=0.0, moved=0.0, precision="float32"):
    times = {"gpukeras": figures(ours)} | ({} if torch is None else {"torch": figures(torch)})
    return {"family": family, "step": step, "precision": precision, "flops": flops, "bytes": moved,
            "launch": 1e-5, "times": times}


def record():
    """A run as ``compare_devices.py`` writes it."""
    fit = {"gpukeras": figures(1e-4), "gpukeras-cpu": figures(5e-5), "keras-jax": figures(4e-4),
           "keras-torch": figures(9e-4), "torch": figures(2e-4)}
    slow = {**fit, "keras-jax": figures(2.5e-4)}
    return {
        "machine": {"cores": 16, "date": "2026-11-20"}, "threads": None, "cold": {}, "sizes": {},
        "device": {"kind": "gpu", "text": "GPU 0 (made up), CuPy 14"},
        "ceilings": {"cpu": {"copy": 1e10, "float32": 1e11},
                     "gpu": {"copy": 4e12, "float32": 5e13, "tf32": 4e14}},
        "workloads": {k: {"errors": {}, "losses": {}, "memory": {}, "cold": {}, "times": {"fit": t}}
                      for k, t in (("a", fit), ("d", slow))},
        "layers": {
            "lstm 64, float32": {"rows": [row("recurrent", "both", 1e-3, 1.1e-3, 1e9)]},
            "lstm 64 masked, float32": {"rows": [row("recurrent", "both", 1.2e-3, 1.1e-3, 1e9)]},
            "gru 64, float32": {"rows": [row("recurrent", "both", 1e-3, 0.5e-3, 1e9)]},
            "pool": {"rows": [row("pooling", "max_pool forward", 1e-3, 1e-3, moved=3.4e9)]},
            "elementwise": {"rows": [row("elementwise", "relu forward", 1e-3, 1e-3, moved=3e9)]},
            "conv, tf32": {"rows": [row("convolution", "forward", 1e-3, 0.95e-3, 2e11, 1e9, "tf32"),
                                    row("convolution", "data", 1e-3, 0.7e-3, 2e11, 1e9, "tf32"),
                                    row("convolution", "kernel", 1e-3, 0.5e-3, 2e11, 1e9, "tf32")]},
            "broken": {"error": "gpukeras: KernelError: kernel f failed"},
            "huge": {"left_out": "9.0 s a call on this CPU"},
        },
        "unfinished": ["block14"],
    }


# ---- what the figures say ---------------------------------------------------------------------------------
def test_shares_of_the_ceilings(script):
    report, run = script("device_report"), record()
    conv = run["layers"]["conv, tf32"]["rows"][0]
    assert report.shares(conv, run["ceilings"]["gpu"]) == pytest.approx((0.5, 0.25))
    assert report.shares(conv, None) == (None, None)
    pool = run["layers"]["pool"]["rows"][0]
    assert report.shares(pool, run["ceilings"]["gpu"]) == (None, pytest.approx(0.85))


def test_every_figure_with_a_target_is_judged(script):
    report = script("device_report")
    found = {(v.target.partition(",")[0], v.what): (v.value and round(v.value, 2), v.word)
             for v in report.verdicts(record())}
    assert found == {
        ("steps of fit", "(a), best: keras-jax"): (4.0, "reached"),
        ("steps of fit", "(d), best: keras-jax"): (2.5, "missed"),
        ("steps of fit", "(e)"): (None, "not measured"), ("steps of fit", "(g)"): (None, "not measured"),
        ("steps of fit", "(h)"): (None, "not measured"),
        ("LSTM", "lstm 64, float32: both"): (1.1, "reached"),
        ("LSTM", "lstm 64 masked, float32: both"): (1.2, "missed"),  # the later one: against no mask
        ("share of the copy bandwidth", "pool: max_pool forward"): (0.85, "reached"),
        ("share of the copy bandwidth", "elementwise: relu forward"): (0.75, "missed"),
        ("convolution", "conv, tf32: forward"): (0.95, "aim"),
        ("convolution", "conv, tf32: data"): (0.7, "reached"),
        ("convolution", "conv, tf32: kernel"): (0.5, "missed"),
    }
    masked = [v.word for v in report.verdicts(record()) if v.what.startswith("lstm 64 masked")]
    assert masked == ["missed", "missed"]  # 0.92 of cuDNN, 1.2 times the time without masks


def test_no_target_is_judged_on_a_cpu(script):
    report, run = script("device_report"), record()
    run["device"] = {"kind": "cpu", "text": "CPU"}
    assert report.verdicts(run) == []
    assert "targets are those of a GPU: none is judged here" in report.summary(run)


def test_summary_and_tables(script):
    report = script("device_report")
    text = report.summary(record())
    assert "steps of fit, best Keras engine / ours: at least 3; 1 of 5 reached" in text
    assert "convolution, cuDNN / ours: at least 0.6, aim 0.9; 2 of 3 reached" in text
    assert "  missed         2.50  (d), best: keras-jax" in text
    assert "LSTM, time over that without: at most 1.05; 0 of 1 reached" in text
    assert "gpu: copy 4000 GB/s, matrix products float32 50 TFLOP/s, tf32 400 TFLOP/s" in text
    assert "(a) 1e+04 steps/s in fit, gpukeras-cpu / ours 0.50, keras-jax / ours 4.00" in text
    assert "error: broken: gpukeras: KernelError" in text and "too large for this device: huge" in text
    assert "no time was left for 1 (--resume): block14" in text
    tables = report.markdown(record())
    assert "| d | 1e+04 | 2e+04 | 4000 | 1111 | 5000 |" in tables
    assert "| conv, tf32 | forward | 1 ms | 0.95 |  | 200 TFLOP/s (50%) | 1 TB/s (25%) | 10 us |" in tables
    assert report.failed(record())


def test_layers_as_text(script):
    report, run = script("device_report"), record()
    text = report.layer("conv", run["layers"]["conv, tf32"], run["ceilings"]["gpu"])
    assert "forward                1 ms [900 us, 1.1 ms]  torch / ours 0.95 [0.78, 1.16]" in text
    assert report.layer("huge", run["layers"]["huge"], None) == "huge: 9.0 s a call on this CPU, left out"


def test_chart(script, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    report, run, path = script("device_report"), record(), tmp_path / "chart.png"
    assert report.chart(run, path) == f"chart: {path}"
    assert path.read_bytes().startswith(b"\x89PNG")
    run["layers"], run["workloads"] = {}, {}
    assert report.chart(run, path) == f"chart: {path}"  # of an unfinished run


# ---- options ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("given, message", [
    (["--python", "tf_keras=/x"], "PEER=PATH"), (["--workloads", "z"], "invalid choice"),
    (["--resume"], "--json"), (["--rounds", "0"], "at least 1"), (["--device", "tpu"], "invalid choice"),
])
def test_wrong_options_are_told(script, capsys, given, message):
    with pytest.raises(SystemExit):
        script("compare_devices").arguments(given)
    assert message in capsys.readouterr().err


def test_what_is_installed_is_compared(script, monkeypatch, capsys):
    compare = script("compare_devices")
    monkeypatch.setattr(compare.importlib.util, "find_spec", lambda name: None if name == "torch" else name)
    options = compare.arguments(["--python", "torch=/x/python"])
    compare.choose(options, "gpu")
    assert options.peers == ["gpukeras", "gpukeras-cpu", "keras-jax", "torch"]
    assert options.workloads == [*"abcdefghijklmnop", "block56", "block28", "block14"]
    assert "keras-torch is left out: torch not installed" in capsys.readouterr().out
    options = compare.arguments(["--peers", "gpukeras-cpu", "torch"])
    compare.choose(options, "cpu")
    assert options.peers == ["gpukeras", "torch"] and options.workloads == list("abcdefghijklmnop")


def test_processes_are_told_their_device(script, monkeypatch):
    environment = script("harness").environment
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert environment("torch", None)["CUDA_VISIBLE_DEVICES"] == "-1"
    found = environment("keras-jax", None, "gpu")
    assert "CUDA_VISIBLE_DEVICES" not in found
    assert (found["JAX_PLATFORMS"], found["GPUKERAS_DEVICE"]) == ("cuda", "gpu")


# ---- on the CPU -------------------------------------------------------------------------------------------
def test_a_quick_run_on_the_cpu(script, tmp_path, capsys):
    compare, file = script("compare_devices"), tmp_path / "run.json"
    given = ["--device", "cpu", "--quick", "--workloads", "d", "--kinds", "fit", "--seconds", "0.3",
             "--layers", "^elementwise|^lstm .*8,|^adam", "--json", str(file)]
    assert compare.main(given) == 0
    text = capsys.readouterr().out
    assert "beside nothing" in text and "none is judged here" in text and "(d) MLP 13-64-64-1" in text
    run = json.loads(file.read_text())
    assert run["device"]["kind"] == "cpu" and run["ceilings"]["cpu"]["copy"] > 1e8
    assert run["workloads"]["d"]["times"]["fit"]["gpukeras"]["median"] > 0
    assert [len(found["rows"]) for found in run["layers"].values()] == [2, 4, 1]
    assert compare.main([*given, "--resume", "--markdown"]) == 0
    text = capsys.readouterr().out
    assert "| adam over 1000 parameters | update |" in text and "\n(d) MLP" not in text


def test_without_a_gpu_the_cpu_is_measured_and_that_is_said(script, capsys):
    compare, harness = script("compare_devices"), script("harness")

    class NoGpu:
        def __init__(self, name, python, threads, kind, script):
            self.kind = kind

        def ask(self, do):
            if self.kind == "gpu":
                raise harness.PeerError("gpukeras", "DeviceError: device 'gpu' needs CuPy")
            return {"device": "cpu", "text": "CPU"}

        def close(self):
            pass

    compare.Peer = NoGpu
    assert compare.find_device(compare.arguments([]))["kind"] == "cpu"
    text = capsys.readouterr().out
    assert "no GPU is measured, only the CPU: gpukeras: DeviceError: device 'gpu' needs CuPy" in text
    with pytest.raises(SystemExit, match="needs CuPy"):
        compare.find_device(compare.arguments(["--device", "gpu"]))


def test_a_run_is_not_resumed_on_another_device(script, tmp_path):
    compare, file = script("compare_devices"), tmp_path / "run.json"
    file.write_text(json.dumps(record()))
    options = compare.arguments(["--resume", "--json", str(file)])
    with pytest.raises(SystemExit, match="holds a run on GPU 0 .made up., CuPy 14, not CPU"):
        compare.begin(options, {"text": "CPU"})
    assert compare.begin(options, record()["device"])["unfinished"] == []


def test_large_layers_are_left_out_on_a_cpu(script):
    layers = script("device_layers").Layers()
    layers.rates = {"copy": 1e6, "float32": 1e6}
    assert layers.measure("elementwise (8192, 8192)")["left_out"].endswith("s a call on this CPU")
    assert all(", tf32" not in name and "float16" not in name for name in layers.groups())


def test_what_has_a_target_comes_first(script):
    module = script("device_layers")
    families = [group.family for group in module.groups().values()]
    assert list(dict.fromkeys(families)) == [
        "recurrent", "pooling", "elementwise", "convolution", "normalization", "depthwise", "separable",
        "transposed", "conv_lstm", "attention", "softmax", "dense", "embedding", "update"]
    found = module.groups()
    convolutions = [name.split(", ")[1:] for name in found if name.startswith("conv ")]
    for batch in ("batch 64", "batch 256"):
        for precision in module.PRECISIONS:
            assert convolutions.count([batch, precision]) == len(module.RESNET)
    for units in (128, 256, 512):
        for kept in ("", " masked", " recurrent dropout"):
            assert f"lstm 64x80x128x{units}{kept}, float32" in found


FAMILIES = {  # sizes, and the order of the axes of PyTorch's result
    "separable": (((2, 6, 6, 3), 4), (0, 2, 3, 1)), "transposed": (((2, 3, 3, 4), 5, 4), (0, 2, 3, 1)),
    "conv_lstm": (((2, 3, 6, 6, 3), 4), (0, 1, 3, 4, 2)), "attention": (((2, 5, 2, 4), True), (0, 2, 1, 3)),
}


@pytest.mark.parity
@pytest.mark.parametrize("name", FAMILIES)
def test_bare_torch_computes_the_same(script, name):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from gpukeras.backends import CPU

    sizes, order = FAMILIES[name]
    family = getattr(script("by_ops"), name)(script("device_layers").Values(CPU), *sizes)
    expected = family.ours["forward"]().numpy()
    for layout in family.torchs(torch):
        np.testing.assert_allclose(layout["forward"]().numpy().transpose(order), expected, atol=1e-5)
        assert layout["both"]()[0].shape


# ---- on the emulated GPU ----------------------------------------------------------------------------------
@pytest.fixture
def gpu():
    if reason := emulator.missing():
        pytest.skip(f"kernels: {reason}")
    from support.fake_device import emulated

    with emulated() as backend:
        yield backend


def test_the_clock_of_a_device_counts_what_was_called(script, gpu):
    clock, called = script("clocks").DeviceClock(gpu, 1000), []
    seconds, done = clock(lambda: called.append(time.sleep(1e-3)), 5, 1e-5)
    assert done == len(called) == 5 and 5e-3 < seconds < 1.0
    assert clock(lambda: None, 10_000, 1e-9)[1] == 100
    assert clock.launching(lambda: time.sleep(1e-3)) > 1e-3


@pytest.mark.parametrize("group", [
    "lstm 3x5x4x8 masked, float32", "gru 3x5x4x8 recurrent dropout, tf32", "pool 3/2 (2, 8, 8, 4)",
    "elementwise (3, 40)", "conv 2-reduce-first, batch 2, float16", "batch_norm (2, 4, 4, 3)",
    pytest.param("conv 2-reduce-first, batch 2, bfloat16", marks=needs_bfloat16),
    pytest.param("dense 3x8x5, bfloat16", marks=needs_bfloat16),
    "group_norm 2 (2, 4, 4, 6)", "depthwise 2/1 (2, 6, 6, 3)", "separable 2x6x6x3 4, float16",
    "transposed 2x3x3x4 5 4, tf32", "conv_lstm 2x3x6x6x3 4, float32", "attention 2x5x2x4 causal, float16",
    "cross entropy (3, 5)", "dense 3x8x5, tf32", "embedding (7, 4, 2, 3)", "adam over 1000 parameters",
])
def test_layers_run_on_a_gpu(script, gpu, group):
    layers = script("device_layers").Layers(device="gpu", tiny=True)
    found = layers.measure(group, rounds=3)["rows"]
    assert found and group in layers.groups()
    for case in found:
        assert case["times"]["gpukeras"]["median"] > 0 and case["launch"] > 0
        assert case["flops"] + case["bytes"] > 0
        assert ("gpukeras-cpu" in case["times"]) == (case["precision"] == "float32")
    assert not keras.config.tf32()  # set for the while


def test_a_run_on_a_gpu(script, gpu, monkeypatch, tmp_path, capsys):
    """All in this process: peers that answer as told, layers on the emulated device; some fail."""
    compare, layers, harness = script("compare_devices"), script("device_layers"), script("harness")
    workloads = script("workloads")
    monkeypatch.setitem(workloads.ALL, "d", dataclasses.replace(workloads.ALL["d"], steps=4))
    started = []

    class Local:
        def __init__(self, name, python=None, threads=None, device="cpu", script="worker.py"):
            self.name, self.is_layers = name, script == "device_layers.py"
            started.append((name, script))
            self.worker = layers.Layers(device=device, tiny=True) if self.is_layers else None

        def ask(self, do, **request):
            if self.is_layers:
                if request.get("group", "").startswith("embedding"):
                    raise harness.PeerError(self.name, "the worker ended with status 1")
                return getattr(self.worker, do)(**request)
            if self.name == "keras-torch" and do == "start":
                raise harness.PeerError(self.name, "PyTorch finds no GPU")
            seconds = {"gpukeras": 1e-3, "gpukeras-cpu": 2e-3, "keras-jax": 5e-3}.get(self.name)
            return {"start": {}, "versions": {}, "check": {"losses": [1.0]}, "memory": {"peak": 1}}.get(
                do) or {"seconds": seconds * request.get("count", 1), "steps": request.get("count", 1)}

        def close(self):
            pass

    monkeypatch.setattr(compare, "Peer", Local)
    file = tmp_path / "run.json"
    given = ["--quick", "--peers", "gpukeras-cpu", "keras-jax", "keras-torch", "--workloads", "d", "b",
             "--kinds", "fit", "--seconds", "0.1", "--layers", "^elementwise|^embedding|^adam",
             "--json", str(file)]
    assert compare.main(given) == 1  # what failed is told
    run, text = json.loads(file.read_text()), capsys.readouterr().out
    assert run["device"]["kind"] == "gpu"
    assert set(run["ceilings"]["gpu"]) == {"copy", *layers.PRECISIONS}
    assert "reached        5.00  (d), best: keras-jax" in text
    assert "share of the copy bandwidth: at least 0.8; 0 of 4" in text
    assert run["workloads"]["d"]["errors"] == {"keras-torch": "keras-torch: PyTorch finds no GPU"}
    assert "status 1" in run["layers"]["embedding (7, 4, 2, 3)"]["error"]
    assert "rows" in run["layers"]["adam over 1000 parameters"]  # in a new process
    kinds = [kind for _, kind in started]
    assert kinds.count("device_layers.py") == 3  # the first to describe the device
    assert [name for name, _ in started].count("keras-jax") == 2  # stays until the layers begin
    assert compare.main([*given, "--minutes", "0"]) == 0
    assert "no time was left for 5 (--resume): d, elementwise" in capsys.readouterr().out

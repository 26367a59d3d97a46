"""``python -m gpukeras demo``: accuracy on its default digits, its files, its options, its errors."""

import numpy as np
import pytest

from gpukeras import backends, demo, models
from gpukeras.__main__ import main


@pytest.fixture(autouse=True)
def _device_as_before(monkeypatch, tmp_path):
    monkeypatch.setattr(backends, "_default", backends._default)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def small_file(tmp_path):
    """Images of two classes that differ by their brighter half."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    images = rng.integers(0, 100, (200, 8, 8)).astype("uint8")
    images[labels == 1, :4] += 100
    path = tmp_path / "small.npz"
    np.savez(path, x=images, y=labels)
    return str(path)


def test_default_digits_reach_the_promised_accuracy(capsys, tmp_path, recwarn):
    pytest.importorskip("sklearn", reason="demo: scikit-learn is not installed (extra 'test')")
    assert main(["demo", "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    lines = [line.split() for line in out.splitlines() if "test accuracy" in line]
    found = {words[0][:-1]: float(words[-1][:-1]) for words in lines}
    assert found["convnet"] >= 96 and found["mlp"] >= 93, found
    for part in ("CPU", "1438 training and 359 test images of 8x8x1", "Epoch 20/20", "true \\ predicted"):
        assert part in out
    assert not [w for w in recwarn if issubclass(w.category, RuntimeWarning)]
    folder = tmp_path / "demo-output"
    assert sorted(p.name for p in folder.iterdir()) == ["convnet.keras", "learning_curves.png", "mlp.keras"]
    assert (folder / "learning_curves.png").read_bytes()[:4] == b"\x89PNG"


def test_data_file_seed_and_saved_model(capsys, tmp_path, small_file):
    def run(folder, seed):
        where = ["--data-file", small_file, "--output", str(tmp_path / folder)]
        assert main(["demo", "--device", "cpu", "--epochs", "2", "--seed", str(seed), *where]) == 0
        return models.load_model(tmp_path / folder / "mlp.keras").get_weights()

    first, again, other = run("a", 1), run("b", 1), run("c", 2)
    assert "2 classes" in capsys.readouterr().out
    assert all(np.array_equal(x, y) for x, y in zip(first, again))
    assert not all(np.array_equal(x, y) for x, y in zip(first, other))


def test_no_matplotlib(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(demo.importlib.util, "find_spec", lambda name: None)
    assert "pip install" in demo.draw_curves({}, tmp_path / "x.png")
    with pytest.raises(ValueError, match="scikit-learn"):
        demo.load("digits")


def test_other_data_sets(monkeypatch):
    from gpukeras.datasets import mnist

    images = np.arange(3 * 28 * 28, dtype="uint8").reshape(3, 28, 28)
    monkeypatch.setattr(mnist, "load_data", lambda: ((images, np.arange(3)), (images[:1], np.array([[0]]))))
    data = demo.load("mnist")
    assert data.x_train.shape == (3, 28, 28, 1) and data.x_train.dtype == np.float32
    assert data.x_train.max() == 1
    assert data.y_test.shape == (1,) and data.classes == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "0"], "--epochs"), (["--data-file", "nowhere.npz"], "nowhere.npz"),
        (["--data-file", "wrong.npz"], "must hold x_train"), (["--data-file", "flat.npz"], "(N, H, W)"),
    ],
)
def test_errors_are_one_line(capsys, arguments, message):
    np.savez("wrong.npz", a=np.zeros(2))
    np.savez("flat.npz", x=np.ones((10, 4)), y=np.zeros(10))
    assert main(["demo", "--device", "cpu", *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["dance"], ["demo", "--dataset", "imdb"]])
def test_unknown_commands(arguments):
    with pytest.raises(SystemExit):
        main(arguments)

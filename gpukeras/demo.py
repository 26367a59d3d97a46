"""``python -m gpukeras demo``: an MLP and a convnet learn handwritten digits, on the device at hand."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

import gpukeras as keras

DATASETS = ("digits", "mnist", "fashion_mnist", "cifar10", "cifar100")
_NO_PLOTS = "no learning curves drawn: they need matplotlib (pip install 'gpukeras[demo]')"


class Data(NamedTuple):
    """Images of shape (N, H, W, C) with values from 0 to 1, and labels from 0."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray

    @property
    def classes(self) -> int:
        return int(max(self.y_train.max(), self.y_test.max())) + 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line of the demo."""
    parser.add_argument("--dataset", choices=DATASETS, default="digits",
                        help="digits comes with scikit-learn; the others are downloaded into ~/.keras once")
    parser.add_argument("--data-file", metavar="FILE",
                        help="an .npz file with x_train, y_train, x_test, y_test (or x, y) instead")
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto")
    parser.add_argument("--epochs", type=int, help="default: 20, or 5 for more than 20,000 images")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", metavar="DIR", default="demo-output",
                        help="folder for models and learning curves")


def run(options: argparse.Namespace) -> int:
    """Train and report as the command line says."""
    if options.epochs is not None and options.epochs < 1:
        raise ValueError(f"--epochs must be at least 1, came {options.epochs}")
    keras.config.set_device(options.device)
    keras.utils.set_random_seed(options.seed)
    print(f"gpukeras {keras.__version__} on {keras.backends.current().describe()}")
    data = read_file(options.data_file) if options.data_file else load(options.dataset)
    shape = "x".join(str(n) for n in data.x_train.shape[1:])
    print(
        f"{len(data.x_train)} training and {len(data.x_test)} test images of {shape}, {data.classes} classes"
    )
    epochs = options.epochs or (20 if len(data.x_train) <= 20_000 else 5)
    output = Path(options.output)
    output.mkdir(parents=True, exist_ok=True)
    histories = {}
    for build in (mlp, convnet):
        model = build(data.x_train.shape[1:], data.classes)
        histories[model.name] = train(model, data, epochs)
        report(model, data)
        path = output / f"{model.name}.keras"
        model.save(path)
        print(f"saved {path}\n")
    print(draw_curves(histories, output / "learning_curves.png"))
    return 0


# ---- data --------------------------------------------------------------------------------------------
def load(name: str) -> Data:
    """Return one of the data sets by name."""
    if name != "digits":
        train, test = importlib.import_module(f"gpukeras.datasets.{name}").load_data()
        return prepare(*train, *test)
    if importlib.util.find_spec("sklearn") is None:
        raise ValueError(
            "the default digits come with scikit-learn: pip install 'gpukeras[demo]', or choose --dataset "
            "mnist, or --data-file"
        )
    from sklearn.datasets import load_digits

    digits = load_digits()
    return split(digits.images, digits.target)


def read_file(path: str) -> Data:
    """Return the data of an ``.npz`` file."""
    with np.load(path, allow_pickle=False) as arrays:
        names = set(arrays.files)
        if {"x_train", "y_train", "x_test", "y_test"} <= names:
            return prepare(*(arrays[n] for n in ("x_train", "y_train", "x_test", "y_test")))
        if {"x", "y"} <= names:
            return split(arrays["x"], arrays["y"])
    raise ValueError(
        f"{path} must hold x_train, y_train, x_test, y_test, or x and y; it holds {sorted(names)}"
    )


def split(x, y) -> Data:
    """Mix the samples, the same way every time, and keep a fifth for testing."""
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order], y[order]
    cut = len(x) - len(x) // 5
    return prepare(x[:cut], y[:cut], x[cut:], y[cut:])


def prepare(x_train, y_train, x_test, y_test) -> Data:
    """Scale the images to 0 to 1 and give them a channel axis."""
    highest = x_train.max() or 1
    images = [np.asarray(x, "float32") / np.float32(highest) for x in (x_train, x_test)]
    if images[0].ndim == 3:
        images = [x[..., None] for x in images]
    if images[0].ndim != 4:
        raise ValueError(f"expected images of shape (N, H, W) or (N, H, W, C), came {x_train.shape}")
    labels = [np.asarray(y).reshape(-1).astype("int32") for y in (y_train, y_test)]
    return Data(images[0], labels[0], images[1], labels[1])


# ---- models ------------------------------------------------------------------------------------------
def mlp(shape: tuple, classes: int):
    """Return a network of two hidden dense layers."""
    return keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.Flatten(),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(classes, activation="softmax"),
        ],
        name="mlp",
    )


def convnet(shape: tuple, classes: int):
    """Return a network of three convolutions and two dense layers."""
    return keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.Conv2D(32, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(64, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(classes, activation="softmax"),
        ],
        name="convnet",
    )


def train(model, data: Data, epochs: int) -> dict:
    """Compile and fit; return the history."""
    model.summary()
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    start = time.perf_counter()
    history = model.fit(data.x_train, data.y_train, batch_size=32, epochs=epochs, validation_split=0.1)
    print(f"trained in {time.perf_counter() - start:.1f} s")
    return history.history


# ---- results -----------------------------------------------------------------------------------------
def report(model, data: Data) -> float:
    """Print test accuracy and confusion table; return the accuracy."""
    predicted = model.predict(data.x_test, verbose=0).argmax(axis=-1)
    accuracy = float((predicted == data.y_test).mean())
    print(f"\n{model.name}: test accuracy {accuracy:.2%}")
    if data.classes <= 20:
        print(confusion_table(data.y_test, predicted, data.classes))
    return accuracy


def confusion_table(truth, predicted, classes: int) -> str:
    """Return a table that counts, for every true class, what was predicted.

    Examples
    --------
    >>> print(confusion_table(np.array([0, 0, 1]), np.array([0, 1, 1]), 2))
    true \\ predicted
             0    1
        0    1    1
        1    .    1
    """
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (truth, predicted), 1)
    rows = ["true \\ predicted", "     " + "".join(f"{c:5d}" for c in range(classes))]
    for label, row in enumerate(counts):
        rows.append(f"{label:5d}" + "".join(f"{n:5d}" if n else "    ." for n in row))
    return "\n".join(rows)


def draw_curves(histories: dict, path: Path) -> str:
    """Draw loss and accuracy of every model into a PNG file; return a line that says what happened."""
    if importlib.util.find_spec("matplotlib") is None:
        return _NO_PLOTS
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    for axes, value in zip(figure.subplots(1, 2), ("loss", "accuracy")):
        for color, (name, history) in enumerate(histories.items()):
            epochs = range(1, len(history[value]) + 1)
            axes.plot(epochs, history[value], f"C{color}--", label=f"{name}, training")
            axes.plot(epochs, history[f"val_{value}"], f"C{color}-", label=f"{name}, validation")
        axes.set_xlabel("epoch")
        axes.set_ylabel(value)
        axes.legend()
    figure.savefig(path, dpi=120)
    return f"drew {path}"

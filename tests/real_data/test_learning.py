"""Models of the courses learn what real Keras learns, on real data (mnist, newswire, houses, reviews).

The bars are those of the project's first milestone; real Keras reaches about 95 % (MLP), 98 % (convnet),
96.7 % (newswire), 2.47 k$ (houses) and 76.5 % (reviews) on the same splits.
"""

import re

import numpy as np
import pytest

import gpukeras as keras
from gpukeras import layers

pytestmark = pytest.mark.data


@pytest.fixture
def digits(data_dir):
    with np.load(data_dir / "mnist_20k.npz") as file:
        return (file["x_train"], file["y_train"]), (file["x_test"], file["y_test"])


def test_mlp_on_digits(digits):
    (x_train, y_train), (x_test, y_test) = digits
    x_train = x_train.reshape(-1, 784).astype("float32") / 255
    x_test = x_test.reshape(-1, 784).astype("float32") / 255
    keras.utils.set_random_seed(1)
    model = keras.Sequential([layers.Dense(512, activation="relu"), layers.Dense(10, activation="softmax")])
    model.compile(optimizer="rmsprop", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x_train, y_train, epochs=8, batch_size=128, verbose=0)
    loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
    print(f"MLP 784-512-10: test accuracy {accuracy:.4f}")
    assert accuracy >= 0.95


def test_convnet_on_digits(digits):
    (x_train, y_train), (x_test, y_test) = digits
    x_train = x_train[..., None].astype("float32") / 255
    x_test = x_test[..., None].astype("float32") / 255
    keras.utils.set_random_seed(2)
    model = keras.Sequential([
        keras.Input((28, 28, 1)),
        layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(2),
        layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(2),
        layers.Flatten(), layers.Dropout(0.5), layers.Dense(10, activation="softmax"),
    ])
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    labels = keras.utils.to_categorical(y_train, 10)
    model.fit(x_train, labels, epochs=12, batch_size=64, verbose=0)
    _, accuracy = model.evaluate(x_test, keras.utils.to_categorical(y_test, 10), batch_size=500, verbose=0)
    print(f"convnet 32-64 with dropout: test accuracy {accuracy:.4f}")
    assert accuracy >= 0.98


def read_newswire(path):
    topics, texts = [], []
    for line in path.read_text().splitlines():
        topic, _, text = line.partition("\t")
        topics.append(topic)
        texts.append(text.split())
    return topics, texts


def vocabulary(texts, size):
    """Return the ``size`` most frequent words with their indices, ties by the word itself."""
    counts = {}
    for text in texts:
        for word in text:
            counts[word] = counts.get(word, 0) + 1
    words = sorted(counts, key=lambda w: (-counts[w], w))[:size]
    return {word: i for i, word in enumerate(words)}


def multi_hot(texts, words, size):
    x = np.zeros((len(texts), size), "float32")
    for row, text in zip(x, texts):
        row[[words[w] for w in text if w in words]] = 1
    return x


def test_newswire_topics(data_dir):
    topics, texts = read_newswire(data_dir / "reuters_r8_train.txt")
    test_topics, test_texts = read_newswire(data_dir / "reuters_r8_test.txt")
    names = sorted(set(topics))
    words = vocabulary(texts, 10_000)
    x_train, x_test = multi_hot(texts, words, 10_000), multi_hot(test_texts, words, 10_000)
    y_train = np.array([names.index(t) for t in topics])
    y_test = np.array([names.index(t) for t in test_topics])
    keras.utils.set_random_seed(3)
    model = keras.Sequential([
        layers.Dense(64, activation="relu"), layers.Dense(64, activation="relu"),
        layers.Dense(8, activation="softmax"),
    ])
    model.compile(optimizer="rmsprop", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x_train, y_train, epochs=4, batch_size=128, verbose=0)
    _, accuracy = model.evaluate(x_test, y_test, batch_size=512, verbose=0)
    print(f"newswire 10000-64-64-8: test accuracy {accuracy:.4f}")
    assert accuracy >= 0.96


def test_boston_houses(data_dir):
    lines = (data_dir / "boston_house_prices.csv").read_text().splitlines()
    rows = []
    for line in lines:
        fields = [f.strip().strip('"') for f in line.split(",")]
        try:
            rows.append([float(f) for f in fields if f])
        except ValueError:
            continue  # headings
    table = np.array([r for r in rows if len(r) == 14])
    assert len(table) == 506
    rng = np.random.default_rng(4)
    table = table[rng.permutation(len(table))]
    x, y = table[:, :13], table[:, 13:].astype("float32")
    keras.utils.set_random_seed(4)
    errors = []
    for fold in np.array_split(np.arange(len(x)), 4):
        rest = np.setdiff1d(np.arange(len(x)), fold)
        mean, std = x[rest].mean(axis=0), x[rest].std(axis=0)
        model = keras.Sequential([
            layers.Dense(64, activation="relu"), layers.Dense(64, activation="relu"), layers.Dense(1)])
        model.compile(optimizer="rmsprop", loss="mse", metrics=["mae"])
        model.fit((x[rest] - mean) / std, y[rest], epochs=100, batch_size=4, verbose=0)
        errors.append(model.evaluate((x[fold] - mean) / std, y[fold], verbose=0)[1])
    mean = np.mean(errors)
    print(f"houses 13-64-64-1: mean absolute error by fold {np.round(errors, 2)}, mean {mean:.3f} k$")
    assert mean <= 2.6


def test_film_reviews(data_dir):
    sides = [
        [re.findall(r"[a-z0-9']+", line.lower())
         for line in (data_dir / f"rt-polarity.{side}").read_text(encoding="latin-1").splitlines()]
        for side in ("neg", "pos")
    ]
    texts = sides[0] + sides[1]
    labels = np.array([[0]] * len(sides[0]) + [[1]] * len(sides[1]), "float32")
    order = np.random.default_rng(5).permutation(len(texts))
    train, test = order[:9000], order[9000:]
    words = vocabulary([texts[i] for i in train], 12_000)
    sequences = [[words[w] + 2 if w in words else 1 for w in text] for text in texts]
    x = keras.utils.pad_sequences(sequences, maxlen=40, padding="post", truncating="post")
    keras.utils.set_random_seed(5)
    model = keras.Sequential([
        layers.Embedding(12_002, 100, mask_zero=True), layers.SpatialDropout1D(0.5),
        layers.LSTM(32, dropout=0.3), layers.Dropout(0.5), layers.Dense(1, activation="sigmoid"),
    ])
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    model.fit(x[train], labels[train], epochs=3, batch_size=64, verbose=0)
    _, accuracy = model.evaluate(x[test], labels[test], batch_size=256, verbose=0)
    print(f"reviews Embedding + LSTM: test accuracy {accuracy:.4f}")
    assert accuracy >= 0.75

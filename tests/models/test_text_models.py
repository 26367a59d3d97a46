"""Models that take text: training, prediction, files."""

import json
import zipfile

import numpy as np
import pandas
import pytest

import gpukeras as keras
from gpukeras import layers
from gpukeras.utils import PyDataset

TEXTS = np.array(["good film", "bad film", "a good one", "a bad, bad one", "good!", "bad"] * 4)
LABELS = np.array([[1], [0], [1], [0], [1], [0]] * 4, "float32")


def vectorizer(**kwargs):
    layer = layers.TextVectorization(**kwargs)
    layer.adapt(TEXTS)
    return layer


def classifier(kind, **kwargs):
    keras.utils.set_random_seed(1)
    text = vectorizer(output_sequence_length=4)
    inner = [layers.Embedding(text.vocabulary_size(), 8, mask_zero=True), layers.GlobalAveragePooling1D(),
             layers.Dense(1, activation="sigmoid")]
    if kind == "functional":
        inputs = x = keras.Input((1,), dtype="string", name="review")
        for layer in (text, *inner):
            x = layer(x)
        model = keras.Model(inputs, x)
    else:
        first = [keras.Input((1,), dtype="string")] if kind == "sequential" else []
        model = keras.Sequential([*first, text, *inner])
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    model.optimizer.learning_rate = 0.05
    return model


class Batches(PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, i):
        return TEXTS[i * 8:i * 8 + 8], LABELS[i * 8:i * 8 + 8]


@pytest.mark.parametrize("kind", ["sequential", "deferred", "functional"])
def test_text_in_class_out(kind):
    model = classifier(kind)
    history = model.fit(TEXTS, LABELS, batch_size=5, epochs=12, verbose=0, validation_split=0.25)
    assert history.history["accuracy"][-1] == 1.0 and history.history["val_accuracy"][-1] == 1.0
    found = model.predict(np.array(["good", "bad"], object), verbose=0)
    assert found.shape == (2, 1) and found[0, 0] > 0.5 > found[1, 0]
    assert model.evaluate(TEXTS, LABELS, verbose=0)[1] == 1.0


@pytest.mark.parametrize("data", [
    TEXTS.tolist(), TEXTS[:, None], TEXTS.astype(object), np.char.encode(TEXTS), pandas.Series(TEXTS),
    {"review": TEXTS},
], ids=["list", "column", "objects", "bytes", "series", "dictionary"])
def test_text_from_any_source(data):
    model = classifier("functional")
    first = model.predict(TEXTS, verbose=0)
    np.testing.assert_array_equal(model.predict(data, batch_size=7, verbose=0), first)
    model.fit(data, LABELS, epochs=1, verbose=0)


def test_text_in_batches():
    model = classifier("sequential")
    model.fit(Batches(), epochs=2, verbose=0)
    model.fit(((TEXTS[:4], LABELS[:4]) for _ in range(3)), epochs=1, steps_per_epoch=3, verbose=0)
    assert np.isfinite(model.train_on_batch(TEXTS[:3].tolist(), LABELS[:3])[0])
    assert model.predict_on_batch(TEXTS[:3]).shape == (3, 1)
    assert model(TEXTS[:2]).shape == (2, 1)


def test_text_beside_numbers():
    text, number = keras.Input((1,), dtype="string", name="city"), keras.Input((2,), name="size")
    lookup = layers.StringLookup(output_mode="multi_hot")
    lookup.adapt(TEXTS)
    joined = layers.concatenate([lookup(text), number])
    model = keras.Model([text, number], layers.Dense(1)(joined))
    model.compile("sgd", "mse")
    x = {"city": TEXTS, "size": np.ones((24, 2), "float32")}
    model.fit(x, LABELS, batch_size=8, epochs=2, verbose=0)
    assert model.predict(x, verbose=0).shape == (24, 1)


def test_numbers_in_text_out():
    layer = layers.StringLookup(vocabulary=["a", "b"], invert=True)
    model = keras.Sequential([keras.Input((2,), dtype="int64"), layer])
    found = model.predict(np.array([[0, 1], [2, 9]] * 20), verbose=0)
    assert found.dtype == object and found[:2].tolist() == [[b"[UNK]", b"a"], [b"b", b"[UNK]"]]
    assert model.output.dtype == "string"


def test_steps_on_text_run_as_they_are():
    model = classifier("sequential")
    model.fit(TEXTS, LABELS, epochs=8, verbose=0)
    assert "the input is text" in keras.config.explain(model)


def test_wrong_kind_of_input():
    with pytest.raises(ValueError, match="takes string, came float"):
        classifier("sequential").predict(np.ones((2, 1)), verbose=0)
    with pytest.raises(ValueError, match="text among them.*came None"):
        classifier("sequential").predict(np.array(["a", None], object), verbose=0)


# ---- files ----------------------------------------------------------------------------------------------
def test_files_keep_vocabularies(tmp_path):
    model = classifier("sequential")
    expected = model.predict(TEXTS, verbose=0)
    model.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        stored = archive.read("assets/layers/text_vectorization/vocabulary.txt").decode()
        assert "good" not in json.dumps(json.loads(archive.read("config.json")))
    assert stored.split("\n") == model.layers[0].get_vocabulary()
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(TEXTS, verbose=0), expected)
    loaded.layers[0].adapt(["other words"])
    assert loaded.layers[0].get_vocabulary() == ["", "[UNK]", "words", "other"]


def test_files_keep_weights_of_documents_and_odd_tokens(tmp_path):
    lookup = layers.StringLookup(output_mode="tf_idf", num_oov_indices=2)
    lookup.adapt([["a\nb", "c"], ["c", "d"]])
    model = keras.Sequential([keras.Input((2,), dtype="string"), lookup])
    x = np.array([["a\nb", "c"], ["zz", "d"]])
    expected = model.predict(x, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.layers[0].get_vocabulary() == lookup.get_vocabulary()
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), expected)


def rewritten(source, target, change):
    """Copy a model file with its members changed."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name, data in change({name: old.read(name) for name in old.namelist()}).items():
            new.writestr(name, data)


@pytest.mark.cpu
def test_a_file_opens_no_other_file(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("password\n")
    model = keras.Sequential([keras.Input((1,), dtype="string"), layers.StringLookup(vocabulary=["a", "b"])])
    model.save(tmp_path / "model.keras")

    def change(members):
        config = members["config.json"].decode().replace('["a", "b"]', json.dumps(str(secret)))
        return members | {"config.json": config}

    rewritten(tmp_path / "model.keras", tmp_path / "other.keras", change)
    loaded = keras.models.load_model(tmp_path / "other.keras")
    with pytest.raises(RuntimeError, match="secret.txt.*is not read by itself"):
        loaded.predict(np.array(["password"]), verbose=0)
    loaded.layers[0].set_vocabulary(secret)
    assert loaded.predict(np.array(["password"]), verbose=0).tolist() == [[1]]


@pytest.mark.cpu
@pytest.mark.parametrize("name", ["assets/layers/text_vectorization/../../../../evil.txt",
                                  "assets/layers/text_vectorization/..\\evil.txt"])
def test_assets_stay_in_their_folder(tmp_path, name):
    classifier("sequential").save(tmp_path / "model.keras")
    rewritten(tmp_path / "model.keras", tmp_path / "other.keras", lambda members: members | {name: b"x"})
    with pytest.raises(ValueError, match="outside of its folder"):
        keras.models.load_model(tmp_path / "other.keras")
    assert not list(tmp_path.parent.rglob("evil.txt"))


@pytest.mark.cpu
def test_layers_of_users_may_keep_files(tmp_path):
    @keras.saving.register_keras_serializable("tests")
    class WithFile(layers.Layer):
        word = "new"

        def call(self, x):
            return x

        def save_assets(self, dir_path):
            with open(f"{dir_path}/word.txt", "w") as file:
                file.write(self.word)

        def load_assets(self, dir_path):
            with open(f"{dir_path}/word.txt") as file:
                self.word = file.read()

    model = keras.Sequential([keras.Input((1,)), WithFile()])
    model.layers[0].word = "kept"
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").layers[0].word == "kept"

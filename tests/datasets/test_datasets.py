"""Data sets, from files made here in the formats of the real ones; real Keras reads the same files."""

import gzip
import io
import os
import pickle
import tarfile

import numpy as np
import pytest

from gpukeras import config, datasets
from gpukeras.datasets import (
    boston_housing,
    california_housing,
    cifar,
    cifar10,
    cifar100,
    fashion_mnist,
    imdb,
    mnist,
    reuters,
    storage,
)

RNG = np.random.default_rng(0)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    folder = tmp_path / "home" / "datasets"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def offline(monkeypatch):
    """Make every download fail as without a network."""
    import urllib.request

    def refuse(*args, **kwargs):
        raise OSError("Network is unreachable")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


def ragged(lists):
    found = np.empty(len(lists), object)
    found[:] = lists
    return found


def texts(count, seed=0):
    rng = np.random.default_rng(seed)
    return ragged([[int(w) for w in rng.integers(1, 60, rng.integers(2, 12))] for _ in range(count)])


@pytest.fixture
def imdb_file(tmp_path):
    path = tmp_path / "imdb.npz"
    labels = RNG.integers(0, 2, 20)
    np.savez(path, x_train=texts(20), y_train=labels, x_test=texts(20, 1), y_test=labels[::-1])
    return str(path)


@pytest.fixture
def reuters_file(tmp_path):
    path = tmp_path / "reuters.npz"
    np.savez(path, x=texts(30), y=np.arange(30) % 46)
    return str(path)


@pytest.fixture
def table_file(tmp_path):
    path = tmp_path / "table.npz"
    np.savez(path, x=RNG.normal(size=(700, 4)), y=np.arange(700.0))
    return str(path)


def same(ours, theirs):
    """Compare two (train, test) pairs of (x, y)."""
    for (x, y), (x2, y2) in zip(ours, theirs, strict=True):
        assert [np.asarray(t).tolist() for t in x] == [np.asarray(t).tolist() for t in x2]
        assert np.array_equal(y, y2)


# ---- plain arrays ------------------------------------------------------------------------------------
def test_mnist(tmp_path):
    path = tmp_path / "mnist.npz"
    images = RNG.integers(0, 256, (6, 28, 28)).astype("uint8")
    labels = np.arange(6, dtype="uint8")
    np.savez(path, x_train=images, y_train=labels, x_test=images[:2], y_test=labels[:2])
    (x_train, y_train), (x_test, y_test) = mnist.load_data(str(path))
    assert np.array_equal(x_train, images) and x_train.dtype == np.uint8
    assert y_train.tolist() == [0, 1, 2, 3, 4, 5] and x_test.shape == (2, 28, 28) and y_test.shape == (2,)
    np.savez(path, x_train=images, y_train=np.arange(5), x_test=images, y_test=np.arange(6))
    with pytest.raises(ValueError, match="images and their labels"):
        mnist.load_data(str(path))
    np.savez(path, x_train=images)
    with pytest.raises(ValueError, match=r"lacks \['y_train', 'x_test', 'y_test'\]"):
        mnist.load_data(str(path))
    path.write_text("not an archive")
    with pytest.raises(ValueError, match=r"no \.npz file"):
        mnist.load_data(str(path))
    with pytest.raises(FileNotFoundError, match="there is no file"):
        mnist.load_data(str(tmp_path / "other.npz"))


@pytest.mark.parametrize("module", [boston_housing, california_housing])
def test_tables(module, table_file):
    (x_train, y_train), (x_test, y_test) = module.load_data(path=table_file, test_split=0.25)
    assert len(x_train) == len(y_train) == 525 and len(x_test) == len(y_test) == 175
    assert sorted([*y_train, *y_test]) == list(range(700)) and list(y_train[:5]) != [0, 1, 2, 3, 4]
    again = module.load_data(path=table_file, test_split=0.25)
    assert np.array_equal(again[0][0], x_train)
    assert not np.array_equal(module.load_data(path=table_file, seed=1)[0][1][:9], y_train[:9])
    assert len(module.load_data(path=table_file, test_split=0)[1][0]) == 0
    with pytest.raises(ValueError, match="test_split"):
        module.load_data(path=table_file, test_split=1.0)


def test_california_versions(table_file):
    small = california_housing.load_data("small", table_file)
    assert len(small[0][0]) + len(small[1][0]) == 600
    with pytest.raises(ValueError, match="version"):
        california_housing.load_data("medium", table_file)


# ---- texts -------------------------------------------------------------------------------------------
def test_imdb_words(imdb_file):
    (x_train, y_train), (x_test, _) = imdb.load_data(imdb_file)
    assert x_train.dtype == object and len(x_train) == len(y_train) == len(x_test) == 20
    assert all(t[0] == 1 for t in x_train) and all(isinstance(t, list) for t in x_train)
    plain = imdb.load_data(imdb_file, start_char=None, index_from=0, oov_char=None, num_words=1000)[0][0]
    assert sorted(plain.tolist()) == sorted(texts(20).tolist())
    few = imdb.load_data(imdb_file, num_words=20, skip_top=5)[0][0]
    assert all(w == 2 or 5 <= w < 20 for t in few for w in t)
    dropped = imdb.load_data(imdb_file, num_words=20, oov_char=None)[0][0]
    assert all(w < 20 for t in dropped for w in t) and sum(map(len, dropped)) < sum(map(len, x_train))
    short = imdb.load_data(imdb_file, maxlen=8)[0]
    assert all(len(t) < 8 for t in short[0]) and len(short[0]) == len(short[1]) < 20
    with pytest.raises(ValueError, match="maxlen=1"):
        imdb.load_data(imdb_file, maxlen=1)
    same(imdb.load_data(imdb_file, nb_words=20), imdb.load_data(imdb_file, num_words=20))
    with pytest.raises(TypeError, match="'words'"):
        imdb.load_data(imdb_file, words=20)


def test_reuters_split(reuters_file):
    (x_train, y_train), (x_test, y_test) = reuters.load_data(reuters_file, test_split=0.4)
    assert (len(x_train), len(x_test)) == (18, 12) == (len(y_train), len(y_test))
    assert sorted([*y_train, *y_test]) == list(range(30))
    assert len(reuters.get_label_names()) == len(set(reuters.get_label_names())) == 46


def test_texts_must_be_lists(tmp_path):
    path = tmp_path / "bad.npz"
    np.savez(path, x=np.arange(3), y=np.arange(3))
    with pytest.raises(ValueError, match="lists of word numbers"):
        reuters.load_data(str(path))


class Evil:
    def __reduce__(self):
        return (os.system, ("touch evil",))


def test_files_cannot_run_anything(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.npz"
    np.savez(path, x=np.array([Evil()], object), y=np.zeros(1))
    with pytest.raises(ValueError, match=r"wants to call (posix|nt)\.system"):
        reuters.load_data(str(path))
    (tmp_path / "batch").write_bytes(pickle.dumps({"data": Evil(), "labels": []}, 2))
    with pytest.raises(ValueError, match="wants to call"):
        cifar.load_batch(tmp_path / "batch")
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    "target", ["builtins.eval", "numpy.load", "numpy.core.multiarray.fromfile", "os.getcwd"]
)
def test_unpickler_admits_arrays_only(target):
    module, _, name = target.rpartition(".")
    with pytest.raises(pickle.UnpicklingError, match=name):
        storage.ArrayUnpickler(io.BytesIO(f"c{module}\n{name}\n.".encode())).load()


def test_pickles_of_old_numpy_are_read():
    content = pickle.dumps(np.arange(3), 2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert storage.ArrayUnpickler(io.BytesIO(content)).load().tolist() == [0, 1, 2]


def test_huge_members_are_refused(table_file, monkeypatch):
    monkeypatch.setattr(storage, "_LARGEST", 100)
    with pytest.raises(ValueError, match="refused"):
        boston_housing.load_data(table_file)


# ---- images in other formats ---------------------------------------------------------------------------
def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(int(n).to_bytes(4, "big") for n in array.shape)
    with gzip.open(path, "wb") as f:
        f.write(header + array.tobytes())


@pytest.fixture
def fashion(cache, monkeypatch):
    import hashlib

    folder = cache / "fashion-mnist"
    folder.mkdir()
    made = []
    for (name, _), array in zip(fashion_mnist._FILES, (
        np.arange(5, dtype="uint8"), RNG.integers(0, 256, (5, 28, 28)).astype("uint8"),
        np.arange(2, dtype="uint8"), RNG.integers(0, 256, (2, 28, 28)).astype("uint8"),
    )):
        write_idx(folder / name, array)
        made.append((name, hashlib.md5((folder / name).read_bytes()).hexdigest()))
    monkeypatch.setattr(fashion_mnist, "_FILES", tuple(made))
    return folder


def test_fashion_mnist(fashion, offline):
    (x_train, y_train), (x_test, y_test) = fashion_mnist.load_data()
    assert x_train.shape == (5, 28, 28) and y_train.tolist() == [0, 1, 2, 3, 4]
    assert x_test.shape == (2, 28, 28) and y_test.tolist() == [0, 1] and x_train.dtype == np.uint8
    x_train[0, 0, 0] = 1  # the caller's own memory


@pytest.mark.parametrize(
    "content", [b"", b"\0\0\x0d\1\0\0\0\1x", b"\0\0\x08\1\0\0\0\5xx", b"\0\0\x08\2" + b"\0" * 8]
)
def test_damaged_idx(tmp_path, content):
    with gzip.open(tmp_path / "f.gz", "wb") as f:
        f.write(content)
    with pytest.raises(ValueError, match="does not hold"):
        fashion_mnist._read_idx(tmp_path / "f.gz")


def cifar_batch(count, keys, seed):
    rng = np.random.default_rng(seed)
    batch = {b"data": rng.integers(0, 256, (count, 3072)).astype("uint8"), b"batch_label": b"one"}
    batch.update({key: [int(n) for n in rng.integers(0, 10, count)] for key in keys})
    return pickle.dumps(batch, 2)


def cifar_files(name):
    if name == "cifar-10-batches-py":
        names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
        return {n: cifar_batch(4, [b"labels"], i) for i, n in enumerate(names)}
    return {n: cifar_batch(4, [b"fine_labels", b"coarse_labels"], i) for i, n in enumerate(("train", "test"))}


LAYOUTS = ["{name}-target/{name}", "{name}", "{name}/{name}"]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("module", "name"), [(cifar10, "cifar-10-batches-py"), (cifar100, "cifar-100-python")]
)
def test_cifar_folders_of_every_keras(cache, offline, module, name, layout):
    folder = cache / layout.format(name=name)
    folder.mkdir(parents=True)
    for file, content in cifar_files(name).items():
        (folder / file).write_bytes(content)
    (x_train, y_train), (x_test, y_test) = module.load_data()
    count = 20 if module is cifar10 else 4
    assert x_train.shape == (count, 32, 32, 3) and y_train.shape == (count, 1) and x_train.dtype == np.uint8
    assert x_test.shape == (4, 32, 32, 3) and y_test.shape == (4, 1)
    raw = pickle.loads(cifar_files(name)["test_batch" if module is cifar10 else "test"])[b"data"]
    assert x_test[1, 2, 3].tolist() == [raw[1, c * 1024 + 2 * 32 + 3] for c in range(3)]
    config.set_image_data_format("channels_first")
    try:
        assert np.array_equal(module.load_data()[1][0], x_test.transpose(0, 3, 1, 2))
    finally:
        config.set_image_data_format("channels_last")


def test_cifar_archive_placed_by_hand(cache, offline, monkeypatch):
    archive = cache / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for file, content in cifar_files("cifar-10-batches-py").items():
            info = tarfile.TarInfo(f"cifar-10-batches-py/{file}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    with pytest.raises(OSError, match="cifar-10-python.tar.gz"):  # a wrong hash is no data set
        cifar10.load_data()
    monkeypatch.setattr(cifar, "validate_file", lambda path, file_hash: True)
    assert cifar10.load_data()[0][0].shape == (20, 32, 32, 3)


def test_cifar_arguments_and_damage(tmp_path):
    with pytest.raises(ValueError, match="label_mode"):
        cifar100.load_data("medium")
    (tmp_path / "b").write_bytes(pickle.dumps({"data": np.zeros((2, 5), "uint8"), "labels": [1, 2]}, 2))
    with pytest.raises(ValueError, match="3 x 32 x 32"):
        cifar.load_batch(tmp_path / "b")
    (tmp_path / "b").write_bytes(pickle.dumps({"data": 1}, 2))
    with pytest.raises(ValueError, match="'labels'"):
        cifar.load_batch(tmp_path / "b")


# ---- no network ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("load", "file"),
    [
        (mnist.load_data, "mnist.npz"), (imdb.load_data, "imdb.npz"), (reuters.load_data, "reuters.npz"),
        (boston_housing.load_data, "boston_housing.npz"),
        (california_housing.load_data, "california_housing.npz"),
        (fashion_mnist.load_data, "fashion-mnist/train-labels-idx1-ubyte.gz"),
        (cifar10.load_data, "cifar-10-batches-py-target_archive"),
        (cifar100.load_data, "cifar-100-python-target_archive"),
        (imdb.get_word_index, "imdb_word_index.json"), (reuters.get_word_index, "reuters_word_index.json"),
    ],
)
def test_offline_error_names_file_address_and_folder(cache, offline, load, file):
    with pytest.raises(OSError, match="Network is unreachable") as error:
        load()
    assert str(cache / file) in str(error.value) and "https://" in str(error.value)


def test_word_index_is_read(cache, monkeypatch, offline):
    (cache / "imdb_word_index.json").write_text('{"the": 1, "café": 2}', encoding="utf-8")
    monkeypatch.setattr("gpukeras.utils.files.validate_file", lambda *a: True)
    assert imdb.get_word_index() == {"the": 1, "café": 2}


def test_module_lists_all_sets():
    assert set(datasets.__all__) == {
        "boston_housing", "california_housing", "cifar10", "cifar100", "fashion_mnist", "imdb", "mnist",
        "reuters",
    }


# ---- real Keras on the same files --------------------------------------------------------------------------
def theirs_from(real_keras, monkeypatch, name, path):
    import importlib

    module = importlib.import_module(f"keras.src.datasets.{name}")
    monkeypatch.setattr(module, "get_file", lambda *args, **kwargs: path)
    return module


@pytest.mark.parity
@pytest.mark.parametrize(
    "arguments",
    [
        {}, {"num_words": 30}, {"num_words": 30, "skip_top": 4}, {"oov_char": None, "num_words": 30},
        {"start_char": None}, {"start_char": None, "index_from": 0}, {"maxlen": 9},
        {"seed": 7, "index_from": 5},
    ],
    ids=str,
)
def test_texts_of_real_keras(real_keras, monkeypatch, imdb_file, reuters_file, arguments):
    theirs = theirs_from(real_keras, monkeypatch, "imdb", imdb_file).load_data(**arguments)
    same(imdb.load_data(imdb_file, **arguments), theirs)
    theirs = theirs_from(real_keras, monkeypatch, "reuters", reuters_file).load_data(**arguments)
    same(reuters.load_data(reuters_file, **arguments), theirs)


@pytest.mark.parity
def test_tables_of_real_keras(real_keras, monkeypatch, table_file):
    for name, module in (("boston_housing", boston_housing), ("california_housing", california_housing)):
        theirs = theirs_from(real_keras, monkeypatch, name, table_file)
        for arguments in ({}, {"test_split": 0.3, "seed": 5}):
            same(module.load_data(path=table_file, **arguments), theirs.load_data(**arguments))
    small = california_housing.load_data("small", table_file)
    same(small, theirs.load_data("small"))
    labels = theirs_from(real_keras, monkeypatch, "reuters", "").get_label_names()
    assert reuters.get_label_names() == tuple(labels)


@pytest.mark.parity
def test_images_of_real_keras(real_keras, monkeypatch, fashion, tmp_path):
    theirs = theirs_from(real_keras, monkeypatch, "fashion_mnist", "")
    monkeypatch.setattr(theirs, "get_file", lambda name, **kwargs: str(fashion / name))
    same(fashion_mnist.load_data(), theirs.load_data())

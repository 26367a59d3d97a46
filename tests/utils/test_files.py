"""get_file: cache, hashes, archives that stay inside their folder, errors that say what to do."""

import hashlib
import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from gpukeras.utils import files, get_file


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "datasets"


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source.txt"
    path.write_text("hello")
    return path


def text(path):
    return Path(path).read_text()


def sha(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_download_once(cache, source, capsys):
    path = get_file(origin=source.as_uri())
    assert path == str(cache / "source.txt") and (cache / "source.txt").read_text() == "hello"
    assert "Downloading data from file://" in capsys.readouterr().out
    source.write_text("changed")
    assert text(get_file("source.txt", source.as_uri())) == "hello"
    assert capsys.readouterr().out == ""
    assert text(get_file("source.txt", source.as_uri(), force_download=True)) == "changed"
    assert os.listdir(cache) == ["source.txt"]  # nothing temporary is left


def test_places(cache, source, tmp_path):
    assert get_file("a", source.as_uri(), cache_subdir="models") == str(cache.parent / "models" / "a")
    assert get_file("a", source.as_uri(), cache_subdir=str(tmp_path / "x")) == str(tmp_path / "x" / "a")
    assert get_file("a", source.as_uri(), cache_dir=tmp_path / "y") == str(tmp_path / "y" / "datasets" / "a")


def test_hashes(cache, source):
    for good in (sha(source), sha(source).upper(), hashlib.md5(b"hello").hexdigest()):
        assert get_file("a", source.as_uri(), file_hash=good) == str(cache / "a")
    assert get_file("a", source.as_uri(), md5_hash=hashlib.md5(b"hello").hexdigest())
    with pytest.raises(ValueError, match=r"does not match its hash.*not kept"):
        get_file("b", source.as_uri(), file_hash="0" * 64)
    assert os.listdir(cache) == ["a"]
    with pytest.raises(ValueError, match="hash_algorithm"):
        get_file("c", source.as_uri(), file_hash="0" * 64, hash_algorithm="crc")


def test_a_cached_file_that_does_not_match_is_fetched_again(cache, source):
    cache.mkdir(parents=True)
    (cache / "a").write_text("damaged")
    with pytest.warns(UserWarning, match="does not match its hash"):
        path = get_file("a", source.as_uri(), file_hash=sha(source))
    assert text(path) == "hello"
    (cache / "a").write_text("damaged")
    with pytest.warns(UserWarning, match="hash"), pytest.raises(OSError, match="cannot download"):
        get_file("a", "file:///nowhere/at/all", file_hash=sha(source))
    assert (cache / "a").read_text() == "damaged"


def test_no_network_says_where_to_put_the_file(cache):
    with pytest.raises(OSError, match="cannot download") as error:
        get_file("data.npz", "file:///nowhere/data.npz")
    for part in ("file:///nowhere/data.npz", str(cache / "data.npz")):
        assert part in str(error.value)
    assert os.listdir(cache) == []


def test_a_folder_that_cannot_be_made(tmp_path, source):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="KERAS_HOME"):
        get_file("a", source.as_uri(), cache_dir=tmp_path / "file")


def test_wrong_arguments(cache, source):
    with pytest.raises(ValueError, match="origin"):
        get_file("a")
    for name in ("a/b", "..", "../a"):
        with pytest.raises(ValueError, match="without folders"):
            get_file(name, source.as_uri())
    with pytest.raises(ValueError, match="pass fname"):
        get_file(origin="http://example.org/")


def make_tar(path, members):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if content is None:
                info.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
            else:
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return path


def make_zip(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members:
            archive.writestr(name, content or b"")
    return path


@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_extract(cache, tmp_path, make):
    archive = make(tmp_path / "arc.tgz", [("dir/", None), ("dir/a.txt", b"A"), ("b.txt", b"B")])
    for arguments, folder, stored in [
        ({"fname": "x", "extract": True}, "x", "x_archive"),
        ({"fname": "x.tgz", "extract": True}, "x_extracted", "x.tgz"),
        ({"fname": "y.tar.gz", "untar": True}, "y_extracted", "y.tar.gz"),
        ({"extract": True}, "arc.tgz", "arc.tgz_archive"),
    ]:
        path = get_file(origin=archive.as_uri(), **arguments)
        assert path == str(cache / folder) and (cache / stored).is_file()
        assert text(os.path.join(path, "dir", "a.txt")) == "A"
    (cache / "x" / "b.txt").write_text("mine")
    assert text(os.path.join(get_file("x", archive.as_uri(), extract=True), "b.txt")) == "mine"
    assert not [name for name in os.listdir(cache) if name.endswith(".part")]


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/../../evil", "a\\b"])
@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_archives_stay_inside(tmp_path, name, make):
    archive = make(tmp_path / "arc", [("fine.txt", b"x"), (name, b"evil")])
    with pytest.raises(ValueError, match="outside its folder"):
        files.extract_archive(archive, tmp_path / "deep" / "out")
    assert not list(tmp_path.rglob("evil")) and os.listdir(tmp_path / "deep") == []


def test_links_are_refused(tmp_path):
    archive = make_tar(tmp_path / "arc", [("link", "/etc/passwd")])
    with pytest.raises(ValueError, match="'link', which is a link"):
        files.extract_archive(archive, tmp_path / "out")


def test_bombs_are_refused(tmp_path, monkeypatch):
    archive = make_zip(tmp_path / "arc", [("a", b"0" * 5000), ("b", b"0" * 5000)])
    monkeypatch.setattr(files, "_budget", lambda path: 8000)
    with pytest.raises(ValueError, match="refused"):
        files.extract_archive(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_formats(tmp_path, source):
    with pytest.raises(ValueError, match="no archive"):
        files.extract_archive(source, tmp_path / "out")
    with pytest.raises(ValueError, match="no archive"):
        files.extract_archive(make_zip(tmp_path / "z", [("a", b"x")]), tmp_path / "out", "tar")
    with pytest.raises(ValueError, match="archive_format"):
        files.extract_archive(source, tmp_path / "out", "rar")
    with pytest.raises(ValueError, match="no archive"):
        files.extract_archive(source, tmp_path / "out", None)


def test_default_cache_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("KERAS_HOME", raising=False)
    assert files.cache_folder() == files.Path.home() / ".keras"
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert files.cache_folder() == tmp_path

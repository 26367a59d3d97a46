"""Files from the network, kept in Keras' cache folder."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from .progbar import Progbar

# Archives may not unpack to more than this many times their own size (and 1 GB): that would be a bomb.
_MAX_GROWTH = 200


def cache_folder(cache_dir=None) -> Path:
    """Return Keras' cache folder: ``$KERAS_HOME``, else ``~/.keras``; nothing is made yet."""
    if cache_dir is not None:
        return Path(cache_dir).expanduser()
    if os.environ.get("KERAS_HOME"):
        return Path(os.environ["KERAS_HOME"]).expanduser()
    return Path.home() / ".keras"


def get_file(
    fname=None, origin: str | None = None, untar: bool = False, md5_hash: str | None = None,
    file_hash: str | None = None, cache_subdir="datasets", hash_algorithm: str = "auto",
    extract: bool = False, archive_format="auto", cache_dir=None, force_download: bool = False,
) -> str:
    """Return the path of a file in the cache, downloading it first where it is missing.

    Parameters
    ----------
    fname : str, optional
        Name in the cache; default: the last part of ``origin``.
    origin : str
        Where to download from.
    untar, extract : bool
        Unpack the archive and return the folder instead. The folder is called ``fname`` where that has no
        extension, else its stem with ``_extracted``.
    md5_hash, file_hash : str, optional
        What the file must hash to. A cached file that does not match is downloaded again; a downloaded one
        that does not match is an error and is not kept.
    cache_subdir : str
        Folder inside the cache, or an absolute path.
    hash_algorithm : {"auto", "sha256", "md5"}
        ``"auto"`` goes by the length of the hash.
    archive_format : {"auto", "tar", "zip"}, list of them, or None
    cache_dir : str, optional
        Cache folder; default: ``$KERAS_HOME``, else ``~/.keras``.
    force_download : bool

    Returns
    -------
    str

    Raises
    ------
    OSError
        Where the download fails; the message names the file, the address and the folder to put it into.
    ValueError
        Where the downloaded file does not match its hash, or an archive wants to write outside its folder.
    """
    if origin is None:
        raise ValueError("get_file needs origin, the address to download from")
    if md5_hash is not None and file_hash is None:
        file_hash, hash_algorithm = md5_hash, "md5"
    import urllib.parse

    given = fname
    fname = os.path.basename(urllib.parse.urlsplit(origin).path) if fname is None else os.fspath(fname)
    if not fname:
        raise ValueError(f"cannot tell a file name from origin {origin!r}; pass fname")
    if os.path.basename(fname) != fname or fname in (".", ".."):
        raise ValueError(
            f"fname of get_file must be a name without folders, came {fname!r}; use cache_subdir"
        )
    folder = cache_folder(cache_dir) / cache_subdir
    unpack = extract or untar
    stem, extension = os.path.splitext(fname)
    if not unpack:
        target = folder / fname
    elif given is not None and extension:
        target, unpacked = folder / fname, folder / f"{stem.removesuffix('.tar')}_extracted"
    else:
        target, unpacked = folder / f"{fname}_archive", folder / fname
    if force_download or not _is_valid(target, file_hash, hash_algorithm):
        download(origin, target, file_hash, hash_algorithm)
    if not unpack:
        return str(target)
    if force_download or not unpacked.is_dir() or not any(unpacked.iterdir()):
        extract_archive(target, unpacked, archive_format)
    return str(unpacked)


def _is_valid(path: Path, file_hash: str | None, algorithm: str) -> bool:
    if not path.is_file():
        return False
    if file_hash is None or validate_file(path, file_hash, algorithm):
        return True
    message = f"{path} does not match its hash {file_hash}; downloading it again"
    warnings.warn(message, UserWarning, stacklevel=4)
    return False


def download(origin: str, target: Path, file_hash: str | None = None, algorithm: str = "auto") -> None:
    """Download to a temporary file, check it, then rename it, so that ``target`` is whole or absent."""
    import tempfile

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"cannot make the cache folder {target.parent}: {error}; set the environment variable KERAS_HOME "
            "to a folder that can be written"
        ) from error
    handle, partial = tempfile.mkstemp(dir=target.parent, prefix=target.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as out:
            _fetch(origin, target, out)
        if file_hash is not None and not validate_file(partial, file_hash, algorithm):
            raise ValueError(
                f"what was downloaded from {origin} does not match its hash {file_hash}; it was not kept. "
                "The file changed or the connection was tampered with"
            )
        os.chmod(partial, 0o644)
        os.replace(partial, target)
    finally:
        if os.path.exists(partial):
            os.remove(partial)


def _fetch(origin: str, target: Path, out) -> None:
    import urllib.request

    print(f"Downloading data from {origin}")
    try:
        with urllib.request.urlopen(origin, timeout=60) as response:
            size = int(response.headers.get("Content-Length") or 0) or None
            bar = Progbar(size, unit_name="byte", interval=0.25)
            done = 0
            while chunk := response.read(1 << 16):
                out.write(chunk)
                done += len(chunk)
                bar.update(done, finalize=False)
        if size is not None and done != size:
            raise OSError(f"the connection closed after {done} of {size} bytes")
        bar.update(done, finalize=True)
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        raise OSError(
            f"cannot download {origin}: {reason}. Without a network, get the file elsewhere and place it as "
            f"{target}"
        ) from error


def validate_file(path, file_hash: str, algorithm: str = "auto") -> bool:
    """Tell whether a file has this SHA-256 or MD5 hash."""
    import hashlib

    if algorithm == "auto":
        algorithm = "sha256" if len(file_hash) == 64 else "md5"
    if algorithm not in ("sha256", "md5"):
        raise ValueError(f"hash_algorithm must be 'auto', 'sha256' or 'md5', came {algorithm!r}")
    digest = hashlib.new(algorithm, usedforsecurity=algorithm == "sha256")
    with open(path, "rb") as f:
        while chunk := f.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest() == file_hash.lower()


def extract_archive(path, folder, archive_format="auto") -> None:
    """Unpack a tar or zip file into ``folder``; nothing may land outside, links are refused."""
    import shutil
    import tarfile
    import tempfile
    import zipfile

    formats = ("tar", "zip") if archive_format == "auto" else archive_format
    formats = (formats,) if isinstance(formats, str) else tuple(formats or ())
    path, folder = Path(path), Path(folder)
    for kind in formats:
        if kind not in ("tar", "zip"):
            raise ValueError(f"archive_format must be 'auto', 'tar' or 'zip', came {kind!r}")
        if kind == "tar" and tarfile.is_tarfile(path):
            members = _unpack_tar
        elif kind == "zip" and zipfile.is_zipfile(path):
            members = _unpack_zip
        else:
            continue
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Unpack beside, then rename: an interrupted run leaves no half-filled folder behind.
        partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=folder.name, suffix=".part"))
        try:
            members(path, partial)
            if folder.is_dir():
                shutil.rmtree(folder)
            os.chmod(partial, 0o755)
            os.replace(partial, folder)
        finally:
            if partial.exists():
                shutil.rmtree(partial)
        return
    raise ValueError(f"{path} is no archive of the formats {formats}")


def _unpack_tar(path: Path, folder: Path) -> None:
    import tarfile

    with tarfile.open(path) as archive:
        budget = _budget(path)
        for member in archive:
            if member.isdir():
                _inside(folder, member.name, path).mkdir(parents=True, exist_ok=True)
                continue
            if not member.isfile():
                raise ValueError(f"{path} holds {member.name!r}, which is a link or a device; refused")
            source = archive.extractfile(member)
            budget = _write_member(folder, member.name, source, path, budget)


def _unpack_zip(path: Path, folder: Path) -> None:
    import zipfile

    with zipfile.ZipFile(path) as archive:
        budget = _budget(path)
        for member in archive.infolist():
            if member.is_dir():
                _inside(folder, member.filename, path).mkdir(parents=True, exist_ok=True)
                continue
            with archive.open(member) as source:
                budget = _write_member(folder, member.filename, source, path, budget)


def _budget(path: Path) -> int:
    return max(1 << 30, _MAX_GROWTH * path.stat().st_size)


def _write_member(folder: Path, name: str, source, archive: Path, budget: int) -> int:
    """Write one member and return how many bytes the rest may have."""
    target = _inside(folder, name, archive)
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target, "wb") as out:
        while chunk := source.read(1 << 20):
            budget -= len(chunk)
            if budget < 0:
                raise ValueError(f"{archive} unpacks to more than {_MAX_GROWTH} times its size; refused")
            out.write(chunk)
    return budget


def _inside(folder: Path, name: str, archive: Path) -> Path:
    """Return the path of a member; a name that leads out of the folder is a ``ValueError``."""
    target = Path(os.path.normpath(folder / name))
    foreign = "\\" in name or (os.name == "nt" and ":" in name)
    if os.path.isabs(name) or foreign or not target.is_relative_to(folder):
        raise ValueError(f"{archive} wants to write {name!r}, which is outside its folder; refused")
    return target

"""Files that layers keep beside their weights inside a ``.keras`` file, such as vocabularies."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from zipfile import ZipFile

from gpukeras.saving.weights_file import walk

FOLDER = "assets"
_LARGEST = 1 << 30  # bytes of one file


def write_assets(model, archive: ZipFile) -> None:
    """Put what the layers' ``save_assets`` write into ``archive``, under the layers' paths."""
    with tempfile.TemporaryDirectory() as temporary:
        for number, (path, layer) in enumerate(walk(model)):
            if not hasattr(layer, "save_assets"):
                continue
            folder = Path(temporary) / str(number)
            folder.mkdir()
            layer.save_assets(str(folder))
            for file in sorted(p for p in folder.rglob("*") if p.is_file()):
                inside = file.relative_to(folder).as_posix()
                archive.write(file, "/".join(p for p in (FOLDER, path, inside) if p))


def read_assets(model, archive: ZipFile) -> None:
    """Give the layers' ``load_assets`` the files that belong to them.

    Raises
    ------
    ValueError
        For files that would lie outside of the layer's folder, or are too large.
    """
    names = [name for name in archive.namelist() if name.startswith(f"{FOLDER}/") and not name.endswith("/")]
    if not names:
        return
    layers = {f"{FOLDER}/{path}/" if path else f"{FOLDER}/": layer for path, layer in walk(model)
              if hasattr(layer, "load_assets")}
    # A layer inside another has its folder inside the other's: each file belongs to the nearest one.
    owned: dict[str, list[str]] = {}
    for name in names:
        folder = max((f for f in layers if name.startswith(f)), key=len, default=None)
        if folder is not None:
            owned.setdefault(folder, []).append(name)
    with tempfile.TemporaryDirectory() as temporary:
        for number, (folder, members) in enumerate(owned.items()):
            place = Path(temporary) / str(number)
            place.mkdir()
            for name in members:
                _extract(archive, name, place, name.removeprefix(folder))
            layers[folder].load_assets(str(place))


def _extract(archive: ZipFile, name: str, place: Path, inside: str) -> None:
    target = (place / inside).resolve()
    if place.resolve() not in target.parents or "\\" in inside:
        raise ValueError(f"the file holds {name!r}, which would lie outside of its folder")
    if archive.getinfo(name).file_size > _LARGEST:
        raise ValueError(f"the file holds {name!r}, which claims to be larger than {_LARGEST} bytes")
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(name) as source, open(target, "wb") as copy:
        shutil.copyfileobj(source, copy)

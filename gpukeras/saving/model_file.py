"""Whole models in one ``.keras`` file: a zip of architecture (JSON), weights (HDF5) and facts about both."""

from __future__ import annotations

import datetime
import io
import json
import os
import zipfile

from gpukeras.saving.assets import read_assets, write_assets
from gpukeras.saving.files import member, opened, written_whole
from gpukeras.saving.registration import custom_object_scope
from gpukeras.saving.serialization import deserialize_keras_object, serialize_keras_object
from gpukeras.saving.weights_file import load_optimizer_state, read_state, write_state

FORMAT_VERSION = "3.0.0"  # of Keras: which conventions the configuration follows
_LARGEST_JSON = 256 * 2**20


def save_model(model, filepath, overwrite: bool = True, **kwargs) -> None:
    """Write architecture, weights, compile settings and optimizer state of ``model``.

    Parameters
    ----------
    model : Model
        Built.
    filepath : path
        Must end in ``.keras``.
    overwrite : bool
    """
    import h5py

    path = os.fspath(filepath)
    if kwargs:
        raise TypeError(f"save: unknown arguments {sorted(kwargs)}; it takes filepath and overwrite")
    if not path.endswith(".keras"):
        raise ValueError(
            f"a whole model is written to a .keras file, came {path!r}; for weights alone use "
            "save_weights('name.weights.h5')"
        )
    if not model.built:
        raise ValueError(f"model {model.name!r} is not built yet; call it on data before saving")
    config = serialize_keras_object(model)
    now = datetime.datetime.now().strftime("%Y-%m-%d@%H:%M:%S")
    metadata = {"keras_version": FORMAT_VERSION, "date_saved": now}
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        write_state(model, file)
    with written_whole(path, overwrite) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        archive.writestr("metadata.json", json.dumps(metadata))
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", weights.getvalue())
        write_assets(model, archive)


def load_model(filepath, custom_objects=None, compile: bool = True, safe_mode: bool = True):
    """Read a model that ``save`` wrote.

    Parameters
    ----------
    filepath : path
        A ``.keras`` file.
    custom_objects : dict, optional
        Classes and functions that are not built in, by name.
    compile : bool
        Compile as it was when saved, with the optimizer's state.
    safe_mode : bool
        Refuse functions stored as bytecode.

    Returns
    -------
    Model

    Raises
    ------
    ValueError
        Where the file is no ``.keras`` file, is broken, or names classes that are not known.
    """
    path = os.path.expanduser(os.fspath(filepath))
    if not os.path.exists(path):
        raise FileNotFoundError(f"no model file at {path}")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is not a .keras file (a zip of config.json and model.weights.h5)")
    with zipfile.ZipFile(path) as archive:
        missing = {"config.json", "model.weights.h5"} - set(archive.namelist())
        if missing:
            raise ValueError(f"{path} is not a whole .keras file: {sorted(missing)} missing")
        if archive.getinfo("config.json").file_size > _LARGEST_JSON:
            raise ValueError(f"{path}: config.json claims to be larger than {_LARGEST_JSON} bytes")
        try:
            config = json.loads(archive.read("config.json"))
        except ValueError as error:
            raise ValueError(f"config.json in {path} cannot be read: {error}") from error
        compiled = config.pop("compile_config", None)
        model = deserialize_keras_object(config, custom_objects=custom_objects, safe_mode=safe_mode)
        if not hasattr(model, "compile_from_config"):
            raise ValueError(f"{path} holds a {type(model).__name__}, not a model")
        if not model.built:
            raise ValueError(
                f"model {model.name!r} cannot be built from the file: a subclassed model needs "
                "get_build_config, or build it in __init__"
            )
        if compiled and compile:
            with custom_object_scope(custom_objects or {}):
                model.compile_from_config(compiled)
        # HDF5 needs to seek; zip members cannot do that cheaply.
        with opened(io.BytesIO(archive.read("model.weights.h5")), f"model.weights.h5 in {path}") as file:
            for change in read_state(model, file, skip_mismatch=False):
                change()
            if model.compiled:
                state = member(file, "optimizer/vars")
                if state is not None and len(state):
                    load_optimizer_state(model, model.optimizer, state)
        read_assets(model, archive)
    return model

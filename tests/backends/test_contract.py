"""The contract of the backends: the same public methods with equal signatures, each documented once."""

import inspect

import pytest
from support.fake_device import installed

from gpukeras import backends
from gpukeras.backends.base import Backend
from gpukeras.backends.numpy_backend import NumpyBackend

# What belongs to a single device and is no array function.
OWN = {"CupyBackend": {"index", "alone"}}


def cupy_backend():
    with installed():
        return type(backends.resolve("gpu:0"))


def public(cls) -> dict:
    return {n: inspect.getattr_static(cls, n) for n in dir(cls) if not n.startswith("_")}


def classes():
    return [NumpyBackend, cupy_backend()]


@pytest.mark.parametrize("cls", classes(), ids=lambda c: c.__name__)
def test_names_are_those_of_the_contract(cls):
    extra = set(public(cls)) - set(public(Backend)) - OWN.get(cls.__name__, set())
    assert not extra, f"{cls.__name__} has public names that Backend lacks: {extra}; begin them with _"
    for name, found in public(Backend).items():
        assert callable(found) == callable(public(cls)[name]), name


@pytest.mark.parametrize("cls", classes(), ids=lambda c: c.__name__)
def test_signatures_are_equal(cls):
    for name, method in public(Backend).items():
        if not inspect.isfunction(method):
            continue
        ours, theirs = inspect.signature(method), inspect.signature(public(cls)[name])
        shape = [(p.name, p.default, p.kind) for p in ours.parameters.values()]
        assert shape == [(p.name, p.default, p.kind) for p in theirs.parameters.values()], (
            f"{cls.__name__}.{name}{theirs}, the contract says {name}{ours}"
        )


@pytest.mark.parametrize("cls", classes(), ids=lambda c: c.__name__)
def test_every_abstract_method_is_made(cls):
    for name in ("describe", "to_numpy", "owns"):
        assert public(cls)[name] is not public(Backend)[name], name


def test_every_method_is_documented():
    methods = {n: m for n, m in public(Backend).items() if inspect.isfunction(m)}
    missing = [n for n, m in methods.items() if not (m.__doc__ or "").strip()]
    assert not missing, f"methods of the contract without a docstring: {missing}"


def test_properties_agree():
    for cls in classes():
        for name in ("update_chunk", "direct_gradient", "flat_alignment", "pool_bytes"):
            assert hasattr(cls, name), (cls, name)
    assert NumpyBackend.xp.__name__ == "numpy" and cupy_backend().xp.__name__ == "cupy"

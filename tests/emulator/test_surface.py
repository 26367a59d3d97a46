"""All that the stand-in offers by itself exists in the real wheel, with the parameters that are known."""

import inspect

import pytest
from support import fake_cupy, fake_streams
from support.cupy_surface import stored
from support.emulator import capture, module

CLASSES = {
    "cupy.cuda.Stream": fake_streams.Stream, "cupy.cuda.Event": fake_streams.Event,
    "cupy.cuda.Graph": capture.Graph, "cupy.cuda.MemoryPool": fake_streams.MemoryPool,
    "cupy.RawKernel": module.RawKernel, "cupy.RawModule": module.RawModule,
    "cupy.cuda.Device": fake_cupy.Device, "cupy.ndarray": fake_cupy.ndarray,
}
OWN = {"cupy.cuda.MemoryPool": {"take_back"}}  # called by the stand-in's memory alone


@pytest.mark.parametrize("name", CLASSES)
def test_classes(name):
    known = stored()[name]
    for method, found in vars(CLASSES[name]).items():
        if method.startswith("_") or method in OWN.get(name, ()):
            continue
        assert method in known, f"{name}.{method} does not exist"
        parameters = known[method].get("parameters")
        if parameters is None or "..." in parameters or not inspect.isfunction(found):
            continue
        ours = [n for n, p in inspect.signature(found).parameters.items()
                if n != "self" and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        assert set(ours) <= {p.lstrip("*") for p in parameters}, f"{name}.{method}{tuple(ours)}"


@pytest.mark.parametrize("name", [n for n in fake_cupy.make() if n in stored()])
def test_modules(name):
    names = {n for n in vars(fake_cupy.make()[name]) if not n.startswith("_")}
    submodules = {n.rpartition(".")[2] for n in fake_cupy.make()}
    assert names - submodules - {"lib"} <= set(stored()[name])


def test_attributes_of_objects():
    """Attributes that the stand-in's objects have; the real ones are set in compiled constructors."""
    stream = fake_streams.Stream(non_blocking=True)
    assert {n for n in vars(stream) if not n.startswith("_")} == {"ptr", "is_non_blocking", "device_id"}

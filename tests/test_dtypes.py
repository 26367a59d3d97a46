"""Names of types, promotion, and bfloat16, which NumPy does not have."""

import ast
import itertools
import pathlib
import sys

import numpy as np
import pytest
from support.halves import needs_bfloat16

import gpukeras as keras
from gpukeras import dtypes, ops

ROOT = pathlib.Path(keras.__file__).parent
INTEGERS = ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "int64")


# ---- promotion -------------------------------------------------------------------------------------------
@needs_bfloat16
@pytest.mark.parametrize("kinds, expected", [
    (("bfloat16",), "bfloat16"), (("bfloat16", "float16"), "float32"), (("bfloat16", "float32"), "float32"),
    (("bfloat16", "float64"), "float64"), (("float16", "bfloat16", "float64"), "float64"),
    *((("bfloat16", kind), "bfloat16") for kind in INTEGERS),
])
def test_bfloat16_is_promoted(kinds, expected):
    for order in itertools.permutations(kinds):
        assert dtypes.result_type(*order).name == expected
        assert dtypes.result_type(*(np.dtype(dtypes.standardize_dtype(k)) for k in order)).name == expected


@needs_bfloat16
@pytest.mark.parity
def test_promotion_is_that_of_keras(real_keras):
    """Of all pairs but those with int64, which JAX does not have unless it is told to."""
    kinds = [k for k in INTEGERS if k != "int64"] + ["float16", "bfloat16", "float32"]
    for pair in itertools.combinations_with_replacement(kinds, 2):
        theirs = real_keras.backend.result_type(*pair)
        if theirs == "int32" and dtypes.result_type(*pair).name == "int64":
            continue  # uint32 beside signed integers: for the same reason
        assert dtypes.result_type(*pair).name == theirs, pair


def test_other_types_are_promoted_as_before():
    assert dtypes.result_type("float16", "float32").name == "float32"
    assert dtypes.result_type("int64", "float16").name == "float16"
    assert dtypes.result_type("uint64", "int64").name == "int64"
    assert dtypes.result_type().name == dtypes.floatx()


# ---- facts about types -----------------------------------------------------------------------------------
@needs_bfloat16
def test_facts():
    kind = dtypes.bfloat16()
    assert kind == np.dtype("bfloat16") and dtypes.bfloat16() is kind
    for given in ("bfloat16", kind, kind.type, np.zeros(2, kind).dtype):
        assert dtypes.standardize_dtype(given) == "bfloat16"
        assert dtypes.is_float(given)
    assert not dtypes.is_float("int32") and not dtypes.is_float(np.dtype("bool"))
    assert not dtypes.is_float("complex64")
    assert dtypes.float_type("bfloat16") == kind and dtypes.float_type(kind) == kind
    assert float(dtypes.finfo("bfloat16").eps) == 2.0**-7 and float(dtypes.finfo(np.float16).max) == 65504
    wide = [dtypes.wide(k).name for k in ("float16", "bfloat16", "float32", "float64", "int16")]
    assert wide == ["float32", "float32", "float32", "float64", "int16"]
    assert kind.kind in dtypes.FLOAT_KINDS


@needs_bfloat16
def test_floatx():
    before = dtypes.floatx()
    try:
        keras.config.set_floatx("bfloat16")
        assert ops.ones((2,)).dtype == ops.convert_to_tensor([0.5, 1.5]).dtype == "bfloat16"
        assert keras.layers.Dense(1).dtype == "bfloat16"
    finally:
        keras.config.set_floatx(before)
    with pytest.raises(ValueError, match="floatx must be one of"):
        keras.config.set_floatx("int32")


def test_other_raw_types_are_refused():
    with pytest.raises(ValueError, match="not supported"):
        ops.convert_to_tensor(np.zeros(3, [("a", "i4")]))


def test_without_the_package_the_error_names_the_extra(monkeypatch):
    monkeypatch.setattr(dtypes, "BFLOAT16", None)
    monkeypatch.setattr(dtypes, "_cache", {})
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    for use in (lambda: ops.cast([1.0], "bfloat16"), lambda: keras.layers.Dense(1, dtype="mixed_bfloat16"),
                lambda: keras.Variable([1.0], dtype="bfloat16"),
                lambda: dtypes.result_type("bfloat16", "int8")):
        with pytest.raises(ImportError, match=r"pip install 'gpukeras\[bfloat16\]'"):
            use()


def test_the_package_is_imported_on_first_use_only():
    import subprocess

    code = (
        "import sys, gpukeras as keras, numpy as np\n"
        "m = keras.Sequential([keras.layers.Dense(1)])\n"
        "m.compile('sgd', 'mse'); m.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0)\n"
        "print('ml_dtypes' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT.parent,
                          check=True, timeout=60)
    assert done.stdout.strip() == "False"


# ---- one place -------------------------------------------------------------------------------------------
def test_floating_types_are_told_in_one_place():
    """``dtype.kind == "f"`` would miss bfloat16, whose letter is V."""
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        if path.name == "dtypes.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare) and isinstance(node.left, ast.Attribute) and (
                node.left.attr == "kind" and getattr(node.comparators[0], "value", None) == "f"
            ):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not found, f"use dtypes.is_float: {found}"

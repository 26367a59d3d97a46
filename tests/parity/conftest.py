"""Parity tests compile a function of JAX each; what was compiled goes when a module of tests is done."""

import sys

import pytest


@pytest.fixture(autouse=True, scope="module")
def _forget_compiled():
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()

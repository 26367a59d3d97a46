"""Parity tests compile functions of JAX: what was compiled goes after some tests, or it fills the memory."""

import itertools
import sys

import pytest

_number = itertools.count(1)
TESTS = 60  # after so many


@pytest.fixture(autouse=True)
def _forget_compiled():
    yield
    if next(_number) % TESTS == 0 and "jax" in sys.modules:
        sys.modules["jax"].clear_caches()

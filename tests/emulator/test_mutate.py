"""Mutants of kernels change one thing each, and code alone."""

import importlib.util
import pathlib

FILE = pathlib.Path(__file__).parents[1] / "mutate.py"
SOURCE = """#define N 4  // a + b
template <int A> __device__ int f(int a) { return a + 1; }
extern "C" __global__ void g(float* x, int n) {
  const char* text = "a < b";
  if (threadIdx.x < n) x[0] += 0.f;
  __syncthreads();
}
"""


def load():
    spec = importlib.util.spec_from_file_location("mutate", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_mutants():
    found = load().mutants(SOURCE)
    assert [(m.line, m.before, m.after) for m in found] == [
        (2, "+", "-"), (2, "1", "2"), (5, "<", "<="), (5, "+=", "-="), (5, "0.f", "1.f"),
        (6, "__syncthreads();", ";"),
    ]
    assert len({m.source for m in found}) == len(found)
    assert all(abs(len(m.source) - len(SOURCE)) < 20 for m in found)

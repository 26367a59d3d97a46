// Loops over flat arrays: packs of neighbouring elements where addresses allow it, the rest one by one.
#include "common.cuh"

// A number of elements as a type, so that the body of a loop is compiled for it.
template <int Count>
struct Width {
  static constexpr int value = Count;
};

// Call body(Width, first element) for all n elements; ``packed``: addresses are multiples of a pack's size.
template <int Count, typename Body>
__device__ __forceinline__ void each(long long n, int packed, Body body) {
  long long start = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  long long step = (long long)gridDim.x * blockDim.x;
  long long packs = packed ? n / Count : 0;
  for (long long i = start; i < packs; i += step) body(Width<Count>(), i * Count);
  for (long long i = packs * Count + start; i < n; i += step) body(Width<1>(), i);
}

// Of two numbers, NaN if one of them is.
__device__ __forceinline__ float larger(float a, float b) { return a > b || a != a ? a : b; }
__device__ __forceinline__ float smaller(float a, float b) { return a < b || a != a ? a : b; }

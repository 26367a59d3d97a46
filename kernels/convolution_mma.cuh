// What convolutions on tensor cores share: slices of K in shared memory, several under way, and their fragments.
//
// A slice is 64 bytes of K: 16 floats, multiplied as tf32, or 32 halves. It lies in shared memory as it lies in
// memory, "along" (rows of K; for every row or column of the product) or "across" (for every k a row of the
// product's rows or columns). What a warp reads or writes at once lies in different banks: rows that lie across are
// padded, packs of those along K change places.
#pragma once
#include "convolution.cuh"
#include "mma.cuh"

typedef USE_T T;
constexpr int M = USE_M, N = USE_N;        // of a block's tile
constexpr int STAGES = 3;                  // slices in shared memory: two on their way while one is multiplied
constexpr int V = 16 / sizeof(T);          // elements of an asynchronous copy
constexpr int K = 64 / sizeof(T);          // of a slice
constexpr int STEP = 32 / sizeof(T);       // of one multiplication
constexpr int WARP_M = M == 64 ? 32 : 64, WARP_N = 32;
constexpr int ACROSS = N / WARP_N;         // warps along columns
constexpr int THREADS = 32 * (M / WARP_M) * ACROSS;
constexpr int R = WARP_M / 16, S = WARP_N / 8;  // multiplications of a warp
constexpr int PAD = 8;                          // of rows that lie across
constexpr int ACROSS_M = M + PAD, ACROSS_N = N + PAD;

// Where k of a row lies in a slice along K; ``k`` is a multiple of V. Two rows fill all banks: pairs of them have
// their packs in different orders.
__device__ __forceinline__ int along(int row_of, int k) { return row_of * K + (k / V ^ row_of / 2 % (K / V)) * V; }

template <int Count>
__device__ __forceinline__ void rounded(unsigned (&bits)[Count]) {
  if constexpr (sizeof(T) == 4) {
#pragma unroll
    for (int i = 0; i < Count; ++i) bits[i] = to_tf32(__uint_as_float(bits[i]));
  }
}

// Fragment of A: 16 rows from ``row`` on, STEP of k from ``k`` on. The slice lies along K.
__device__ __forceinline__ void fragment_along(unsigned (&a)[4], const T* slice, int row, int k) {
  const int lane = threadIdx.x % 32;
  load_matrices(a, slice + along(row + lane % 16, k + lane / 16 * V));
  rounded(a);
}

// The same of a slice that lies across.
__device__ __forceinline__ void fragment_across(unsigned (&a)[4], const T* slice, int row, int k) {
  const int lane = threadIdx.x % 32;
  if constexpr (sizeof(T) == 2) {
    load_matrices_turned(a, slice + (k + lane % 8 + lane / 16 * 8) * ACROSS_M + row + lane / 8 % 2 * 8);
  } else {
    const int g = lane / 4, t = lane % 4;
#pragma unroll
    for (int i = 0; i < 4; ++i)
      a[i] = to_tf32(number(slice[(k + t + i / 2 * 4) * ACROSS_M + row + g + i % 2 * 8]));
  }
}

// Fragments of B: two times 8 columns from ``column`` on, STEP of k from ``k`` on. The slice lies along K.
__device__ __forceinline__ void fragments_along(unsigned (&b)[4], const T* slice, int column, int k) {
  const int lane = threadIdx.x % 32;
  load_matrices(b, slice + along(column + lane % 8 + lane / 16 * 8, k + lane / 8 % 2 * V));
  rounded(b);
}

// The same of a slice that lies across.
__device__ __forceinline__ void fragments_across(unsigned (&b)[4], const T* slice, int column, int k) {
  const int lane = threadIdx.x % 32;
  if constexpr (sizeof(T) == 2) {
    load_matrices_turned(b, slice + (k + lane % 16) * ACROSS_N + column + lane / 16 * 8);
  } else {
    const int g = lane / 4, t = lane % 4;
#pragma unroll
    for (int i = 0; i < 4; ++i)
      b[i] = to_tf32(number(slice[(k + t + i % 2 * 4) * ACROSS_N + column + g + i / 2 * 8]));
  }
}

// Multiply one slice; ``a`` and ``b`` say how it lies: true, along K.
template <bool A_ALONG, bool B_ALONG>
__device__ __forceinline__ void multiply_slice(float (&sum)[R][S][4], const T* a, const T* b, int row, int column) {
#pragma unroll
  for (int k = 0; k < K; k += STEP) {
    unsigned v[S / 2][4];
#pragma unroll
    for (int i = 0; i < S / 2; ++i) {
      if constexpr (B_ALONG)
        fragments_along(v[i], b, column + 16 * i, k);
      else
        fragments_across(v[i], b, column + 16 * i, k);
    }
    unsigned u[A_ALONG ? 1 : R][4];  // whichever takes fewer registers
    if constexpr (!A_ALONG) {
#pragma unroll
      for (int r = 0; r < R; ++r) fragment_across(u[r], a, row + 16 * r, k);
    }
#pragma unroll
    for (int r = 0; r < R; ++r) {
      if constexpr (A_ALONG) fragment_along(u[0], a, row + 16 * r, k);
#pragma unroll
      for (int c = 0; c < S; ++c) {
        const unsigned two[2] = {v[c / 2][c % 2 * 2], v[c / 2][c % 2 * 2 + 1]};
        multiply_as<T>(sum[r][c], u[A_ALONG ? 0 : r], two);
      }
    }
  }
}

// Let the second 16 rows of a warp be its first, and so on (``next_row``).
__device__ __forceinline__ void next_rows(float (&sum)[R][S][4]) {
#pragma unroll
  for (int r = 1; r < R; ++r)
#pragma unroll
    for (int c = 0; c < S; ++c)
#pragma unroll
      for (int i = 0; i < 4; ++i) sum[r - 1][c][i] = sum[r][c][i];
}

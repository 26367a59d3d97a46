// Tensor cores, asynchronous copies and waiting for other blocks: the one header with inline PTX.
//
// Under EMULATED (tests/support/emulator) each function is a plain C++ twin that means the same. Twins stand on
// these hooks of the emulator:
//   emulated_collective(name, mine, compute)   the last lane of a warp to come computes for all
//   emulated_lanes(name, mine, all)            each lane sees what every lane brought
//   emulated_copy_async(to, from, bytes, valid), emulated_copy_commit(), emulated_copy_wait(pending)
//   emulated_to_tf32(x), emulated_lane(), emulated_load_acquire(p), emulated_store_release(p, x), emulated_spin()
//
// Tensor cores are there from compute capability 8.0: kernels that use them are declared with Budget(least=80). What
// is not used is not compiled, so a file with other kernels may include this too. Asynchronous copies are plain ones
// on older devices.
//
// Fragments. The 32 lanes of a warp hold a matrix together; lane = 4 g + t with g = 0..7 and t = 0..3.
//
//   d (16 x 8 floats):          d[0] = D[g][2t]         d[1] = D[g][2t + 1]
//                               d[2] = D[g + 8][2t]     d[3] = D[g + 8][2t + 1]
//
//   halves, K = 16, two neighbours of K in a register, the first in the low half:
//     a (16 x 16):              a[0] = A[g][2t ..]      a[1] = A[g + 8][2t ..]
//                               a[2] = A[g][2t + 8 ..]  a[3] = A[g + 8][2t + 8 ..]
//     b (16 x 8):               b[0] = B[2t ..][g]      b[1] = B[2t + 8 ..][g]
//
//   tf32, K = 8, the bits of a float in a register:
//     a (16 x 8):               a[0] = A[g][t]          a[1] = A[g + 8][t]
//                               a[2] = A[g][t + 4]      a[3] = A[g + 8][t + 4]
//     b (8 x 8):                b[0] = B[t][g]          b[1] = B[t + 4][g]
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#ifdef EMULATED
// What one lane brings to a product and takes away.
struct EmulatedProduct {
  float* d;
  const unsigned* a;
  const unsigned* b;
};

EMULATOR_UNWATCHED inline float emulated_half(unsigned bits) {
  return __half2float(__ushort_as_half((unsigned short)bits));
}
EMULATOR_UNWATCHED inline float emulated_bfloat(unsigned bits) { return __uint_as_float(bits << 16); }

// D += A B of the 16 x K and K x 8 matrices of a warp, in the order of K.
template <int K>
EMULATOR_UNWATCHED inline void emulated_multiply(EmulatedProduct* (&lanes)[32], const float (&a)[16][K],
                                                 const float (&b)[K][8]) {
  for (int lane = 0; lane < 32; ++lane)
    for (int i = 0; i < 4; ++i) {
      int m = lane / 4 + i / 2 * 8, n = lane % 4 * 2 + i % 2;
      float sum = lanes[lane]->d[i];
      for (int k = 0; k < K; ++k) sum += a[m][k] * b[k][n];
      lanes[lane]->d[i] = sum;
    }
}

template <float (*decoded)(unsigned)>
EMULATOR_UNWATCHED void emulated_multiply_halves(EmulatedProduct* (&lanes)[32]) {
  float a[16][16], b[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i)
      for (int high = 0; high < 2; ++high)
        a[g + i % 2 * 8][2 * t + i / 2 * 8 + high] = decoded(lanes[lane]->a[i] >> 16 * high & 0xffffu);
    for (int i = 0; i < 2; ++i)
      for (int high = 0; high < 2; ++high)
        b[2 * t + i * 8 + high][g] = decoded(lanes[lane]->b[i] >> 16 * high & 0xffffu);
  }
  emulated_multiply(lanes, a, b);
}

// The low 13 bits of a float are not looked at.
EMULATOR_UNWATCHED inline void emulated_multiply_tf32(EmulatedProduct* (&lanes)[32]) {
  float a[16][8], b[8][8];
  for (int lane = 0; lane < 32; ++lane) {
    int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) a[g + i % 2 * 8][t + i / 2 * 4] = __uint_as_float(lanes[lane]->a[i] & 0xffffe000u);
    for (int i = 0; i < 2; ++i) b[t + i * 4][g] = __uint_as_float(lanes[lane]->b[i] & 0xffffe000u);
  }
  emulated_multiply(lanes, a, b);
}
#endif

// ---- products: d += a b ---------------------------------------------------------------------------
__device__ __forceinline__ void multiply_half(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#ifdef EMULATED
  EmulatedProduct mine = {d, a, b};
  emulated_collective("multiply_half", mine, emulated_multiply_halves<emulated_half>);
#else
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

__device__ __forceinline__ void multiply_bfloat(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#ifdef EMULATED
  EmulatedProduct mine = {d, a, b};
  emulated_collective("multiply_bfloat", mine, emulated_multiply_halves<emulated_bfloat>);
#else
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

__device__ __forceinline__ void multiply_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#ifdef EMULATED
  EmulatedProduct mine = {d, a, b};
  emulated_collective("multiply_tf32", mine, emulated_multiply_tf32);
#else
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

// By the type of the factors; floats as tf32.
template <typename T>
__device__ __forceinline__ void multiply_as(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]);
template <>
__device__ __forceinline__ void multiply_as<float>(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  multiply_tf32(d, a, b);
}
template <>
__device__ __forceinline__ void multiply_as<__half>(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  multiply_half(d, a, b);
}
template <>
__device__ __forceinline__ void multiply_as<__nv_bfloat16>(float (&d)[4], const unsigned (&a)[4],
                                                           const unsigned (&b)[2]) {
  multiply_bfloat(d, a, b);
}

// The bits of the nearest float with ten bits of fraction, ties away from zero: products drop the rest.
__device__ __forceinline__ unsigned to_tf32(float x) {
#ifdef EMULATED
  return __float_as_uint(emulated_to_tf32(x));
#else
  unsigned bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
  return bits;
#endif
}

// ---- fragments from shared memory -------------------------------------------------------------------
#ifndef EMULATED
__device__ __forceinline__ unsigned shared_address(const void* shared) {
  return (unsigned)__cvta_generic_to_shared(shared);
}
#else
template <int Count>
EMULATOR_INLINE void emulated_load_matrices(unsigned (&r)[Count], const void* row, bool turned) {
  const unsigned short* rows[32];
  emulated_lanes("load_matrices", (const unsigned short*)row, rows);
  int g = emulated_lane() / 4, t = emulated_lane() % 4;
  for (int i = 0; i < Count; ++i) {
    if ((size_t)rows[8 * i + g] % 16) emulator_error("load_matrices: a row must lie at a multiple of 16 bytes");
    if (turned)
      r[i] = rows[8 * i + 2 * t][g] | (unsigned)rows[8 * i + 2 * t + 1][g] << 16;
    else
      r[i] = *(const unsigned*)(rows[8 * i + g] + 2 * t);
  }
}
#endif

// Four matrices of eight rows of 16 bytes, in shared memory. Lane l brings the address of row l % 8 of matrix l / 8
// (a multiple of 16) and gets in r[i] the four bytes 4 t of row g of matrix i: two halves or one float.
__device__ __forceinline__ void load_matrices(unsigned (&r)[4], const void* row) {
#ifdef EMULATED
  emulated_load_matrices(r, row, false);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(row)) : "memory");
#endif
}

// The same of two matrices; addresses are those of lanes 0 to 15, the others bring any that is valid.
__device__ __forceinline__ void load_matrices(unsigned (&r)[2], const void* row) {
#ifdef EMULATED
  emulated_load_matrices(r, row, false);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
               : "=r"(r[0]), "=r"(r[1]) : "r"(shared_address(row)) : "memory");
#endif
}

// Each matrix of 8 x 8 halves transposed: r[i] gets its elements [2t][g] and [2t + 1][g].
__device__ __forceinline__ void load_matrices_turned(unsigned (&r)[4], const void* row) {
#ifdef EMULATED
  emulated_load_matrices(r, row, true);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(row)) : "memory");
#endif
}

__device__ __forceinline__ void load_matrices_turned(unsigned (&r)[2], const void* row) {
#ifdef EMULATED
  emulated_load_matrices(r, row, true);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
               : "=r"(r[0]), "=r"(r[1]) : "r"(shared_address(row)) : "memory");
#endif
}

// ---- asynchronous copies into shared memory -----------------------------------------------------------
// Bytes = 4, 8 or 16, both addresses multiples of it. The first `valid` bytes, a multiple of four, are copied, the
// rest becomes zero; with valid = 0 nothing is read, whatever `from` is.
template <int Bytes>
__device__ __forceinline__ void copy_async(void* to, const void* from, int valid = Bytes) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16, "a copy takes 4, 8 or 16 bytes");
#ifdef EMULATED
  emulated_copy_async(to, from, Bytes, (unsigned)valid);
#elif __CUDA_ARCH__ < 800
  struct alignas(Bytes) Words {
    unsigned words[Bytes / 4];
  } copied;
  for (int i = 0; i < Bytes / 4; ++i) copied.words[i] = 4 * i < valid ? ((const unsigned*)from)[i] : 0u;
  *(Words*)to = copied;
#else
  if constexpr (Bytes == 16)  // past the first cache: what is staged here is not looked for there
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :: "r"(shared_address(to)), "l"(from), "r"(valid) : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;"
                 :: "r"(shared_address(to)), "l"(from), "n"(Bytes), "r"(valid) : "memory");
#endif
}

// Close the group of this thread's copies since the last one.
__device__ __forceinline__ void copy_commit() {
#ifdef EMULATED
  emulated_copy_commit();
#elif __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Wait until at most Pending groups of this thread are under way. Others see what came after a barrier.
template <int Pending>
__device__ __forceinline__ void copy_wait() {
#ifdef EMULATED
  emulated_copy_wait(Pending);
#elif __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" :: "n"(Pending) : "memory");
#endif
}

// ---- waiting for other blocks -----------------------------------------------------------------------
// What was written before store_release in one block is seen after load_acquire has read the new value in another.
__device__ __forceinline__ unsigned load_acquire(const unsigned* from) {
#ifdef EMULATED
  return emulated_load_acquire(from);
#else
  unsigned value;
  asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(value) : "l"(from) : "memory");
  return value;
#endif
}

__device__ __forceinline__ void store_release(unsigned* to, unsigned value) {
#ifdef EMULATED
  emulated_store_release(to, value);
#else
  asm volatile("st.release.gpu.global.u32 [%0], %1;" :: "l"(to), "r"(value) : "memory");
#endif
}

// Belongs into every loop that polls: the emulator lets others run there.
__device__ __forceinline__ void spin() {
#ifdef EMULATED
  emulated_spin();
#endif
}

// Arithmetic that CUDA has and C has not: fast and rounded functions, bits, loads with cache hints.
#pragma once

// Names that the C library reserves for itself.
#define __expf emulator_expf
#define __exp10f emulator_exp10f
#define __logf emulator_logf
#define __log2f emulator_log2f
#define __log10f emulator_log10f
#define __sinf emulator_sinf
#define __cosf emulator_cosf
#define __tanf emulator_tanf
#define __powf emulator_powf
#define __sincosf emulator_sincosf
#define __tanhf emulator_tanhf

#define EMULATOR_FUNCTION1(name, value) EMULATOR_INLINE float name(float x) { return value; }
#define EMULATOR_FUNCTION2(name, value) EMULATOR_INLINE float name(float x, float y) { return value; }
EMULATOR_FUNCTION1(__expf, expf(x))
EMULATOR_FUNCTION1(__exp10f, powf(10.0f, x))
EMULATOR_FUNCTION1(__logf, logf(x))
EMULATOR_FUNCTION1(__log2f, log2f(x))
EMULATOR_FUNCTION1(__log10f, log10f(x))
EMULATOR_FUNCTION1(__sinf, sinf(x))
EMULATOR_FUNCTION1(__cosf, cosf(x))
EMULATOR_FUNCTION1(__tanf, tanf(x))
EMULATOR_FUNCTION1(__tanhf, tanhf(x))
EMULATOR_FUNCTION1(rsqrtf, 1.0f / sqrtf(x))
EMULATOR_FUNCTION1(__frsqrt_rn, 1.0f / sqrtf(x))
EMULATOR_FUNCTION1(__frcp_rn, 1.0f / x)
EMULATOR_FUNCTION1(__fsqrt_rn, sqrtf(x))
EMULATOR_FUNCTION1(__saturatef, x != x ? 0.0f : fminf(fmaxf(x, 0.0f), 1.0f))
EMULATOR_FUNCTION1(normcdff, 0.5f * erfcf(-x * 0.70710678118654752f))
EMULATOR_FUNCTION1(rcbrtf, 1.0f / cbrtf(x))
EMULATOR_FUNCTION1(sinpif, (float)sin(3.14159265358979324 * (double)x))
EMULATOR_FUNCTION1(cospif, (float)cos(3.14159265358979324 * (double)x))
EMULATOR_FUNCTION2(__fdividef, x / y)
EMULATOR_FUNCTION2(fdividef, x / y)
EMULATOR_FUNCTION2(__powf, powf(x, y))
// Each rounds once: the compiler may not contract them into fused operations.
#define EMULATOR_ROUNDED(name, T, operation) \
  __attribute__((optimize("fp-contract=off"), noinline, unused)) static T name(T x, T y) { return x operation y; }
EMULATOR_ROUNDED(__fadd_rn, float, +)
EMULATOR_ROUNDED(__fsub_rn, float, -)
EMULATOR_ROUNDED(__fmul_rn, float, *)
EMULATOR_ROUNDED(__fdiv_rn, float, /)
EMULATOR_ROUNDED(__dadd_rn, double, +)
EMULATOR_ROUNDED(__dmul_rn, double, *)
EMULATOR_INLINE float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
EMULATOR_INLINE double rsqrt(double x) { return 1 / sqrt(x); }
EMULATOR_INLINE void __sincosf(float x, float* s, float* c) { *s = sinf(x), *c = cosf(x); }
EMULATOR_INLINE void sincospif(float x, float* s, float* c) { *s = sinpif(x), *c = cospif(x); }

template <class A, class B> EMULATOR_INLINE constexpr auto max(A a, B b) -> decltype(a + b) { return a > b ? a : b; }
template <class A, class B> EMULATOR_INLINE constexpr auto min(A a, B b) -> decltype(a + b) { return a < b ? a : b; }
EMULATOR_INLINE float max(float a, float b) { return fmaxf(a, b); }  // of NaN and a number, the number
EMULATOR_INLINE float min(float a, float b) { return fminf(a, b); }

template <class To, class From> EMULATOR_INLINE To emulator_bits(From from) {
  static_assert(sizeof(To) == sizeof(From), "as many bits");
  To to;
  __builtin_memcpy(&to, &from, sizeof to);
  return to;
}
EMULATOR_INLINE int __float_as_int(float x) { return emulator_bits<int>(x); }
EMULATOR_INLINE unsigned __float_as_uint(float x) { return emulator_bits<unsigned>(x); }
EMULATOR_INLINE float __int_as_float(int x) { return emulator_bits<float>(x); }
EMULATOR_INLINE float __uint_as_float(unsigned x) { return emulator_bits<float>(x); }
EMULATOR_INLINE long long __double_as_longlong(double x) { return emulator_bits<long long>(x); }
EMULATOR_INLINE double __longlong_as_double(long long x) { return emulator_bits<double>(x); }
EMULATOR_INLINE int __popc(unsigned x) { return __builtin_popcount(x); }
EMULATOR_INLINE int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
EMULATOR_INLINE int __clz(int x) { return x ? __builtin_clz(x) : 32; }
EMULATOR_INLINE int __clzll(long long x) { return x ? __builtin_clzll(x) : 64; }
EMULATOR_INLINE int __ffs(int x) { return __builtin_ffs(x); }
EMULATOR_INLINE unsigned __brev(unsigned x) {
  unsigned reversed = 0;
  for (int i = 0; i < 32; i++) reversed |= (x >> i & 1u) << (31 - i);
  return reversed;
}
EMULATOR_INLINE unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
  const unsigned long long both = (unsigned long long)y << 32 | x;
  unsigned found = 0;
  for (int i = 0; i < 4; i++) {
    const unsigned code = selector >> 4 * i & 15u, byte = both >> 8 * (code & 7u) & 255u;
    found |= (code & 8u ? (byte & 128u ? 255u : 0u) : byte) << 8 * i;
  }
  return found;
}
EMULATOR_INLINE unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
  return (unsigned)(((unsigned long long)high << 32 | low) << (shift & 31) >> 32);
}
EMULATOR_INLINE unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
  return (unsigned)(((unsigned long long)high << 32 | low) >> (shift & 31));
}
EMULATOR_INLINE unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((unsigned long long)a * b >> 32); }
EMULATOR_INLINE int __mulhi(int a, int b) { return (int)((long long)a * b >> 32); }
EMULATOR_INLINE unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return (unsigned long long)((unsigned __int128)a * b >> 64);
}
EMULATOR_INLINE int __mul24(int a, int b) { return (a << 8 >> 8) * (b << 8 >> 8); }
EMULATOR_INLINE int __float2int_rn(float x) { return (int)nearbyintf(x); }
EMULATOR_INLINE int __float2int_rd(float x) { return (int)floorf(x); }
EMULATOR_INLINE int __float2int_ru(float x) { return (int)ceilf(x); }
EMULATOR_INLINE int __float2int_rz(float x) { return (int)x; }
EMULATOR_INLINE unsigned __float2uint_rn(float x) { return (unsigned)nearbyintf(x); }
EMULATOR_INLINE unsigned __float2uint_rz(float x) { return (unsigned)x; }
EMULATOR_INLINE float __int2float_rn(int x) { return (float)x; }
EMULATOR_INLINE float __uint2float_rn(unsigned x) { return (float)x; }

// Loads and stores with cache hints.
template <class T> EMULATOR_INLINE T __ldcs(const T* p) { return *p; }
template <class T> EMULATOR_INLINE T __ldca(const T* p) { return *p; }
template <class T> EMULATOR_INLINE T __ldcg(const T* p) { return *p; }
template <class T> EMULATOR_INLINE void __stcs(T* p, T value) { *p = value; }
template <class T> EMULATOR_INLINE void __stcg(T* p, T value) { *p = value; }
template <class T> EMULATOR_INLINE void __stwt(T* p, T value) { *p = value; }
// Through the read-only cache: nobody may write there in the same launch.
extern "C" void emulator_read_only(const void* address, unsigned bytes);
#ifdef EMULATOR_CHECK
template <class T> EMULATOR_INLINE T __ldg(const T* p) {
  emulator_read_only(p, sizeof(T));
  return *p;
}
#else
template <class T> EMULATOR_INLINE T __ldg(const T* p) { return *p; }
#endif
#define __builtin_assume(condition) ((void)0)
#define __builtin_assume_aligned(pointer, ...) (pointer)

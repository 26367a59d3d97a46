// float16 and bfloat16: stored in 16 bits, computed in float and rounded to nearest even.
#pragma once

struct __half {
  unsigned short bits;
  __half() = default;
  __half(float x) : bits(encode(x)) {}
  __half(double x) : bits(encode((float)x)) {}
  __half(int x) : bits(encode((float)x)) {}
  operator float() const { return (float)emulator_bits<_Float16>(bits); }
  static unsigned short encode(float x) { return emulator_bits<unsigned short>((_Float16)x); }
};

struct __nv_bfloat16 {
  unsigned short bits;
  __nv_bfloat16() = default;
  __nv_bfloat16(float x) : bits(encode(x)) {}
  __nv_bfloat16(double x) : bits(encode((float)x)) {}
  __nv_bfloat16(int x) : bits(encode((float)x)) {}
  operator float() const { return emulator_bits<float>((unsigned)bits << 16); }
  static unsigned short encode(float x) {
    const unsigned word = emulator_bits<unsigned>(x);
    if ((word & 0x7fffffffu) > 0x7f800000u) return 0x7fff;  // NaN
    return (unsigned short)((word + 0x7fffu + (word >> 16 & 1u)) >> 16);
  }
};
struct alignas(4) __half2 { __half x, y; };
struct alignas(4) __nv_bfloat162 { __nv_bfloat16 x, y; };
typedef __half half;
typedef __half2 half2;
typedef __nv_bfloat16 nv_bfloat16;
typedef __nv_bfloat162 nv_bfloat162;
struct __half_raw { unsigned short x; };

#define EMULATOR_OPERATOR(H, symbol) \
  EMULATOR_INLINE H operator symbol(H a, H b) { return H((float)a symbol (float)b); } \
  EMULATOR_INLINE H& operator symbol##=(H& a, H b) { return a = a symbol b; }
#define EMULATOR_COMPARISON(H, symbol, name) \
  EMULATOR_INLINE bool operator symbol(H a, H b) { return (float)a symbol (float)b; } \
  EMULATOR_INLINE bool name(H a, H b) { return (float)a symbol (float)b; }
#define EMULATOR_HALF(H, H2) \
  EMULATOR_OPERATOR(H, +) EMULATOR_OPERATOR(H, -) EMULATOR_OPERATOR(H, *) EMULATOR_OPERATOR(H, /) \
  EMULATOR_COMPARISON(H, <, __hlt) EMULATOR_COMPARISON(H, <=, __hle) EMULATOR_COMPARISON(H, >, __hgt) \
  EMULATOR_COMPARISON(H, >=, __hge) EMULATOR_COMPARISON(H, ==, __heq) EMULATOR_COMPARISON(H, !=, __hne) \
  EMULATOR_INLINE H operator-(H a) { return H(-(float)a); } \
  EMULATOR_INLINE H __hadd(H a, H b) { return a + b; } \
  EMULATOR_INLINE H __hsub(H a, H b) { return a - b; } \
  EMULATOR_INLINE H __hmul(H a, H b) { return a * b; } \
  EMULATOR_INLINE H __hdiv(H a, H b) { return a / b; } \
  EMULATOR_INLINE H __hneg(H a) { return -a; } \
  EMULATOR_INLINE H __hfma(H a, H b, H c) { return H(fmaf((float)a, (float)b, (float)c)); } \
  EMULATOR_INLINE H __hmax(H a, H b) { return H(fmaxf((float)a, (float)b)); } \
  EMULATOR_INLINE H __hmin(H a, H b) { return H(fminf((float)a, (float)b)); } \
  EMULATOR_INLINE bool __hisnan(H a) { return (float)a != (float)a; } \
  EMULATOR_INLINE H2 __hadd2(H2 a, H2 b) { return {a.x + b.x, a.y + b.y}; } \
  EMULATOR_INLINE H2 __hmul2(H2 a, H2 b) { return {a.x * b.x, a.y * b.y}; } \
  EMULATOR_INLINE H2 __hfma2(H2 a, H2 b, H2 c) { return {__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y)}; }
EMULATOR_HALF(__half, __half2)
EMULATOR_HALF(__nv_bfloat16, __nv_bfloat162)

EMULATOR_INLINE float __half2float(__half x) { return x; }
EMULATOR_INLINE __half __float2half(float x) { return __half(x); }
EMULATOR_INLINE __half __float2half_rn(float x) { return __half(x); }
EMULATOR_INLINE float __bfloat162float(__nv_bfloat16 x) { return x; }
EMULATOR_INLINE __nv_bfloat16 __float2bfloat16(float x) { return __nv_bfloat16(x); }
EMULATOR_INLINE __nv_bfloat16 __float2bfloat16_rn(float x) { return __nv_bfloat16(x); }
EMULATOR_INLINE __half2 __halves2half2(__half x, __half y) { return {x, y}; }
EMULATOR_INLINE __half2 __half2half2(__half x) { return {x, x}; }
EMULATOR_INLINE __half __low2half(__half2 v) { return v.x; }
EMULATOR_INLINE __half __high2half(__half2 v) { return v.y; }
EMULATOR_INLINE float __low2float(__half2 v) { return v.x; }
EMULATOR_INLINE float __high2float(__half2 v) { return v.y; }
EMULATOR_INLINE float __low2float(__nv_bfloat162 v) { return v.x; }
EMULATOR_INLINE float __high2float(__nv_bfloat162 v) { return v.y; }
EMULATOR_INLINE float2 __half22float2(__half2 v) { return {(float)v.x, (float)v.y}; }
EMULATOR_INLINE __half2 __floats2half2_rn(float x, float y) { return {__half(x), __half(y)}; }
EMULATOR_INLINE __half2 __float22half2_rn(float2 v) { return {__half(v.x), __half(v.y)}; }
EMULATOR_INLINE float2 __bfloat1622float2(__nv_bfloat162 v) { return {(float)v.x, (float)v.y}; }
EMULATOR_INLINE __nv_bfloat162 __floats2bfloat162_rn(float x, float y) {
  return {__nv_bfloat16(x), __nv_bfloat16(y)};
}
EMULATOR_INLINE __nv_bfloat162 __float22bfloat162_rn(float2 v) { return {__nv_bfloat16(v.x), __nv_bfloat16(v.y)}; }
EMULATOR_INLINE __nv_bfloat162 __halves2bfloat162(__nv_bfloat16 x, __nv_bfloat16 y) { return {x, y}; }
EMULATOR_INLINE unsigned short __half_as_ushort(__half x) { return x.bits; }
EMULATOR_INLINE unsigned short __bfloat16_as_ushort(__nv_bfloat16 x) { return x.bits; }
EMULATOR_INLINE __half __ushort_as_half(unsigned short x) { return emulator_bits<__half>(x); }
EMULATOR_INLINE __nv_bfloat16 __ushort_as_bfloat16(unsigned short x) { return emulator_bits<__nv_bfloat16>(x); }

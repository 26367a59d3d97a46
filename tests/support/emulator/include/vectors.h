// CUDA's short vectors, with its alignment.
#pragma once

#define EMULATOR_VECTOR2(T, name, alignment) \
  struct alignas(alignment) name##2 { T x, y; }; \
  EMULATOR_INLINE name##2 make_##name##2(T x, T y) { return {x, y}; }
#define EMULATOR_VECTOR3(T, name) \
  struct name##3 { T x, y, z; }; \
  EMULATOR_INLINE name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }
#define EMULATOR_VECTOR4(T, name, alignment) \
  struct alignas(alignment) name##4 { T x, y, z, w; }; \
  EMULATOR_INLINE name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
#define EMULATOR_VECTORS(T, name, size) \
  EMULATOR_VECTOR2(T, name, 2 * size) EMULATOR_VECTOR3(T, name) \
  EMULATOR_VECTOR4(T, name, (size == 8 ? 16 : 4 * size))

EMULATOR_VECTORS(float, float, 4)
EMULATOR_VECTORS(double, double, 8)
EMULATOR_VECTORS(int, int, 4)
EMULATOR_VECTORS(unsigned int, uint, 4)
EMULATOR_VECTORS(short, short, 2)
EMULATOR_VECTORS(unsigned short, ushort, 2)
EMULATOR_VECTORS(signed char, char, 1)
EMULATOR_VECTORS(unsigned char, uchar, 1)
EMULATOR_VECTORS(long long, longlong, 8)
EMULATOR_VECTORS(unsigned long long, ulonglong, 8)

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

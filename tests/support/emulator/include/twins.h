// For the plain C++ twins of inline PTX (`#ifdef EMULATED` in kernels/*.cuh).
#pragma once

// ---- all 32 lanes meet and see what each brought --------------------------------------------------
// emulated_lanes("ldmatrix", address, all): all[i] becomes the value of lane i.
template <class T> EMULATOR_UNWATCHED static __attribute__((noinline))
void emulated_lanes(const char* name, const T& mine, T (&all)[32]) {
  static_assert(sizeof(T) <= 64, "up to 64 bytes a lane");
  const EmulatorExchange met = emulator_exchange(0xffffffffu, name, &mine, sizeof(T));
  if (met.present != 0xffffffffu) emulator_error("%s needs all 32 lanes, present are %08x", name, met.present);
  for (int lane = 0; lane < 32; lane++) __builtin_memcpy(&all[lane], met.slots[lane], sizeof(T));
}

// emulated_collective("mma", mine, [](Packet* (&lanes)[32]) {...}): the last lane to come computes for all, reading
// and writing the packets (registers) of each.
extern "C" void emulator_collective(const char* name, void* packet, void (*compute)(void**));
template <class Packet, class Compute>
static void emulated_collective(const char* name, Packet& mine, Compute compute) {
  static Compute* given;                     // that of the lane which comes last
  given = &compute;
  emulator_collective(name, &mine, [](void** packets) EMULATOR_UNWATCHED {
    Packet* lanes[32];
    for (int lane = 0; lane < 32; lane++) lanes[lane] = (Packet*)packets[lane];
    (*given)(lanes);
  });
}
EMULATOR_INLINE int emulated_lane() { return emulator_lane(); }

// ---- asynchronous copies (cp.async): they arrive when they are waited for --------------------------
extern "C" {
void emulator_copy_async(void* target, const void* source, unsigned bytes, unsigned valid);
void emulator_copy_commit();
void emulator_copy_wait(int pending);
void emulator_spin();
}
// `valid` bytes are copied, the rest of `bytes` becomes zero.
EMULATOR_INLINE void emulated_copy_async(void* shared, const void* global, unsigned bytes, unsigned valid) {
  emulator_copy_async(shared, global, bytes, valid);
}
EMULATOR_INLINE void emulated_copy_async(void* shared, const void* global, unsigned bytes) {
  emulator_copy_async(shared, global, bytes, bytes);
}
EMULATOR_INLINE void emulated_copy_commit() { emulator_copy_commit(); }
EMULATOR_INLINE void emulated_copy_wait(int pending) { emulator_copy_wait(pending); }

// ---- blocks that wait for blocks ------------------------------------------------------------------
// In the body of a loop that polls memory: others run meanwhile, and further blocks are started.
EMULATOR_INLINE void emulated_spin() { emulator_spin(); }
// ld.acquire and st.release: with the fence that belongs to each.
template <class T> EMULATOR_UNWATCHED static __attribute__((noinline)) T emulated_load_acquire(const T* address) {
  EMULATOR_ATOMIC(address, sizeof(T), 2);
  const T value = *(const volatile T*)address;
  __threadfence();
  return value;
}
template <class T> EMULATOR_UNWATCHED static __attribute__((noinline)) void emulated_store_release(T* address, T value) {
  __threadfence();
  EMULATOR_ATOMIC(address, sizeof(T), 3);
  *(volatile T*)address = value;
}

// cvt.rna.tf32.f32: to nearest, ties away from zero.
EMULATOR_INLINE float emulated_to_tf32(float x) {
  unsigned word = __float_as_uint(x);
  if ((word & 0x7f800000u) != 0x7f800000u) word += 0x1000u;
  return __uint_as_float(word & 0xffffe000u);
}

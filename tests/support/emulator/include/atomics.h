// Atomic operations and fences. Threads change only where they wait, so a plain update is atomic here; tier check
// is told that it was meant so.
#pragma once

extern "C" {
void emulator_atomic(const void* address, unsigned bytes, int kind);  // 2 read, 3 write, 4 update
void emulator_fence();
}
#ifdef EMULATOR_CHECK
#define EMULATOR_ATOMIC(address, bytes, kind) emulator_atomic(address, bytes, kind)
EMULATOR_INLINE void __threadfence() { emulator_fence(); }
#else
#define EMULATOR_ATOMIC(address, bytes, kind) ((void)0)
EMULATOR_INLINE void __threadfence() {}
#endif
EMULATOR_INLINE void __threadfence_block() { __threadfence(); }
EMULATOR_INLINE void __threadfence_system() { __threadfence(); }

#define EMULATOR_UPDATE(name, T, expression) \
  EMULATOR_UNWATCHED static __attribute__((noinline, unused)) T name(T* address, T value) { \
    EMULATOR_ATOMIC(address, sizeof(T), 4); \
    const T old = *address; \
    *address = (expression); \
    return old; \
  }
EMULATOR_UPDATE(atomicAdd, float, old + value)
EMULATOR_UPDATE(atomicAdd, double, old + value)
EMULATOR_UPDATE(atomicAdd, int, (int)((unsigned)old + (unsigned)value))
EMULATOR_UPDATE(atomicAdd, unsigned, old + value)
EMULATOR_UPDATE(atomicAdd, unsigned long long, old + value)
EMULATOR_UPDATE(atomicAdd, __half, old + value)
EMULATOR_UPDATE(atomicAdd, __nv_bfloat16, old + value)
EMULATOR_UPDATE(atomicSub, int, (int)((unsigned)old - (unsigned)value))
EMULATOR_UPDATE(atomicSub, unsigned, old - value)
#define EMULATOR_UPDATES(T) \
  EMULATOR_UPDATE(atomicMax, T, old > value ? old : value) \
  EMULATOR_UPDATE(atomicMin, T, old < value ? old : value) \
  EMULATOR_UPDATE(atomicAnd, T, old & value) \
  EMULATOR_UPDATE(atomicOr, T, old | value) \
  EMULATOR_UPDATE(atomicXor, T, old ^ value)
EMULATOR_UPDATES(int)
EMULATOR_UPDATES(unsigned)
EMULATOR_UPDATES(unsigned long long)
EMULATOR_UPDATE(atomicInc, unsigned, old >= value ? 0u : old + 1u)
EMULATOR_UPDATE(atomicDec, unsigned, old == 0 || old > value ? value : old - 1u)

#define EMULATOR_EXCHANGE(T) \
  EMULATOR_UNWATCHED static __attribute__((noinline, unused)) T atomicExch(T* address, T value) { \
    EMULATOR_ATOMIC(address, sizeof(T), 3); \
    const T old = *address; \
    *address = value; \
    return old; \
  }
EMULATOR_EXCHANGE(int)
EMULATOR_EXCHANGE(unsigned)
EMULATOR_EXCHANGE(unsigned long long)
EMULATOR_EXCHANGE(float)

#define EMULATOR_COMPARE(T) \
  EMULATOR_UNWATCHED static __attribute__((noinline, unused)) T atomicCAS(T* address, T expected, T value) { \
    EMULATOR_ATOMIC(address, sizeof(T), 4); \
    const T old = *address; \
    if (old == expected) *address = value; \
    return old; \
  }
EMULATOR_COMPARE(int)
EMULATOR_COMPARE(unsigned)
EMULATOR_COMPARE(unsigned long long)
EMULATOR_COMPARE(unsigned short)

// Operations in which lanes of a warp meet: shuffles, votes, __syncwarp.
#pragma once

extern "C" {
struct EmulatorExchange { unsigned char (*slots)[64]; unsigned present; };
EmulatorExchange emulator_exchange(unsigned mask, const char* name, const void* value, unsigned bytes);
void emulator_syncwarp(unsigned mask);
unsigned emulator_active();
int emulator_lane();
}

EMULATOR_INLINE void __syncwarp(unsigned mask = 0xffffffffu) { emulator_syncwarp(mask); }
EMULATOR_INLINE unsigned __activemask() { return emulator_active(); }

template <class T> EMULATOR_UNWATCHED __attribute__((noinline))
static T emulator_shuffle(unsigned mask, const char* name, T value, int source) {
  static_assert(sizeof(T) <= 8, "a shuffle moves up to 8 bytes");
  const EmulatorExchange met = emulator_exchange(mask, name, &value, sizeof value);
  if (!(met.present >> source & 1u))
    emulator_error("%s reads lane %d, which does not take part (mask %08x, present %08x)", name, source, mask,
                   met.present);
  T found;
  __builtin_memcpy(&found, met.slots[source], sizeof found);
  return found;
}
// Of `width` lanes each: a source outside of one's own group is oneself.
template <class T> EMULATOR_INLINE T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
  const int lane = emulator_lane();
  return emulator_shuffle(mask, "__shfl_sync", value, (lane & ~(width - 1)) + (source & (width - 1)));
}
template <class T> EMULATOR_INLINE T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  const int lane = emulator_lane(), source = (lane & (width - 1)) - (int)delta;
  return emulator_shuffle(mask, "__shfl_up_sync", value, source < 0 ? lane : lane - (int)delta);
}
template <class T> EMULATOR_INLINE T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  const int lane = emulator_lane(), source = (lane & (width - 1)) + (int)delta;
  return emulator_shuffle(mask, "__shfl_down_sync", value, source >= width ? lane : lane + (int)delta);
}
template <class T> EMULATOR_INLINE T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32) {
  const int lane = emulator_lane(), source = lane ^ lanes;
  return emulator_shuffle(mask, "__shfl_xor_sync", value, source / width > lane / width ? lane : source);
}

EMULATOR_UNWATCHED static __attribute__((noinline, unused)) unsigned emulator_vote(unsigned mask, const char* name, int vote) {
  const EmulatorExchange met = emulator_exchange(mask, name, &vote, sizeof vote);
  unsigned found = 0;
  for (int lane = 0; lane < 32; lane++)
    if (met.present >> lane & 1u && *(const int*)met.slots[lane]) found |= 1u << lane;
  return found;
}
EMULATOR_INLINE unsigned __ballot_sync(unsigned mask, int vote) { return emulator_vote(mask, "__ballot_sync", vote); }
EMULATOR_INLINE int __any_sync(unsigned mask, int vote) { return emulator_vote(mask, "__any_sync", vote) != 0; }
EMULATOR_INLINE int __all_sync(unsigned mask, int vote) { return emulator_vote(mask, "__all_sync", !vote) == 0; }

template <class T> EMULATOR_UNWATCHED static T emulator_reduce(unsigned mask, const char* name, T value, T (*join)(T, T)) {
  const EmulatorExchange met = emulator_exchange(mask, name, &value, sizeof value);
  bool first = true;
  T found{};
  for (int lane = 0; lane < 32; lane++) {
    if (!(met.present >> lane & 1u)) continue;
    T theirs;
    __builtin_memcpy(&theirs, met.slots[lane], sizeof theirs);
    found = first ? theirs : join(found, theirs);
    first = false;
  }
  return found;
}
#define EMULATOR_REDUCE(name, expression) \
  EMULATOR_INLINE unsigned name(unsigned mask, unsigned value) { \
    return emulator_reduce<unsigned>(mask, #name, value, [](unsigned a, unsigned b) { return expression; }); } \
  EMULATOR_INLINE int name(unsigned mask, int value) { \
    return emulator_reduce<int>(mask, #name, value, [](int a, int b) { return (int)(expression); }); }
EMULATOR_REDUCE(__reduce_add_sync, a + b)
EMULATOR_REDUCE(__reduce_max_sync, a > b ? a : b)
EMULATOR_REDUCE(__reduce_min_sync, a < b ? a : b)
EMULATOR_REDUCE(__reduce_or_sync, a | b)
EMULATOR_REDUCE(__reduce_and_sync, a & b)

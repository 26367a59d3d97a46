// Tier check: every access of a kernel passes here.
//
// g++ compiles kernels for its thread sanitizer, so a call stands before each load and store; the functions called
// are ours. An access must lie inside one argument or shared array, be aligned, not write what is const, not read
// shared memory nobody has written, and be ordered with what other threads did there (order.cpp).
#include "runtime.h"

#include <algorithm>
#include <cstring>

namespace {
// What is known of a few bytes: the last write, and the last read with whether others read as well.
struct Cell {
  Stamp write, read;
  unsigned char write_atomic, read_atomic;
  unsigned char readers;                     // 1: one thread, 2: one warp, 3: more
  unsigned char pending;                     // an asynchronous copy is on its way
};
}  // namespace

struct Region {
  uintptr_t start, end;
  bool shared, constant;
  unsigned grain;                            // bytes of a cell; halved when smaller accesses come
  std::string name;
  std::vector<Cell> cells;
};
template <> void Dropped<Region>::operator()(Region* region) const { delete region; }

namespace {
std::vector<Region> arguments;
Region* last_found = nullptr;

void prepare(Region& region, void* memory, size_t bytes, const char* name, bool shared, bool constant) {
  region.start = reinterpret_cast<uintptr_t>(memory);
  region.end = region.start + bytes;
  region.shared = shared;
  region.constant = constant;
  region.grain = 4;
  region.name = name;
  region.cells.assign((bytes + 3) / 4, Cell{});
}

Region* find(uintptr_t address) {
  for (int i = 0; i < block_now->region_count; i++) {
    Region* region = block_now->regions[i].get();
    if (address >= region->start && address < region->end) return region;
  }
  for (Region& region : arguments)
    if (address >= region.start && address < region.end) return &region;
  return nullptr;
}

const char* verb(Access kind) {
  return kind == Access::read || kind == Access::atomic_read ? "read" : kind == Access::update ? "atomic update"
                                                                                               : "write";
}
const char* kind_of(const Region& region) { return region.shared ? "shared array" : "argument"; }

__attribute__((noinline)) void outside(uintptr_t address, unsigned bytes, Access kind, void* site) {
  for (const auto& segment : kernel_segments())   // constants and globals
    if (address >= segment.first && address < segment.second) return;
  const Region* nearest = nullptr;
  long best = 1L << 20;
  auto look = [&](const Region& region) {
    const long distance = address < region.start ? region.start - address : address - region.end;
    if (distance < best) best = distance, nearest = &region;
  };
  for (int i = 0; i < block_now->region_count; i++) look(*block_now->regions[i]);
  for (const Region& region : arguments) look(region);
  if (nearest)
    emulator_error("out-of-bounds %s of %u bytes at byte offset %ld of %s '%s' (%zu bytes) pc=%p", verb(kind), bytes,
                   static_cast<long>(address - nearest->start), kind_of(*nearest), nearest->name.c_str(),
                   static_cast<size_t>(nearest->end - nearest->start), site);
  emulator_error("%s of %u bytes at %p, near no argument pc=%p", verb(kind), bytes,
                 reinterpret_cast<void*>(address), site);
}

// Smaller accesses than a cell's have come: split the cells, each part as the whole was.
void refine(Region& region, unsigned grain) {
  const unsigned parts = region.grain / grain;
  std::vector<Cell> finer(region.cells.size() * parts);
  for (size_t i = 0; i < finer.size(); i++) finer[i] = region.cells[i / parts];
  region.cells.swap(finer);
  region.grain = grain;
}

__attribute__((noinline)) void race(const Region& region, uintptr_t offset, Access kind, const char* other_kind,
                                    const Stamp& other, void* site) {
  const long block = launch.block_of_serial[other.block - launch.first_serial];
  emulator_error("data race on %s '%s' at byte offset %zu: %s by this thread, %s by thread %d of block %ld, with "
                 "nothing that orders them pc=%p", kind_of(region), region.name.c_str(),
                 static_cast<size_t>(offset), verb(kind), other_kind, other.thread, block, site);
}

inline void check_cell(const Region& region, Cell& cell, uintptr_t offset, Access kind, void* site) {
  const bool writes = kind == Access::write || kind == Access::atomic_write || kind == Access::update;
  const bool atomic = kind >= Access::atomic_read;
  if (cell.pending)
    emulator_error("%s of %s '%s' at byte offset %zu while an asynchronous copy to it is under way: a wait is "
                   "missing pc=%p", verb(kind), kind_of(region), region.name.c_str(), static_cast<size_t>(offset), site);
  if (region.shared && !cell.write.block && kind != Access::write && kind != Access::atomic_write)
    emulator_error("%s of uninitialised shared memory: '%s' at byte offset %zu pc=%p", verb(kind),
                   region.name.c_str(), static_cast<size_t>(offset), site);
  if (cell.write.block && !(atomic && cell.write_atomic) && !happened_before(cell.write))
    race(region, offset, kind, "write", cell.write, site);
  const Stamp now = stamp_now();
  if (!writes) {
    Stamp& last = cell.read;
    if (last.block != now.block || last.epoch != now.epoch) cell.readers = 1;
    else if (last.thread != now.thread) cell.readers = last.thread / WARP != now.thread / WARP ? 3
                                                     : cell.readers < 2 ? 2 : cell.readers;
    last = now;
    cell.read_atomic = atomic;
    return;
  }
  if (cell.read.block && !(atomic && cell.read_atomic)) {
    bool ordered = happened_before(cell.read);
    // Of several readers only the last is known: others of its block and epoch read as well.
    if (ordered && cell.readers > 1 && cell.read.block == now.block && cell.read.epoch == now.epoch)
      ordered = cell.readers == 2 && cell.read.warp_epoch < now.warp_epoch &&
                cell.read.thread / WARP == now.thread / WARP;
    if (!ordered) race(region, offset, kind, "read", cell.read, site);
  }
  cell.write = now;
  cell.write_atomic = atomic;
}

inline void access(uintptr_t address, unsigned bytes, Access kind, void* site) {
  if (in_stacks(address) || !current || launch.failed) return;
  if (address - reinterpret_cast<uintptr_t>(&emulator_indices) < sizeof emulator_indices) return;
  Region* region = last_found;
  if (!region || address < region->start || address >= region->end) {
    region = find(address);
    if (!region) return outside(address, bytes, kind, site);
    last_found = region;
  }
  if (address + bytes > region->end)
    emulator_error("out-of-bounds %s of %u bytes across the end of %s '%s' (%zu bytes) pc=%p", verb(kind), bytes,
                   kind_of(*region), region->name.c_str(), static_cast<size_t>(region->end - region->start), site);
  const bool writes = kind == Access::write || kind == Access::atomic_write || kind == Access::update;
  if (writes && region->constant)
    emulator_error("write to const argument '%s' at byte offset %zu pc=%p", region->name.c_str(),
                   static_cast<size_t>(address - region->start), site);
  const uintptr_t offset = address - region->start;
  unsigned grain = region->grain;
  while (bytes % grain || offset % grain) grain /= 2;
  if (grain != region->grain) refine(*region, grain);
  for (uintptr_t at = offset; at < offset + bytes; at += region->grain)
    check_cell(*region, region->cells[at / region->grain], at, kind, site);
  if (launch.request->trace_blocks && block_now->number < launch.request->trace_blocks)
    requests_note(site, reinterpret_cast<void*>(address), bytes, writes, region->shared);
}
}  // namespace

void checker_begin(const LaunchRequest& request) {
  arguments.clear();
  arguments.reserve(request.array_count);
  last_found = nullptr;
}

void checker_end() {
  requests_flush();
  arguments.clear();
  last_found = nullptr;
}

Region* checker_shared(Owned<Region>& reused, void* memory, size_t bytes, const char* name) {
  if (!reused) reused.reset(new Region);
  prepare(*reused, memory, bytes, name, true, false);
  last_found = nullptr;
  return reused.get();
}

void checker_argument(void* memory, size_t bytes, const char* name, bool constant) {
  arguments.emplace_back();
  prepare(arguments.back(), memory, bytes, name, false, constant);
}

void checker_access(const void* address, unsigned bytes, Access kind, void* site) {
  access(reinterpret_cast<uintptr_t>(address), bytes, kind, site);
}

void checker_pending(const void* address_, unsigned bytes, bool pending) {
  const auto address = reinterpret_cast<uintptr_t>(address_);
  Region* region = find(address);
  if (!region) return;
  for (uintptr_t at = address - region->start; at < address - region->start + bytes; at += region->grain)
    region->cells[at / region->grain].pending = pending;
}

// ---- what instrumented kernels call ---------------------------------------------------------------
extern "C" {
#define HOOK(name, bytes, kind) \
  void __tsan_##name##bytes(void* address) { \
    access(reinterpret_cast<uintptr_t>(address), bytes, kind, __builtin_return_address(0)); \
  }
// Volatile accesses are relaxed atomic ones, as in CUDA's memory model.
#define VOLATILE(name, bytes, kind) \
  void __tsan_volatile_##name##bytes(void* address) { \
    access(reinterpret_cast<uintptr_t>(address), bytes, kind, __builtin_return_address(0)); \
    if (current && !in_stacks(reinterpret_cast<uintptr_t>(address))) order_atomic(address, kind); \
  } \
  void __tsan_unaligned_volatile_##name##bytes(void* address) { __tsan_volatile_##name##bytes(address); }
#define HOOKS(bytes) \
  HOOK(read, bytes, Access::read) HOOK(write, bytes, Access::write) \
  HOOK(unaligned_read, bytes, Access::read) HOOK(unaligned_write, bytes, Access::write) \
  VOLATILE(read, bytes, Access::atomic_read) VOLATILE(write, bytes, Access::atomic_write)
HOOKS(1) HOOKS(2) HOOKS(4) HOOKS(8) HOOKS(16)

static void range(void* from, unsigned long bytes, Access kind, void* site) {
  auto address = reinterpret_cast<uintptr_t>(from);
  for (const uintptr_t end = address + bytes; address < end;) {
    const unsigned step = address % 4 == 0 && end - address >= 4 ? 4 : 1;
    access(address, step, kind, site);
    address += step;
  }
}
void __tsan_read_range(void* from, unsigned long bytes) {
  range(from, bytes, Access::read, __builtin_return_address(0));
}
void __tsan_write_range(void* from, unsigned long bytes) {
  range(from, bytes, Access::write, __builtin_return_address(0));
}
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}

// Atomic operations say so themselves: 2 read, 3 write, 4 update.
void emulator_atomic(const void* address, unsigned bytes, int kind_) {
  const auto kind = static_cast<Access>(kind_);
  if (reinterpret_cast<uintptr_t>(address) % bytes)
    emulator_error("misaligned %s of %u bytes at %p", verb(kind), bytes, address);
  access(reinterpret_cast<uintptr_t>(address), bytes, kind, __builtin_return_address(0));
  order_atomic(address, kind);
}

// A load through the read-only cache: nobody may have written there in this launch.
void emulator_read_only(const void* address_, unsigned) {
  const auto address = reinterpret_cast<uintptr_t>(address_);
  Region* region = find(address);
  if (region && !region->shared && region->cells[(address - region->start) / region->grain].write.block)
    emulator_error("__ldg of argument '%s' at byte offset %zu, written in the same launch", region->name.c_str(),
                   static_cast<size_t>(address - region->start));
}
}

// Shared memory of a block, and asynchronous copies into it.
#include "runtime.h"

#include <cstring>
#include <sys/mman.h>

namespace {
constexpr size_t STATIC_LIMIT = 48 * 1024;   // what a compiler accepts
constexpr size_t STATIC_MAPPED = 128 * 1024;
constexpr size_t GAP = 64;                   // of canaries after each array

size_t rounded(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

unsigned char* map_guarded(size_t bytes) {
  auto* memory = static_cast<unsigned char*>(
      mmap(nullptr, bytes + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  mprotect(memory + PAGE, bytes, PROT_READ | PROT_WRITE);
  return memory + PAGE;
}

// The end of dynamic memory lies at a guard page; what rounding leaves over holds canaries.
unsigned char* dynamic_start(const Block& block) {
  return block.dynamic_map + block.dynamic_mapped - rounded(launch.request->dynamic_shared, 16);
}

Region* shared_region(Block& block, void* memory, size_t bytes, const char* name) {
  const int number = block.region_count++;
  if (number == static_cast<int>(block.regions.size())) block.regions.push_back(nullptr);
  return checker_shared(block.regions[number], memory, bytes, name);
}
}  // namespace

void shared_begin(Block& block) {
  const size_t bytes = launch.request->dynamic_shared, mapped = rounded(bytes, PAGE);
  if (!block.static_memory) block.static_memory = map_guarded(STATIC_MAPPED);
  if (mapped > block.dynamic_mapped) {
    if (block.dynamic_mapped) munmap(block.dynamic_map - PAGE, block.dynamic_mapped + 2 * PAGE);
    block.dynamic_map = map_guarded(mapped);
    block.dynamic_mapped = mapped;
  }
  block.arrays.clear();
  block.static_used = block.static_declared = 0;
  block.region_count = 0;
  if (!bytes) return;
  unsigned char* start = dynamic_start(block);
  std::memset(start, RUBBISH, bytes);
  put_canaries(start + bytes, rounded(bytes, 16) - bytes);
  if (checking) shared_region(block, start, bytes, "dynamic shared memory");
}

static void check_canaries(const unsigned char* from, size_t bytes, const char* name) {
  for (size_t i = 0; i < bytes; i++)
    if (from[i] != canary(from + i)) {
      emulator_error("a thread of this block wrote %zu bytes past the end of %s", i, name);
      return;
    }
}

void shared_end(Block& block) {
  const size_t bytes = launch.request->dynamic_shared;
  if (bytes) check_canaries(dynamic_start(block) + bytes, rounded(bytes, 16) - bytes, "dynamic shared memory");
  for (const SharedArray& array : block.arrays) check_canaries(array.memory + array.bytes, GAP / 2, array.name);
  if (block.static_declared > launch.static_shared) launch.static_shared = block.static_declared;
}

// Say where an address lies, if it is at a guard page of dynamic shared memory.
bool shared_describe(uintptr_t address, std::string& text) {
  const auto map = reinterpret_cast<uintptr_t>(block_now->dynamic_map);
  const size_t bytes = launch.request->dynamic_shared;
  if (!bytes || address < map - PAGE || address >= map + block_now->dynamic_mapped + PAGE) return false;
  const long offset = static_cast<long>(address - reinterpret_cast<uintptr_t>(dynamic_start(*block_now)));
  text = "byte offset " + std::to_string(offset) + " of dynamic shared memory (" + std::to_string(bytes) + " bytes)";
  return true;
}

// ---- asynchronous copies -------------------------------------------------------------------------
// They happen as late as a GPU may do them: when they are waited for. Until then their target holds rubbish,
// and nobody may touch it.
struct AsyncCopy { void* target; const void* source; unsigned bytes, valid; };
struct AsyncCopies {
  std::vector<std::vector<AsyncCopy>> groups;  // committed, oldest first
  std::vector<AsyncCopy> open;
};

template <> void Dropped<AsyncCopies>::operator()(AsyncCopies* copies) const { delete copies; }

void copies_drop(Thread& thread) { thread.copies.reset(); }

static void finish(const AsyncCopy& copy) {
  auto* target = static_cast<unsigned char*>(copy.target);
  if (checking) checker_pending(target, copy.bytes, false);
  std::memcpy(target, copy.source, copy.valid);
  std::memset(target + copy.valid, 0, copy.bytes - copy.valid);
  if (checking) checker_access(target, copy.bytes, Access::write, __builtin_return_address(0));
}

// ---- what kernels call ---------------------------------------------------------------------------
extern "C" {

// The memory of one __shared__ declaration (`site`) in this block.
void* emulator_shared(const void* site, size_t bytes, size_t alignment, const char* name) {
  Block& block = *block_now;
  for (const SharedArray& array : block.arrays)
    if (array.site == site) return array.memory;
  // As badly aligned as its declaration allows: vector loads need __align__.
  size_t start = rounded(block.static_used, alignment < 16 ? 16 : alignment) + (alignment < 16 ? alignment : 0);
  block.static_declared = rounded(block.static_declared, alignment) + bytes;
  if (block.static_declared > STATIC_LIMIT || start + bytes + GAP > STATIC_MAPPED)
    emulator_error("%zu bytes of static shared memory with '%s', a kernel may have %zu: use dynamic shared memory",
                   block.static_declared, name, STATIC_LIMIT);
  if (block.static_declared + launch.request->dynamic_shared > launch.request->shared_limit)
    emulator_error("%zu bytes of static and %zu of dynamic shared memory, this GPU has %zu a block",
                   block.static_declared, launch.request->dynamic_shared, launch.request->shared_limit);
  unsigned char* memory = block.static_memory + start;
  std::memset(memory, RUBBISH, bytes);
  put_canaries(memory + bytes, GAP);
  block.static_used = start + bytes + GAP / 2;
  block.arrays.push_back({site, name, memory, bytes});
  if (checking) shared_region(block, memory, bytes, name);
  return memory;
}

void* emulator_dynamic_shared() {
  if (!launch.request->dynamic_shared)
    emulator_error("the kernel uses dynamic shared memory, the launch gave none (shared_mem=0)");
  return dynamic_start(*block_now);
}

void emulator_copy_async(void* target, const void* source, unsigned bytes, unsigned valid) {
  if (bytes != 4 && bytes != 8 && bytes != 16)
    emulator_error("an asynchronous copy takes 4, 8 or 16 bytes, came %u", bytes);
  if (valid > bytes) emulator_error("an asynchronous copy of %u bytes with %u valid ones", bytes, valid);
  if (reinterpret_cast<uintptr_t>(target) % bytes || (valid && reinterpret_cast<uintptr_t>(source) % bytes))
    emulator_error("misaligned asynchronous copy of %u bytes: from %p to %p", bytes, source, target);
  if (checking) {
    void* site = __builtin_return_address(0);
    if (valid) checker_access(source, valid, Access::read, site);
    checker_access(target, bytes, Access::write, site);
    checker_pending(target, bytes, true);
  } else if (valid) {
    auto* bytes_there = static_cast<const volatile unsigned char*>(source);
    (void)bytes_there[0];                    // a bad source faults here, at the copy that named it
    (void)bytes_there[valid - 1];
  }
  std::memset(target, RUBBISH, bytes);
  if (!current->copies) current->copies = Owned<AsyncCopies>(new AsyncCopies);
  current->copies->open.push_back({target, source, bytes, valid});
}

void emulator_copy_commit() {
  if (!current->copies) current->copies = Owned<AsyncCopies>(new AsyncCopies);
  AsyncCopies& copies = *current->copies;
  copies.groups.push_back(std::move(copies.open));
  copies.open.clear();
}

// Wait until at most the newest `pending` groups are under way.
void emulator_copy_wait(int pending) {
  if (!current->copies) return;
  auto& groups = current->copies->groups;
  const int ready = static_cast<int>(groups.size()) - pending;
  if (ready <= 0) return;
  for (int i = 0; i < ready; i++)
    for (const AsyncCopy& copy : groups[i]) finish(copy);
  groups.erase(groups.begin(), groups.begin() + ready);
}
}

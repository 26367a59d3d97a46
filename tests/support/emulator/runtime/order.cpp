// What happened before what.
//
// Inside a block: barriers order epochs, __syncwarp orders within a warp. Between blocks (and past barriers): a
// thread fences, then updates an atomic counter; another sees the counter, then fences. What the first knew at its
// fence, the second knows after its own. This is CUDA's memory model for the patterns kernels use.
#include "runtime.h"

#include <algorithm>

namespace {
// All that one thread knew of its own block at a fence.
struct Snapshot {
  unsigned block, epoch, warp_epoch, clock;
  int thread;
  bool covers(const Stamp& access) const {
    if (access.block != block) return false;
    if (access.epoch != epoch) return access.epoch < epoch;
    if (access.thread == thread) return access.clock <= clock;
    return access.thread / WARP == thread / WARP && access.warp_epoch < warp_epoch;
  }
};

struct Knowledge {
  std::vector<Snapshot> snapshots;
  void add(const Snapshot& added) {
    for (Snapshot& known : snapshots)
      if (known.block == added.block && known.thread == added.thread) {
        if (added.epoch > known.epoch || (added.epoch == known.epoch && added.clock > known.clock)) known = added;
        return;
      }
    snapshots.push_back(added);
  }
  void add(const Knowledge& other) {
    for (const Snapshot& snapshot : other.snapshots) add(snapshot);
  }
  bool covers(const Stamp& access) const {
    return std::any_of(snapshots.begin(), snapshots.end(), [&](const Snapshot& s) { return s.covers(access); });
  }
};
}  // namespace

struct History {
  Knowledge known;       // of other threads, beyond what barriers say
  Knowledge fenced;      // what this thread's writes after its last fence pass on
  Knowledge seen;        // by atomic reads since the last fence: known at the next one
};
template <> void Dropped<History>::operator()(History* history) const { delete history; }

namespace {
std::unordered_map<const void*, Knowledge> messages;   // at atomic variables

History& of(Owned<History>& history) {
  if (!history) history.reset(new History);
  return *history;
}

Snapshot own_snapshot() {
  return {block_now->serial, block_now->epoch, block_now->warps[current->warp].epoch, current->clock,
          current->number};
}
}  // namespace

void order_begin() { messages.clear(); }

Stamp stamp_now() {
  return {block_now->serial, block_now->epoch, block_now->warps[current->warp].epoch, current->clock,
          current->number};
}

bool happened_before(const Stamp& access) {
  if (access.block == block_now->serial) {
    if (access.thread == current->number || access.epoch < block_now->epoch) return true;
    if (access.thread / WARP == current->warp && access.warp_epoch < block_now->warps[current->warp].epoch)
      return true;
  }
  return (current->history && current->history->known.covers(access)) ||
         (block_now->history && block_now->history->known.covers(access));
}

// After a barrier every thread knows what any of them knew.
void order_barrier(Block& block) {
  for (Thread& thread : block.threads)
    if (thread.history && !thread.history->known.snapshots.empty()) {
      of(block.history).known.add(thread.history->known);
      thread.history->known.snapshots.clear();
    }
}

void order_warp(Block& block, int warp, unsigned lanes) {
  Knowledge all;
  Thread* first = &block.threads[warp * WARP];
  for (unsigned left = lanes; left; left &= left - 1) {
    Thread& thread = first[__builtin_ctz(left)];
    if (thread.history) all.add(thread.history->known);
  }
  if (all.snapshots.empty()) return;
  for (unsigned left = lanes; left; left &= left - 1) of(first[__builtin_ctz(left)].history).known.add(all);
}

void order_atomic(const void* address, Access kind) {
  const auto message = messages.find(address);
  if (kind != Access::atomic_write && message != messages.end()) of(current->history).seen.add(message->second);
  if (kind != Access::atomic_read && current->history) messages[address].add(current->history->fenced);
}

extern "C" void emulator_fence() {
  if (!current) return;
  History& mine = of(current->history);
  mine.known.add(mine.seen);
  mine.seen.snapshots.clear();
  mine.fenced = mine.known;
  if (block_now->history) mine.fenced.add(block_now->history->known);
  mine.fenced.add(own_snapshot());
  current->clock++;
}

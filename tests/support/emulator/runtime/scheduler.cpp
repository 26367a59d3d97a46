// Which thread runs next; where threads of a block, lanes of a warp and blocks of a grid wait for each other.
#include "runtime.h"

#include <algorithm>
#include <cstring>

Launch launch;
Thread* current = nullptr;
Block* block_now = nullptr;
bool checking = false;
Indices emulator_indices = {};

namespace {
constexpr int MOST_IDLE_ROUNDS = 200;        // of nothing but spinning: then nothing will ever come
unsigned last_serial = 0;
uint64_t random_state;
std::vector<std::unique_ptr<Block>> pool;    // blocks are reused over launches
std::vector<Block*> resident;

unsigned draw(unsigned n) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return static_cast<unsigned>((random_state >> 11) % n);
}

void shuffle(std::vector<int>& order) {
  for (size_t i = order.size() - 1; i > 0; i--) std::swap(order[i], order[draw(i + 1)]);
}

void enter(Block& block) {
  block_now = &block;
  emulator_indices.block = block.index;
}

Block* block_begin(long number, int slot) {
  const LaunchRequest& request = *launch.request;
  if (slot == static_cast<int>(pool.size())) pool.push_back(std::make_unique<Block>());
  Block& block = *pool[slot];
  const Index grid = request.grid, size = request.block;
  block.index = {static_cast<unsigned>(number % grid.x), static_cast<unsigned>(number / grid.x % grid.y),
                 static_cast<unsigned>(number / grid.x / grid.y)};
  block.number = number;
  block.serial = ++last_serial;
  if (checking) launch.block_of_serial.push_back(number);
  block.epoch = 1;
  block.spins = 0;
  const int count = launch.thread_count;
  if (static_cast<int>(block.threads.size()) != count) {
    block.threads = std::vector<Thread>(count);
    block.order.resize(count);
    block.warps = std::vector<Warp>(launch.warp_count);
  }
  for (int i = 0; i < count; i++) {
    Thread& thread = block.threads[i];
    const unsigned n = i;
    thread.index = {n % size.x, n / size.x % size.y, n / size.x / size.y};
    thread.number = i;
    thread.warp = i / WARP;
    thread.lane = i % WARP;
    thread.state = State::fresh;
    thread.stack = -1;
    thread.clock = 1;
    if (checking) thread.history.reset();
    block.order[i] = request.schedule == REVERSE ? count - 1 - i : i;
  }
  for (Warp& warp : block.warps) {
    warp.epoch = 1;
    for (auto& meeting : warp.meetings) meeting->arrived = meeting->mask = 0;
  }
  block.history.reset();
  shared_begin(block);
  return &block;
}

// Let each thread of a block that can run, run until it waits. Says whether any did more than spin.
bool run_round(Block& block) {
  enter(block);
  if (launch.request->schedule == RANDOM) shuffle(block.order);
  bool progress = false;
  const int count = launch.thread_count;
  for (block.position = 0; block.position < count && !launch.failed; block.position++) {
    Thread& thread = block.threads[block.order[block.position]];
    const State before = thread.state;
    if (before == State::fresh) fiber_start(thread);
    else if (before != State::ready && before != State::spinning) continue;
    if (launch.failed) return true;
    fiber_resume(thread);
    progress = progress || before != State::spinning || thread.state != State::spinning;
  }
  return progress;
}

struct Counts { int done = 0, at_barrier = 0, in_warp = 0, spinning = 0, ready = 0; };

Counts count_states(const Block& block) {
  Counts found;
  for (const Thread& thread : block.threads) {
    found.done += thread.state == State::done;
    found.at_barrier += thread.state == State::at_barrier;
    found.in_warp += thread.state == State::in_warp_operation;
    found.spinning += thread.state == State::spinning;
    found.ready += thread.state == State::ready || thread.state == State::fresh;
  }
  return found;
}

void blame(const Thread& thread) { emulator_indices.thread = thread.index; }

// All threads that are left wait at a barrier: let them go, unless they wait at different ones.
void pass_barrier(Block& block, const Counts& counts) {
  const Thread* first = nullptr;
  int votes = 0, all = 1;
  for (const Thread& thread : block.threads) {
    if (thread.state != State::at_barrier) continue;
    if (!first) first = &thread;
    if (thread.barrier_line != first->barrier_line || thread.barrier_kind != first->barrier_kind) {
      blame(thread);
      emulator_error("divergent barrier: this thread waits at __syncthreads in line %d, thread %d at the one in "
                     "line %d", thread.barrier_line, first->number, first->barrier_line);
      return;
    }
    votes += thread.vote;
    all &= thread.vote;
  }
  if (counts.done) {
    blame(*first);
    emulator_error("divergent barrier: %d of %d threads have returned and never reach __syncthreads in line %d",
                   counts.done, launch.thread_count, first->barrier_line);
    return;
  }
  for (Thread& thread : block.threads) {
    thread.answer = thread.barrier_kind == 1 ? votes : thread.barrier_kind == 2 ? all : votes > 0;
    thread.state = State::ready;
  }
  if (checking) order_barrier(block);
  block.epoch++;
}

void report_deadlock(const Block& block, const Counts& counts) {
  for (const Thread& thread : block.threads)
    if (thread.state == State::in_warp_operation || thread.state == State::spinning) {
      blame(thread);
      break;
    }
  emulator_error("deadlock: %d threads wait in __syncthreads, %d in a warp operation that other lanes never "
                 "reach, %d spin, %d have returned", counts.at_barrier, counts.in_warp, counts.spinning,
                 counts.done);
}

enum class Verdict { finished, running, waiting };

// Run one round of a block, and say how it stands; "waiting": only other blocks can help.
Verdict advance(Block& block) {
  const bool progress = run_round(block);
  if (launch.failed) return Verdict::finished;
  const Counts counts = count_states(block);
  if (counts.done == launch.thread_count) {
    shared_end(block);
    return Verdict::finished;
  }
  if (counts.done + counts.at_barrier == launch.thread_count) {
    pass_barrier(block, counts);
    return Verdict::running;
  }
  if (counts.ready) return Verdict::running;
  if (!counts.spinning) {
    report_deadlock(block, counts);
    return Verdict::finished;
  }
  return progress ? Verdict::running : Verdict::waiting;
}
}  // namespace

extern "C" unsigned emulator_active();

// Let go all lanes that have met.
static void complete(Meeting& meeting, int first_thread) {
  meeting.present[meeting.generation & 1] = meeting.arrived;
  for (unsigned left = meeting.arrived; left; left &= left - 1)
    block_now->threads[first_thread + __builtin_ctz(left)].state = State::ready;
  meeting.arrived = 0;
  meeting.generation++;
}

void thread_ended(Thread& thread) {
  copies_drop(thread);
  thread.state = State::done;
  // Lanes may wait for this one: those that have returned are not waited for.
  for (auto& meeting : block_now->warps[thread.warp].meetings)
    if (meeting->arrived && (meeting->arrived & meeting->mask & emulator_active()) ==
                                (meeting->mask & emulator_active()))
      complete(*meeting, thread.number - thread.lane);
}

Thread* next_fresh() {
  Block& block = *block_now;
  if (block.position + 1 >= launch.thread_count || launch.failed) return nullptr;
  Thread& next = block.threads[block.order[block.position + 1]];
  if (next.state != State::fresh) return nullptr;
  block.position++;
  return &next;
}

// One block after the other, unless blocks wait for blocks: then further ones join, up to the limit.
void run_grid() {
  const LaunchRequest& request = *launch.request;
  const long count = static_cast<long>(request.grid.x) * request.grid.y * request.grid.z;
  random_state = request.seed * 2654435761u + 88172645463325252ull;
  launch.first_serial = last_serial + 1;
  long started = 0;
  resident.clear();
  int idle = 0;
  while (!launch.failed && (started < count || !resident.empty())) {
    if (resident.empty()) stacks_reset();
    const bool join = idle > 0 && started < count && static_cast<int>(resident.size()) < request.resident_blocks;
    if (resident.empty() || join) {
      int slot = 0;
      auto taken = [&](Block* b) { return slot < static_cast<int>(pool.size()) && pool[slot].get() == b; };
      while (std::any_of(resident.begin(), resident.end(), taken)) slot++;
      resident.push_back(block_begin(request.schedule == REVERSE ? count - 1 - started : started, slot));
      started++;
    }
    bool all_wait = true;
    for (size_t i = 0; i < resident.size() && !launch.failed;) {
      const Verdict verdict = advance(*resident[i]);
      all_wait = all_wait && verdict == Verdict::waiting;
      if (verdict == Verdict::finished) resident.erase(resident.begin() + i);
      else i++;
    }
    idle = all_wait ? idle + 1 : 0;
    if (idle <= MOST_IDLE_ROUNDS || launch.failed || resident.empty()) continue;
    if (started < count)
      emulator_error("deadlock: %zu blocks wait for blocks that do not fit beside them (%ld in the grid, "
                     "resident_blocks is %d)", resident.size(), count, request.resident_blocks);
    else report_deadlock(*resident[0], count_states(*resident[0]));
  }
}

// ---- what kernels call ---------------------------------------------------------------------------
extern "C" {

int emulator_barrier(int kind, int vote, int line) {
  Thread& me = *current;
  me.barrier_line = line;
  me.barrier_kind = kind;
  me.vote = vote != 0;
  me.state = State::at_barrier;
  fiber_yield();
  return me.answer;
}

int emulator_lane() { return current->lane; }

unsigned emulator_active() {
  unsigned found = 0;
  const int first = current->number - current->lane;
  for (int lane = 0; lane < WARP && first + lane < launch.thread_count; lane++)
    if (block_now->threads[first + lane].state != State::done) found |= 1u << lane;
  return found;
}

// Another block or warp has to do something first: let the others run.
void emulator_spin() {
  current->state = State::spinning;
  fiber_yield();
  current->state = State::ready;
}

struct Exchange { unsigned char (*slots)[64]; unsigned present; };

// Wait until all lanes of `mask` that still run are here. The last to come calls `compute` on their packets.
static Meeting* meet(unsigned mask, const char* name, const void* value, unsigned bytes, void* packet,
                     void (*compute)(void**), int& buffer) {
  Thread& me = *current;
  Warp& warp = block_now->warps[me.warp];
  if (!(mask >> me.lane & 1)) emulator_error("%s: lane %d is not in its own mask %08x", name, me.lane, mask);
  const unsigned wanted = mask & emulator_active();
  Meeting* meeting = nullptr;
  Meeting* unused = nullptr;
  for (auto& known : warp.meetings) {
    if (known->mask == mask) meeting = known.get();
    if (!known->arrived) unused = known.get();
  }
  if (!meeting) {
    if (!unused) {
      warp.meetings.push_back(std::make_unique<Meeting>());
      unused = warp.meetings.back().get();
      unused->generation = 0;
    }
    meeting = unused;
    meeting->mask = mask;
    meeting->arrived = 0;
  }
  if (!meeting->arrived) meeting->name = name;
  else if (meeting->name != name && std::strcmp(meeting->name, name))
    emulator_error("divergent warp operation: this lane is at %s, others of mask %08x at %s", name, mask,
                   meeting->name);
  buffer = meeting->generation & 1;
  if (bytes) std::memcpy(meeting->slot[buffer][me.lane], value, bytes);
  meeting->packet[me.lane] = packet;
  meeting->arrived |= 1u << me.lane;
  if ((meeting->arrived & wanted) != wanted) {
    me.state = State::in_warp_operation;
    fiber_yield();
    return meeting;
  }
  if (compute) compute(meeting->packet);
  complete(*meeting, me.number - me.lane);
  return meeting;
}

Exchange emulator_exchange(unsigned mask, const char* name, const void* value, unsigned bytes) {
  int buffer;
  Meeting* meeting = meet(mask, name, value, bytes, nullptr, nullptr, buffer);
  return {meeting->slot[buffer], meeting->present[buffer]};
}

void emulator_collective(const char* name, void* packet, void (*compute)(void**)) {
  const int first = current->number - current->lane;
  if (first + WARP > launch.thread_count || emulator_active() != ALL_LANES)
    emulator_error("%s needs all 32 lanes of a warp", name);
  int buffer;
  meet(ALL_LANES, name, nullptr, 0, packet, compute, buffer);
}

void emulator_syncwarp(unsigned mask) {
  int buffer;
  const unsigned generation_epoch = block_now->warps[current->warp].epoch;
  Meeting* meeting = meet(mask, "__syncwarp", nullptr, 0, nullptr, nullptr, buffer);
  Warp& warp = block_now->warps[current->warp];
  if (warp.epoch != generation_epoch) return;   // the first to leave counts for all
  if (checking) order_warp(*block_now, current->warp, meeting->present[buffer]);
  warp.epoch++;
}
}

// Stacks, and switching between them (x86-64, System V).
#include "runtime.h"

#include <sys/mman.h>

namespace {
constexpr size_t STACK = 64 * 1024;          // the lowest page of each is a guard
constexpr int MOST_STACKS = 16 * 1024;
constexpr size_t LEAD = 1024 * 1024;         // below the first stack, for what overflows it

unsigned char* stacks = nullptr;
std::vector<int> free_stacks;
int used_stacks = 0;                         // how many have their guard page
void* scheduler_stack_pointer;
}

extern "C" void emulator_switch(void** save, void* to);
asm(R"(
.text
.globl emulator_switch
.type emulator_switch,@function
emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp,(%rdi)
  movq %rsi,%rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");

void stacks_reserve() {
  if (stacks) return;
  auto* memory = static_cast<unsigned char*>(mmap(nullptr, LEAD + STACK * MOST_STACKS, PROT_READ | PROT_WRITE,
                                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  mprotect(memory, LEAD, PROT_NONE);
  stacks = memory + LEAD;
}

bool in_stacks(uintptr_t address) {
  return address - reinterpret_cast<uintptr_t>(stacks - LEAD) < LEAD + STACK * MOST_STACKS;
}

void stacks_reset() {
  free_stacks.clear();
  for (int i = used_stacks - 1; i >= 0; i--) free_stacks.push_back(i);
}

static int stack_take() {
  if (free_stacks.empty()) {
    if (used_stacks == MOST_STACKS) {
      emulator_error("more than %d threads are under way at once: launch smaller blocks or fewer of them",
                     MOST_STACKS);
      return -1;
    }
    mprotect(stacks + STACK * used_stacks, PAGE, PROT_NONE);
    return used_stacks++;
  }
  int found = free_stacks.back();
  free_stacks.pop_back();
  return found;
}

uintptr_t stack_top(const Thread& thread) {
  return reinterpret_cast<uintptr_t>(stacks) + STACK * (thread.stack + 1);
}

void stack_release(Thread& thread) {
  if (thread.stack >= 0) free_stacks.push_back(thread.stack);
  thread.stack = -1;
}

// The life of a stack: a kernel without barriers runs all its threads on one, one after the other.
static void fiber_main() {
  for (;;) {
    launch.request->entry(launch.request->arguments);
    Thread* ended = current;
    thread_ended(*ended);
    Thread* next = next_fresh();
    if (!next) {
      stack_release(*ended);
      fiber_abandon();
    }
    next->stack = ended->stack;
    ended->stack = -1;
    next->state = State::ready;
    current = next;
    emulator_indices.thread = next->index;
  }
}

void fiber_start(Thread& thread) {
  thread.stack = stack_take();
  if (thread.stack < 0) return;
  thread.state = State::ready;
  auto* top = reinterpret_cast<uint64_t*>(stacks + STACK * (thread.stack + 1));
  *--top = 0;
  *--top = reinterpret_cast<uint64_t>(&fiber_main);
  for (int i = 0; i < 6; i++) *--top = 0;    // the registers that emulator_switch restores
  thread.stack_pointer = top;
}

void fiber_resume(Thread& thread) {
  current = &thread;
  emulator_indices.thread = thread.index;
  emulator_switch(&scheduler_stack_pointer, thread.stack_pointer);
  current = nullptr;
}

void fiber_yield() { emulator_switch(&current->stack_pointer, scheduler_stack_pointer); }

void fiber_abandon() {
  void* forgotten;
  emulator_switch(&forgotten, scheduler_stack_pointer);
  __builtin_unreachable();
}

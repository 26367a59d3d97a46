// The arrays of a launch, copied to where every slip of a kernel is a fault.
//
// Each array (or arrays that overlap, together) lies against a guard page: at its end, with the schedule REVERSE
// at its start. What alignment leaves over, and the rest of its pages, holds canaries. Arrays that the kernel
// promised not to write are write-protected.
#include "runtime.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <sys/mman.h>

namespace {
struct Mapping { unsigned char* pages; size_t bytes; };   // without its guard pages
struct Placed {                                           // arrays that overlap on the host: one place
  unsigned char* host;
  size_t bytes;
  bool constant;
  int offset;
  std::string name;
  Mapping mapping;
  unsigned char* memory;
};

constexpr size_t MOST_KEPT = size_t(256) << 20;
std::multimap<size_t, Mapping> unused;
size_t kept = 0;
std::vector<Placed> placed;

Mapping take(size_t bytes) {
  const size_t body = std::max(PAGE, (bytes + 15 + PAGE - 1) / PAGE * PAGE);
  const auto found = unused.find(body);
  if (found != unused.end()) {
    const Mapping mapping = found->second;
    unused.erase(found);
    kept -= body;
    return mapping;
  }
  auto* start = static_cast<unsigned char*>(
      mmap(nullptr, body + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  if (start == MAP_FAILED) return {nullptr, 0};
  mprotect(start + PAGE, body, PROT_READ | PROT_WRITE);
  return {start + PAGE, body};
}

void give_back(const Mapping& mapping) {
  if (kept + mapping.bytes > MOST_KEPT) {
    munmap(mapping.pages - PAGE, mapping.bytes + 2 * PAGE);
    return;
  }
  unused.insert({mapping.bytes, mapping});
  kept += mapping.bytes;
}

// Join arrays that share memory: what a kernel writes through one it has to see through the other.
void merge(const LaunchRequest& request) {
  placed.clear();
  std::vector<const Argument*> arrays;
  for (int i = 0; i < request.array_count; i++) arrays.push_back(&request.arrays[i]);
  std::stable_sort(arrays.begin(), arrays.end(),
                   [](const Argument* a, const Argument* b) { return a->host < b->host; });
  for (const Argument* array : arrays) {
    auto* host = static_cast<unsigned char*>(array->host);
    if (!placed.empty() && host < placed.back().host + placed.back().bytes) {
      Placed& last = placed.back();
      last.bytes = std::max<size_t>(last.bytes, host + array->bytes - last.host);
      last.constant = last.constant && array->constant;
      last.name += std::string(", ") + array->name;
      continue;
    }
    placed.push_back({host, array->bytes, array->constant != 0, array->offset, array->name, {}, nullptr});
  }
}

Placed* home(const void* host) {
  auto* address = static_cast<const unsigned char*>(host);
  for (Placed& place : placed)
    if (address >= place.host && address < place.host + place.bytes) return &place;
  for (Placed& place : placed)               // an empty array
    if (address == place.host) return &place;
  return nullptr;
}

void put(Placed& place, bool at_start) {
  place.mapping = take(place.bytes);
  unsigned char* pages = place.mapping.pages;
  const size_t body = place.mapping.bytes;
  size_t start = place.offset;
  if (!at_start) start = (body - place.bytes - place.offset) / 16 * 16 + place.offset;
  place.memory = pages + start;
  const size_t end = start + place.bytes;
  // Canaries next to the array; the pages are often much larger than small arrays.
  put_canaries(place.memory - std::min<size_t>(start, 256), std::min<size_t>(start, 256));
  put_canaries(pages + end, std::min<size_t>(body - end, 256));
  std::memcpy(place.memory, place.host, place.bytes);
  if (place.constant) mprotect(pages, body, PROT_READ);
}

void check_canaries(const Placed& place) {
  const unsigned char* before = place.mapping.pages;
  const unsigned char* after = place.memory + place.bytes;
  const size_t lead = std::min<size_t>(place.memory - before, 256);
  const size_t rest = std::min<size_t>(before + place.mapping.bytes - after, 256);
  for (size_t i = 1; i <= lead; i++)
    if (place.memory[-static_cast<long>(i)] != canary(place.memory - i)) {
      emulator_error("out-of-bounds write at byte offset -%zu of '%s' (%zu bytes), found after the launch", i,
                     place.name.c_str(), place.bytes);
      return;
    }
  for (size_t i = 0; i < rest; i++)
    if (after[i] != canary(after + i)) {
      emulator_error("out-of-bounds write at byte offset %zu of '%s' (%zu bytes), found after the launch",
                     place.bytes + i, place.name.c_str(), place.bytes);
      return;
    }
}
}  // namespace

bool memory_place(const LaunchRequest& request) {
  merge(request);
  for (Placed& place : placed) put(place, request.schedule == REVERSE);
  for (int i = 0; i < request.array_count; i++) {
    const Argument& array = request.arrays[i];
    Placed* place = home(array.host);
    auto* address = place->memory + (static_cast<unsigned char*>(array.host) - place->host);
    *static_cast<void**>(request.arguments[request.array_position[i]]) = address;
  }
  if (checking)
    for (const Placed& place : placed)
      checker_argument(place.memory, place.bytes, place.name.c_str(), place.constant);
  return true;
}

void memory_return(const LaunchRequest&, bool write_back) {
  for (Placed& place : placed) {
    if (place.constant) mprotect(place.mapping.pages, place.mapping.bytes, PROT_READ | PROT_WRITE);
    else if (write_back) {
      check_canaries(place);
      std::memcpy(place.host, place.memory, place.bytes);
    }
    give_back(place.mapping);
  }
  placed.clear();
}

// Say where an address lies, as offset from the nearest array.
bool memory_describe(uintptr_t address, std::string& text) {
  const Placed* nearest = nullptr;
  long best = 1L << 20;
  for (const Placed& place : placed) {
    const auto start = reinterpret_cast<uintptr_t>(place.memory), end = start + place.bytes;
    const long distance = address < start ? start - address : address >= end ? address - end : 0;
    if (distance < best) {
      best = distance;
      nearest = &place;
    }
  }
  if (!nearest) return false;
  const long offset = static_cast<long>(address - reinterpret_cast<uintptr_t>(nearest->memory));
  const bool inside = offset >= 0 && offset < static_cast<long>(nearest->bytes);
  text = "byte offset " + std::to_string(offset) + " of '" + nearest->name + "' (" +
         std::to_string(nearest->bytes) + " bytes" + (inside ? ", a const argument)" : ")");
  return true;
}

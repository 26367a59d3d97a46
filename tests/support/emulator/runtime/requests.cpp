// Memory requests of warps: how many 32-byte sectors of global memory each touches, and how often the banks of
// shared memory are taken at once.
//
// Lanes that reach the same load for the same time form one request.
#include "runtime.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

namespace {
struct Lane { const void* site; unsigned occurrence; unsigned block; int thread; uintptr_t address; unsigned bytes;
              bool write, shared; };
struct Totals { void* site; long shared, write, requests, parts, ideal; };

std::vector<Lane> lanes;
std::map<std::pair<const void*, unsigned long>, unsigned> occurrences;
std::map<const void*, Totals> totals;

long sectors(const Lane* from, const Lane* to) {
  std::set<uintptr_t> touched;
  for (const Lane* lane = from; lane < to; lane++)
    for (uintptr_t s = lane->address / 32; s <= (lane->address + lane->bytes - 1) / 32; s++) touched.insert(s);
  return static_cast<long>(touched.size());
}

// Passes that shared memory needs: lanes that want different words of one bank wait for each other.
long passes(const Lane* from, const Lane* to) {
  const int together = from->bytes >= 16 ? 8 : from->bytes >= 8 ? 16 : 32;
  long found = 0;
  for (; from < to; from += std::min<long>(together, to - from)) {
    std::set<uintptr_t> words;
    for (const Lane* lane = from; lane < std::min(to, from + together); lane++)
      for (uintptr_t w = lane->address / 4; w <= (lane->address + lane->bytes - 1) / 4; w++) words.insert(w);
    int wanted[32] = {};
    for (uintptr_t word : words) wanted[word % 32]++;
    found += *std::max_element(wanted, wanted + 32);
  }
  return found;
}
}  // namespace

void requests_note(void* site, const void* address, unsigned bytes, bool write, bool shared) {
  const unsigned long who = static_cast<unsigned long>(block_now->serial) << 16 | current->number;
  const unsigned occurrence = occurrences[{site, who}]++;
  lanes.push_back({site, occurrence, block_now->serial, current->number, reinterpret_cast<uintptr_t>(address), bytes,
                   write, shared});
}

void requests_flush() {
  auto warp = [](const Lane& l) { return std::make_tuple(l.site, l.occurrence, l.block, l.thread / WARP); };
  std::stable_sort(lanes.begin(), lanes.end(), [&](const Lane& a, const Lane& b) {
    return std::make_pair(warp(a), a.thread) < std::make_pair(warp(b), b.thread);
  });
  for (size_t i = 0, j; i < lanes.size(); i = j) {
    for (j = i; j < lanes.size() && warp(lanes[j]) == warp(lanes[i]); j++) {}
    const Lane& first = lanes[i];
    Totals& total = totals[first.site];
    total.site = const_cast<void*>(first.site);
    total.shared = first.shared;
    total.write = first.write;
    total.requests++;
    const long bytes = static_cast<long>((j - i) * first.bytes);
    total.parts += first.shared ? passes(&first, &first + (j - i)) : sectors(&first, &first + (j - i));
    total.ideal += first.shared ? (bytes + 127) / 128 : (bytes + 31) / 32;
  }
  lanes.clear();
  occurrences.clear();
}

// Copy up to `room` totals out and forget them; returns how many there were.
extern "C" int emulator_requests(Totals* into, int room) {
  int count = 0;
  for (const auto& entry : totals)
    if (count < room) into[count++] = entry.second;
  totals.clear();
  return count;
}

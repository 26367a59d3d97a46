// stub
#include "runtime.h"
struct History { int x; };
template <> void Dropped<History>::operator()(History* r) const { delete r; }
void order_begin() {}
void order_barrier(Block&) {}
void order_warp(Block&, int, unsigned) {}

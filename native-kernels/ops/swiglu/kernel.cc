#include "../../cpu/simd_rows.h"
#include "swiglu.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

struct Gradient {
  Vec gate, up;
};

/// d_gate = dy·up·(σ + y·(1 - σ)) with y = gate·σ; 1 - σ = σ(-gate) loses digits only where y is small.
SPINQUANT_INLINE Gradient gradient(Vec gate, Vec up, Vec dy) {
  Vec s = sigmoid(gate);
  Vec y = gate * s;
  return {dy * up * fma(y, splat(1.0f) - s, s), dy * y};
}

}  // namespace

void swiglu(const SwigluArgs& args, size_t first, size_t last) {
  size_t start = first * kSwigluUnit, count = swiglu_end(last, args.count) - start;
  swiglu_values(args.gate + start, args.up + start, args.y + start, count);
}

void swiglu_grad(const SwigluGradArgs& args, size_t first, size_t last) {
  size_t i = first * kSwigluUnit, end = swiglu_end(last, args.count);
  for (; i + kLanes <= end; i += kLanes) {
    Gradient g = gradient(load(args.gate + i), load(args.up + i), load(args.dy + i));
    store(args.d_gate + i, g.gate);
    store(args.d_up + i, g.up);
  }
  if (i == end) return;
  size_t part = end - i;
  Gradient g = gradient(load_part(args.gate + i, part, 0), load_part(args.up + i, part, 0),
                        load_part(args.dy + i, part, 0));
  store_part(args.d_gate + i, part, g.gate);
  store_part(args.d_up + i, part, g.up);
}

}  // namespace spinquant::SPINQUANT_ISA

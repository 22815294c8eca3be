#include "../../cpu/simd.h"
#include "rotary.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

struct Pair {
  Vec first, second;
};

SPINQUANT_INLINE Pair rotate(Vec a, Vec b, Vec c, Vec s) { return {fma(a, c, -(b * s)), fma(b, c, a * s)}; }

void rotate_row(const float* x, const float* cos, const float* sin, float* y, size_t half, Vec sign) {
  size_t i = 0;
  for (; i + kLanes <= half; i += kLanes) {
    Pair p = rotate(load(x + i), load(x + half + i), load(cos + i), sign * load(sin + i));
    store(y + i, p.first);
    store(y + half + i, p.second);
  }
  if (i == half) return;
  size_t part = half - i;
  Pair p = rotate(load_part(x + i, part, 0), load_part(x + half + i, part, 0), load_part(cos + i, part, 0),
                  sign * load_part(sin + i, part, 0));
  store_part(y + i, part, p.first);
  store_part(y + half + i, part, p.second);
}

}  // namespace

void rotary(const RotaryArgs& args, size_t first, size_t last) {
  const Vec sign = splat(args.sign);
  for (size_t row = first; row < last; row++) {
    size_t table = row % args.positions * args.half;
    const float* x = args.x + row * 2 * args.half;
    rotate_row(x, args.cos + table, args.sin + table, args.y + row * 2 * args.half, args.half, sign);
  }
}

}  // namespace spinquant::SPINQUANT_ISA

#include "../core/simd_quantize.h"
#include "fake_quantize.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

Quantizer symmetric_quantizer(const FakeQuantizeArgs& args, Range range) {
  float largest = -range.low > range.high ? -range.low : range.high;
  float scale = args.clip_ratio * largest / args.max_level;
  if (scale == 0) scale = 1;
  return {scale, 0, -args.max_level - 1, args.max_level};
}

/// False when all values are one, not 0 (the scale would be 0): then there is nothing to quantize.
bool asymmetric_quantizer(const FakeQuantizeArgs& args, Range range, Quantizer* quantizer) {
  float low = range.low, high = range.high;
  if (args.include_zero) {
    low = low < 0 ? low : 0;
    high = high > 0 ? high : 0;
  }
  low *= args.clip_ratio;
  high *= args.clip_ratio;
  if (low == 0 && high == 0) {
    low = -1;
    high = 1;
  }
  float scale = (high - low) / args.max_level;
  if (scale == 0) return false;
  *quantizer = {scale, round_even_scalar(-low / scale), 0, args.max_level};
  return true;
}

}  // namespace

void fake_quantize(const FakeQuantizeArgs& args, size_t first, size_t last) {
  for (size_t u = first; u < last; u++) {
    const float* x = args.x + u * args.group;
    float* y = args.y + u * args.group;
    Range range = range_of(x, args.group);
    Quantizer quantizer;
    if (args.symmetric) {
      quantizer = symmetric_quantizer(args, range);
    } else if (!asymmetric_quantizer(args, range, &quantizer)) {
      memmove(y, x, args.group * sizeof(float));
      continue;
    }
    quantize(quantizer, args.symmetric, range, x, y, args.group);
  }
}

}  // namespace spinquant::SPINQUANT_ISA

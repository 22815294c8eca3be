#include "../../cpu/simd_quantize.h"
#include "products.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

/// These store what the scale is multiplied with, less a shift that makes it fit a byte.
struct PutShifted {
  PutBytes bytes;
  Vec shift;

  SPINQUANT_INLINE_MEMBER void vector(size_t i, Vec scale, Vec multiples) const {
    bytes.vector(i, scale, multiples - shift);
  }
  SPINQUANT_INLINE_MEMBER void part(size_t i, size_t count, Vec scale, Vec multiples) const {
    bytes.part(i, count, scale, multiples - shift);
  }
};

int32_t sum_of(const int8_t* codes, size_t count) {
  int32_t sum = 0;
  for (size_t i = 0; i < count; i++) sum += codes[i];
  return sum;
}

}  // namespace

void int4_activations(const Int4ActivationArgs& args, size_t first, size_t last) {
  const Int4Layout& layout = args.layout;
  const size_t group = layout.group, padded = layout.padded_group(), groups = layout.span / group;
  const RangeRule rule{args.max_level, args.clip_ratio, args.symmetric, args.include_zero};
  memset(args.codes + first * layout.depth(), 0, (last - first) * layout.depth());
  // Spans of one token lie behind one another, and so do their groups.
  for (size_t span = first * layout.spans(); span < last * layout.spans(); span++) {
    const float* x = args.x + span * layout.span;
    int8_t* codes = args.codes + span * groups * padded;
    const Range range = range_of(x, layout.span);
    Quantizer quantizer{};
    const bool has_scale = quantizer_of(rule, range, &quantizer);
    // Zeros need no shift, and without one their products are 0 to the last bit.
    const bool is_zero = range.low == 0 && range.high == 0;
    const float shift = args.shifted && !is_zero ? args.base - quantizer.zero : 0;
    // Where all are one value, that is the scale, and their codes are all 0 + 1.
    args.scales[span] = has_scale ? quantizer.scale : x[0];
    args.shifts[span] = has_scale ? shift : 1;
    for (size_t g = 0; g < groups; g++, x += group, codes += padded) {
      if (has_scale) quantize(quantizer, args.symmetric, range, x, PutShifted{{codes}, splat(shift)}, group);
      args.sums[span * groups + g] = sum_of(codes, group);
    }
  }
}

}  // namespace spinquant::SPINQUANT_ISA

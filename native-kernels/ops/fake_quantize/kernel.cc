#include "../../cpu/simd_quantize.h"
#include "fake_quantize.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

RangeRule rule_of(const FakeQuantizeArgs& args) {
  return {args.max_level, args.clip_ratio, args.lower_ratio, args.symmetric, args.include_zero};
}

/// Σ dy·(y - x).
float error_along(const float* x, const float* y, const float* dy, size_t count) {
  Vec a = splat(0), b = splat(0);
  size_t i = 0;
  for (; i + 2 * kLanes <= count; i += 2 * kLanes) {
    a = fma(load(dy + i), load(y + i) - load(x + i), a);
    b = fma(load(dy + i + kLanes), load(y + i + kLanes) - load(x + i + kLanes), b);
  }
  for (; i + kLanes <= count; i += kLanes) a = fma(load(dy + i), load(y + i) - load(x + i), a);
  if (i < count) {
    const size_t left = count - i;
    b = fma(load_part(dy + i, left, 0), load_part(y + i, left, 0) - load_part(x + i, left, 0), b);
  }
  return sum(a + b);
}

/// The first of `count` floats that is one of two values; `count` if there is none (NaN).
size_t first_of(const float* x, size_t count, float value, float other) {
  constexpr size_t kVectors = 8;
  const Vec v = splat(value), w = splat(other);
  size_t i = 0;
  for (; i + kVectors * kLanes <= count; i += kVectors * kLanes) {
    IntVec found = splat_int(0);
    SPINQUANT_UNROLL
    for (size_t k = 0; k < kVectors; k++) {
      const Vec part = load(x + i + k * kLanes);
      found |= (part == v) | (part == w);
    }
    if (smallest(to_float(found)) != 0) break;
  }
  while (i < count && x[i] != value && x[i] != other) i++;
  return i;
}

void add_symmetric(const float* x, float* dx, size_t count, Range range, float error) {
  const float largest = -range.low > range.high ? -range.low : range.high;
  if (!(largest > 0)) return;
  const size_t at = first_of(x, count, largest, -largest);
  if (at < count) dx[at] += error / x[at];
}

void add_asymmetric(const FakeQuantizeScaleGradArgs& args, const float* x, float* dx, Range range, float error) {
  const bool low_is_x = !args.include_zero || range.low < 0;
  const bool high_is_x = !args.include_zero || range.high > 0;
  const float width = (high_is_x ? range.high : 0) - (low_is_x ? range.low : 0);
  if (!(width > 0)) return;
  const float slope = error / width;
  const size_t top = high_is_x ? first_of(x, args.group, range.high, range.high) : args.group;
  const size_t bottom = low_is_x ? first_of(x, args.group, range.low, range.low) : args.group;
  if (top < args.group) dx[top] += slope;
  if (bottom < args.group) dx[bottom] -= slope;
}

}  // namespace

void fake_quantize(const FakeQuantizeArgs& args, size_t first, size_t last) {
  for (size_t u = first; u < last; u++) {
    const float* x = args.x + u * args.group;
    float* y = args.y + u * args.group;
    Range range = range_of(x, args.group);
    Quantizer quantizer{};
    const bool has_scale = quantizer_of(rule_of(args), range, &quantizer);
    if (args.scales) args.scales[u] = quantizer.scale;
    if (!has_scale) {
      memmove(y, x, args.group * sizeof(float));
      continue;
    }
    quantize(quantizer, args.symmetric, range, x, PutFloats{y}, args.group);
  }
}

void quantize_rows(const QuantizeRowsArgs& args, size_t first, size_t last) {
  const size_t width = args.quantizer.group;
  for (size_t u = first; u < last; u++) {
    const float* x = args.quantizer.x + u * width;
    int8_t* codes = args.codes + u * width;
    Range range = range_of(x, width);
    Quantizer quantizer{};
    if (quantizer_of(rule_of(args.quantizer), range, &quantizer)) {
      quantize(quantizer, args.quantizer.symmetric, range, x, PutBytes{codes}, width);
    } else {
      memset(codes, 0, width);
    }
    args.quantizer.scales[u] = quantizer.scale;
  }
}

void row_multiples(const RowMultiplesArgs& args, size_t first, size_t last) {
  for (size_t u = first; u < last; u++) {
    const int8_t* codes = args.codes + u * args.width;
    float* y = args.y + u * args.width;
    const Vec scale = splat(args.scales[u]);
    for (size_t i = 0; i < args.width; i += kLanes) {
      const size_t count = args.width - i;
      ByteVec bytes{};
      memcpy(&bytes, codes + i, count < kLanes ? count : kLanes);
      const Vec values = scale * to_float(from_bytes(bytes));
      count < kLanes ? store_part(y + i, count, values) : store(y + i, values);
    }
  }
}

void fake_quantize_scale_grad(const FakeQuantizeScaleGradArgs& args, size_t first, size_t last) {
  for (size_t u = first; u < last; u++) {
    const size_t start = u * args.group;
    const float* x = args.x + start;
    float* dx = args.dx + start;
    const Range range = range_of(x, args.group);
    const float error = error_along(x, args.y + start, args.dy + start, args.group);
    if (args.dx != args.dy) memcpy(dx, args.dy + start, args.group * sizeof(float));
    args.symmetric ? add_symmetric(x, dx, args.group, range, error) : add_asymmetric(args, x, dx, range, error);
  }
}

}  // namespace spinquant::SPINQUANT_ISA

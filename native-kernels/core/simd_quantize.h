// Ranges and quantizers shared by activations and weights.
#pragma once
#include "simd.h"

namespace spinquant::SPINQUANT_ISA {

struct Range {
  float low, high;
};

/// Smallest and largest of count >= 1 floats.
SPINQUANT_INLINE Range range_of(const float* x, size_t count) {
  Vec low = splat(x[0]), high = low;
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    Vec v = load(x + i);
    low = min(low, v);
    high = max(high, v);
  }
  if (i < count) {
    Vec v = load_part(x + i, count - i, x[0]);
    low = min(low, v);
    high = max(high, v);
  }
  return {smallest(low), largest(high)};
}

/// A uniform quantizer: y = scale·(clamp(rne(x / scale) + zero, low, high) - zero).
struct Quantizer {
  float scale, zero, low, high;
};

/// The same on vectors. Without a zero point neither addition happens (they would turn -0 into 0).
template <bool HasZero>
struct VectorQuantizer {
  Vec scale, zero, low, high;

  explicit VectorQuantizer(const Quantizer& q)
      : scale(splat(q.scale)), zero(splat(q.zero)), low(splat(q.low)), high(splat(q.high)) {}

  SPINQUANT_INLINE_MEMBER Vec dequantized(Vec scaled) const {
    Vec level = round_even(scaled);
    if (!HasZero) return scale * min(max(level, low), high);
    return scale * (min(max(level + zero, low), high) - zero);
  }

  SPINQUANT_INLINE_MEMBER Vec operator()(Vec x) const { return dequantized(x / scale); }
};

template <bool HasZero>
SPINQUANT_INLINE void quantize_all(const VectorQuantizer<HasZero>& quantized, const float* x, float* y, size_t count) {
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(y + i, quantized(load(x + i)));
  if (i < count) store_part(y + i, count - i, quantized(load_part(x + i, count - i, 0)));
}

SPINQUANT_INLINE void quantize(const Quantizer& q, bool symmetric, const float* x, float* y, size_t count) {
  if (symmetric) return quantize_all(VectorQuantizer<false>(q), x, y, count);
  quantize_all(VectorQuantizer<true>(q), x, y, count);
}

/// Nearest integer of one float, halves to even.
SPINQUANT_INLINE float round_even_scalar(float x) { return __builtin_nearbyintf(x); }

}  // namespace spinquant::SPINQUANT_ISA

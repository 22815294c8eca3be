// Ranges and quantizers shared by activations and weights.
#pragma once
#include "simd.h"

namespace spinquant::SPINQUANT_ISA {

struct Range {
  float low, high;
};

/// Smallest and largest of count >= 1 floats.
SPINQUANT_INLINE Range range_of(const float* x, size_t count) {
  Vec low = splat(x[0]), high = low, low2 = low, high2 = low;
  size_t i = 0;
  for (; i + 2 * kLanes <= count; i += 2 * kLanes) {
    const Vec v = load(x + i), w = load(x + i + kLanes);
    low = min(low, v);
    high = max(high, v);
    low2 = min(low2, w);
    high2 = max(high2, w);
  }
  for (; i < count; i += kLanes) {
    const Vec v = count - i < kLanes ? load_part(x + i, count - i, x[0]) : load(x + i);
    low = min(low, v);
    high = max(high, v);
  }
  return {smallest(min(low, low2)), largest(max(high, high2))};
}

/// Nearest integer of one float, halves to even.
SPINQUANT_INLINE float round_even_scalar(float x) { return __builtin_nearbyintf(x); }

/// A uniform quantizer: y = scale·(clamp(rne(x / scale) + zero, low, high) - zero).
struct Quantizer {
  float scale, zero, low, high;
};

/// How a dynamic quantizer follows from the range of what it quantizes.
struct RangeRule {
  float max_level;
  float clip_ratio, lower_ratio;  // of both ends, or of the upper and of the lower one (asymmetric only)
  bool symmetric;
  bool include_zero;  // the range is widened to hold 0 (asymmetric only)
};

SPINQUANT_INLINE Quantizer symmetric_quantizer(const RangeRule& rule, Range range) {
  float largest = -range.low > range.high ? -range.low : range.high;
  float scale = rule.clip_ratio * largest / rule.max_level;
  if (scale == 0) scale = 1;
  return {scale, 0, -rule.max_level - 1, rule.max_level};
}

/// The ends of a range, cut. An end beyond 0 is cut as the other one: so no range is turned round.
SPINQUANT_INLINE Range cut(const RangeRule& rule, Range range) {
  return {range.low * (range.low > 0 ? rule.clip_ratio : rule.lower_ratio),
          range.high * (range.high < 0 ? rule.lower_ratio : rule.clip_ratio)};
}

/// False when all values are one, not 0 (the scale would be 0): then there is nothing to quantize.
SPINQUANT_INLINE bool asymmetric_quantizer(const RangeRule& rule, Range range, Quantizer* quantizer) {
  float low = range.low, high = range.high;
  if (rule.include_zero) {
    low = low < 0 ? low : 0;
    high = high > 0 ? high : 0;
  }
  const Range ends = cut(rule, {low, high});
  low = ends.low;
  high = ends.high;
  if (low == 0 && high == 0) {
    low = -1;
    high = 1;
  }
  float scale = (high - low) / rule.max_level;
  if (scale == 0) return false;
  *quantizer = {scale, round_even_scalar(-low / scale), 0, rule.max_level};
  return true;
}

/// False where there is nothing to quantize.
SPINQUANT_INLINE bool quantizer_of(const RangeRule& rule, Range range, Quantizer* quantizer) {
  if (!rule.symmetric) return asymmetric_quantizer(rule, range, quantizer);
  *quantizer = symmetric_quantizer(rule, range);
  return true;
}

/// A quantizer on vectors. Without a zero point neither addition happens (they would turn -0 into 0).
template <bool HasZero>
struct VectorQuantizer {
  Vec scale, zero, low, high;

  explicit VectorQuantizer(const Quantizer& q)
      : scale(splat(q.scale)), zero(splat(q.zero)), low(splat(q.low)), high(splat(q.high)) {}

  /// Whole numbers that the scale is multiplied with.
  SPINQUANT_INLINE_MEMBER Vec multiples(Vec scaled) const {
    Vec level = round_even(scaled);
    if (!HasZero) return min(max(level, low), high);
    return min(max(level + zero, low), high) - zero;
  }

  SPINQUANT_INLINE_MEMBER Vec dequantized(Vec scaled) const { return scale * multiples(scaled); }
};

/// These store quantized floats: as floats again, or as what the scale is multiplied with, -128 … 127.
struct PutFloats {
  float* y;
  SPINQUANT_INLINE_MEMBER void vector(size_t i, Vec scale, Vec multiples) const { store(y + i, scale * multiples); }
  SPINQUANT_INLINE_MEMBER void part(size_t i, size_t count, Vec scale, Vec multiples) const {
    store_part(y + i, count, scale * multiples);
  }
};

struct PutBytes {
  int8_t* codes;
  SPINQUANT_INLINE_MEMBER void vector(size_t i, Vec, Vec multiples) const {
    const ByteVec bytes = to_bytes(to_int(multiples));
    memcpy(codes + i, &bytes, sizeof bytes);
  }
  SPINQUANT_INLINE_MEMBER void part(size_t i, size_t count, Vec, Vec multiples) const {
    const ByteVec bytes = to_bytes(to_int(multiples));
    memcpy(codes + i, &bytes, count);
  }
};

/// x / scale as the processor's division gives it.
struct Division {
  Vec divisor;
  explicit Division(float scale) : divisor(splat(scale)) {}
  SPINQUANT_INLINE_MEMBER Vec operator()(Vec x) const { return x / divisor; }
};

#if defined(__FMA__)
/// The same to the last bit, several times faster: with the correctly rounded inverse, each step adds the quotient of
/// the exact remainder; the first leaves an error below one unit in the last place, and from there the second rounds
/// correctly (Markstein 1990, theorem on division by fused multiply-add).
struct FusedDivision {
  Vec divisor, inverse;
  explicit FusedDivision(float scale) : divisor(splat(scale)), inverse(splat(1.0f / scale)) {}

  SPINQUANT_INLINE_MEMBER Vec operator()(Vec x) const {
    Vec q = x * inverse;
    q = fma(fma(-q, divisor, x), inverse, q);
    q = fma(fma(-q, divisor, x), inverse, q);
    // The sign of -0 is lost on the way.
    return from_bits(bits_of(q) | (bits_of(x) & splat_int(INT32_MIN)));
  }
};

/// True if no inverse or remainder that matters leaves the range of normal floats.
SPINQUANT_INLINE bool divides_fused(float scale, float largest) {
  return scale > 0x1p-80f && scale < 0x1p80f && largest < 0x1p80f;
}
#endif

template <bool HasZero, class Divide, class Put>
SPINQUANT_INLINE void quantize_with(const Quantizer& q, const float* x, const Put& put, size_t count) {
  const VectorQuantizer<HasZero> quantizer(q);
  const Divide divide(q.scale);
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) put.vector(i, quantizer.scale, quantizer.multiples(divide(load(x + i))));
  if (i < count) {
    put.part(i, count - i, quantizer.scale, quantizer.multiples(divide(load_part(x + i, count - i, 0))));
  }
}

template <bool HasZero, class Put>
SPINQUANT_INLINE void quantize_any(const Quantizer& q, Range range, const float* x, const Put& put, size_t count) {
#if !defined(__FMA__)
  (void)range;
#else
  if (divides_fused(q.scale, range.high > -range.low ? range.high : -range.low)) {
    return quantize_with<HasZero, FusedDivision>(q, x, put, count);
  }
#endif
  quantize_with<HasZero, Division>(q, x, put, count);
}

/// Quantizes `count` floats whose range is known.
template <class Put>
SPINQUANT_INLINE void quantize(const Quantizer& q, bool symmetric, Range range, const float* x, const Put& put,
                               size_t count) {
  symmetric ? quantize_any<false>(q, range, x, put, count) : quantize_any<true>(q, range, x, put, count);
}

}  // namespace spinquant::SPINQUANT_ISA

// Elementary functions on vectors of float.
#pragma once
#include "simd.h"

namespace spinquant::SPINQUANT_ISA {

/// 2^k for integer k held as floats, -126 <= k <= 127.
SPINQUANT_INLINE Vec power_of_two(Vec k) { return from_bits((to_int(k) + splat_int(127)) << 23); }

/// e^f for |f| <= ln(2)/2: Taylor to f^7, whose truncation there is below 6e-9 relative.
SPINQUANT_INLINE Vec exp_fraction(Vec f) {
  Vec p = splat(1.0f / 5040);
  p = fma(p, f, splat(1.0f / 720));
  p = fma(p, f, splat(1.0f / 120));
  p = fma(p, f, splat(1.0f / 24));
  p = fma(p, f, splat(1.0f / 6));
  p = fma(p, f, splat(0.5f));
  p = fma(p, f, splat(1.0f));
  return fma(p, f, splat(1.0f));
}

/// e^x, relative error below 2e-7; 0 for x < -87.3 (no denormals), infinity above 88.7.
SPINQUANT_INLINE Vec exp(Vec x) {
  const Vec lowest = splat(-87.3f);
  Vec clamped = min(max(x, lowest), splat(88.8f));
  Vec k = round_even(clamped * splat(1.44269504f));
  // ln 2 in two parts: the first has trailing zeros, so that k times it is exact.
  Vec f = fma(k, splat(-0.693359375f), clamped);
  f = fma(k, splat(2.12194440e-4f), f);
  // 2^k in two halves, as k may be 128.
  Vec half = round_even(k * splat(0.5f));
  Vec y = exp_fraction(f) * power_of_two(half) * power_of_two(k - half);
  return choose(x < lowest, splat(0.0f), y);
}

/// 1 / (1 + e^-x).
SPINQUANT_INLINE Vec sigmoid(Vec x) { return splat(1.0f) / (splat(1.0f) + exp(-x)); }

}  // namespace spinquant::SPINQUANT_ISA

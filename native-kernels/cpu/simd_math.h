// Elementary functions on vectors of float.
#pragma once
#include "simd.h"

namespace spinquant::SPINQUANT_ISA {

/// e^f for |f| <= ln(2)/2, relative error below 1e-7 (minimax of degree 5: 7.5e-8).
SPINQUANT_INLINE Vec exp_fraction(Vec f) {
  Vec p = splat(0.0082976548f);
  p = fma(p, f, splat(0.0419153832f));
  p = fma(p, f, splat(0.166675746f));
  p = fma(p, f, splat(0.499988943f));
  p = fma(p, f, splat(0.999999702f));
  return fma(p, f, splat(1.00000012f));
}

/// e^x, relative error below 4e-7; 0 for x < -86.6 (no denormals), 3.4e38 above 88.7, NaN for NaN.
SPINQUANT_INLINE Vec exp(Vec x) {
  const Vec lowest = splat(-86.6f);
  // Of two numbers of which one is NaN, these return the second one.
  const Vec clamped = min(splat(88.72f), max(lowest, x));
  // Adding 1.5·2^23 rounds to an integer k and leaves it in the low bits.
  const Vec magic = splat(12582912.0f);
  const Vec rounded = fma(clamped, splat(1.44269504f), magic);
  const Vec k = rounded - magic;
  // ln 2 in two parts: the first has trailing zeros, so that k times it is exact.
  Vec f = fma(k, splat(-0.693359375f), clamped);
  f = fma(k, splat(2.12194440e-4f), f);
  // Times 2^k: k more in the exponent.
  const Vec y = from_bits(bits_of(exp_fraction(f)) + (bits_of(rounded) << 23));
  return choose(x < lowest, splat(0.0f), y);
}

/// 1/x for 1 <= x, relative error below 2e-7 (one Newton step from 14 or 12 bits).
SPINQUANT_INLINE Vec reciprocal(Vec x) {
#if defined(__AVX512F__)
  const Vec r = _mm512_rcp14_ps(x);
#elif defined(__AVX2__)
  const Vec r = _mm256_rcp_ps(x);
#endif
#if defined(__AVX2__)
  return fma(r, fma(-x, r, splat(1.0f)), r);
#else
  return splat(1.0f) / x;
#endif
}

/// 1 / (1 + e^-x).
SPINQUANT_INLINE Vec sigmoid(Vec x) { return reciprocal(splat(1.0f) + exp(-x)); }

}  // namespace spinquant::SPINQUANT_ISA

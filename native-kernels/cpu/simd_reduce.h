// Loops over float arrays: maps and sums with the last partial vector handled.
#pragma once
#include "simd.h"

namespace spinquant::SPINQUANT_ISA {

/// y[i] = f(x[i]).
template <class F>
SPINQUANT_INLINE void map(const float* x, float* y, size_t count, const F& f) {
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(y + i, f(load(x + i)));
  if (i < count) store_part(y + i, count - i, f(load_part(x + i, count - i, 0)));
}

/// z[i] = f(x[i], y[i]).
template <class F>
SPINQUANT_INLINE void map2(const float* x, const float* y, float* z, size_t count, const F& f) {
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(z + i, f(load(x + i), load(y + i)));
  if (i < count) {
    store_part(z + i, count - i, f(load_part(x + i, count - i, 0), load_part(y + i, count - i, 0)));
  }
}

/// Lane sums of Σ x·y over several chains of additions, so that they overlap.
SPINQUANT_INLINE float dot(const float* x, const float* y, size_t count) {
  Vec a = splat(0), b = splat(0), c = splat(0), d = splat(0);
  size_t i = 0;
  for (; i + 4 * kLanes <= count; i += 4 * kLanes) {
    a = fma(load(x + i), load(y + i), a);
    b = fma(load(x + i + kLanes), load(y + i + kLanes), b);
    c = fma(load(x + i + 2 * kLanes), load(y + i + 2 * kLanes), c);
    d = fma(load(x + i + 3 * kLanes), load(y + i + 3 * kLanes), d);
  }
  for (; i + kLanes <= count; i += kLanes) a = fma(load(x + i), load(y + i), a);
  if (i < count) b = fma(load_part(x + i, count - i, 0), load_part(y + i, count - i, 0), b);
  return sum((a + b) + (c + d));
}

/// Largest of count >= 1 floats.
SPINQUANT_INLINE float maximum(const float* x, size_t count) {
  Vec a = splat(x[0]), b = a, c = a, d = a;
  size_t i = 0;
  for (; i + 4 * kLanes <= count; i += 4 * kLanes) {
    a = max(a, load(x + i));
    b = max(b, load(x + i + kLanes));
    c = max(c, load(x + i + 2 * kLanes));
    d = max(d, load(x + i + 3 * kLanes));
  }
  for (; i + kLanes <= count; i += kLanes) a = max(a, load(x + i));
  if (i < count) b = max(b, load_part(x + i, count - i, x[0]));
  return largest(max(max(a, b), max(c, d)));
}

/// Smallest of count >= 1 floats.
SPINQUANT_INLINE float minimum(const float* x, size_t count) {
  Vec a = splat(x[0]);
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) a = min(a, load(x + i));
  if (i < count) a = min(a, load_part(x + i, count - i, x[0]));
  return smallest(a);
}

/// Nothing may be at null.
SPINQUANT_INLINE void fill_zero(float* y, size_t count) {
  if (count > 0) memset(y, 0, count * sizeof(float));
}

}  // namespace spinquant::SPINQUANT_ISA

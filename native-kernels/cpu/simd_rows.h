// Functions of rows that several operators compute.
#pragma once
#include "simd_math.h"
#include "simd_reduce.h"

namespace spinquant::SPINQUANT_ISA {

/// 1 / √(mean(x²) + ε).
SPINQUANT_INLINE float inverse_rms(const float* x, size_t n, float epsilon) {
  return 1.0f / __builtin_sqrtf(dot(x, x, n) / static_cast<float>(n) + epsilon);
}

/// y = x / √(mean(x²) + ε); y may be x.
SPINQUANT_INLINE void rms_norm_row(const float* x, float* y, size_t n, float epsilon) {
  const Vec r = splat(inverse_rms(x, n, epsilon));
  map(x, y, n, [&](Vec v) { return r * v; });
}

/// y = silu(gate)·up; y may be one of them.
SPINQUANT_INLINE void swiglu_values(const float* gate, const float* up, float* y, size_t count) {
  map2(gate, up, y, count, [](Vec g, Vec u) { return g * sigmoid(g) * u; });
}

struct RotatedPair {
  Vec first, second;
};

SPINQUANT_INLINE RotatedPair rotate_pair(Vec a, Vec b, Vec c, Vec s) {
  return {fma(a, c, -(b * s)), fma(b, c, a * s)};
}

/// RoPE of a row of 2 · half entries: y1 = x1·cos - x2·sign·sin, y2 = x2·cos + x1·sign·sin. y may be x.
SPINQUANT_INLINE void rotary_row(const float* x, const float* cos, const float* sin, float* y, size_t half,
                                 float sign) {
  const Vec signs = splat(sign);
  size_t i = 0;
  for (; i + kLanes <= half; i += kLanes) {
    RotatedPair p = rotate_pair(load(x + i), load(x + half + i), load(cos + i), signs * load(sin + i));
    store(y + i, p.first);
    store(y + half + i, p.second);
  }
  if (i == half) return;
  size_t part = half - i;
  RotatedPair p = rotate_pair(load_part(x + i, part, 0), load_part(x + half + i, part, 0),
                              load_part(cos + i, part, 0), signs * load_part(sin + i, part, 0));
  store_part(y + i, part, p.first);
  store_part(y + half + i, part, p.second);
}

}  // namespace spinquant::SPINQUANT_ISA

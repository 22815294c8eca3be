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

}  // namespace spinquant::SPINQUANT_ISA

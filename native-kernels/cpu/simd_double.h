// Double precision in vectors of the same width as floats: half as many lanes.
#pragma once
#include "simd.h"

namespace spinquant::SPINQUANT_ISA {

constexpr size_t kHalf = kLanes / 2;
typedef double DoubleVec __attribute__((vector_size(4 * SPINQUANT_LANES)));
typedef double UnalignedDoubleVec __attribute__((vector_size(4 * SPINQUANT_LANES), aligned(8), may_alias));
typedef float HalfVec __attribute__((vector_size(2 * SPINQUANT_LANES)));
typedef float UnalignedHalfVec __attribute__((vector_size(2 * SPINQUANT_LANES), aligned(4), may_alias));

SPINQUANT_INLINE HalfVec load_half(const float* p) { return *reinterpret_cast<const UnalignedHalfVec*>(p); }

SPINQUANT_INLINE DoubleVec load_double(const double* p) { return *reinterpret_cast<const UnalignedDoubleVec*>(p); }
SPINQUANT_INLINE void store_double(double* p, DoubleVec v) { *reinterpret_cast<UnalignedDoubleVec*>(p) = v; }
SPINQUANT_INLINE DoubleVec splat_double(double x) { return x - DoubleVec{}; }

/// a·b + c, in one rounding where the processor can.
SPINQUANT_INLINE DoubleVec fma_double(DoubleVec a, DoubleVec b, DoubleVec c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_pd(a, b, c);
#elif defined(__AVX2__)
  return _mm256_fmadd_pd(a, b, c);
#else
  return a * b + c;
#endif
}

SPINQUANT_INLINE double sum_double(DoubleVec v) {
  double result = 0;
  for (size_t i = 0; i < kHalf; i++) result += v[i];
  return result;
}

}  // namespace spinquant::SPINQUANT_ISA

// The one matrix product that kernels need: a small tile of C += A·B held in registers.
#pragma once
#include "simd.h"

namespace spinquant::SPINQUANT_ISA {

/// Rows of a tile: with three vectors per row the sums fill the registers (24 of 32, or 12 of 16) and hide the latency.
constexpr size_t kTileRows = SPINQUANT_LANES == 16 ? 8 : 4;

/// C[i][:] (+)= Σ_k a[i·row_stride + k·step] · b[k·b_stride + :] over kTileRows rows and Vecs vectors, k in order.
template <size_t Vecs, bool Add>
SPINQUANT_INLINE void tile(const float* a, size_t row_stride, size_t step, const float* b, size_t b_stride,
                           size_t depth, float* c, size_t c_stride) {
  Vec sums[kTileRows][Vecs];
  SPINQUANT_UNROLL for (size_t i = 0; i < kTileRows; i++) {
    SPINQUANT_UNROLL for (size_t v = 0; v < Vecs; v++) {
      sums[i][v] = Add ? load(c + i * c_stride + v * kLanes) : splat(0);
    }
  }
  for (size_t k = 0; k < depth; k++, a += step, b += b_stride) {
    Vec row[Vecs];
    SPINQUANT_UNROLL for (size_t v = 0; v < Vecs; v++) row[v] = load(b + v * kLanes);
    SPINQUANT_UNROLL for (size_t i = 0; i < kTileRows; i++) {
      const Vec factor = splat(a[i * row_stride]);
      SPINQUANT_UNROLL for (size_t v = 0; v < Vecs; v++) sums[i][v] = fma(factor, row[v], sums[i][v]);
    }
  }
  SPINQUANT_UNROLL for (size_t i = 0; i < kTileRows; i++) {
    SPINQUANT_UNROLL for (size_t v = 0; v < Vecs; v++) store(c + i * c_stride + v * kLanes, sums[i][v]);
  }
}

}  // namespace spinquant::SPINQUANT_ISA

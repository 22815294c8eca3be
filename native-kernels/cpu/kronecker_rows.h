// Multiplies rows by Kronecker products; included by the kernels that need it.
#pragma once
#include "kronecker.h"
#include "simd.h"

namespace spinquant::SPINQUANT_ISA {

/// Sums that stay in registers: of AVX-512 16 of 32 and of AVX2 8 of 16, enough to wait for no product.
constexpr size_t kKroneckerRows = kLanes == 16 ? 8 : 4, kKroneckerVectors = 2;

/// Columns with those that fill the last vector.
SPINQUANT_INLINE size_t padded_columns(size_t columns) { return (columns + kLanes - 1) / kLanes * kLanes; }

/// Working memory: R and (diag(s) X) R, their rows padded to vectors, and diag(s) X.
struct KroneckerMemory {
  float *right, *inner, *scaled;

  KroneckerMemory(const KroneckerArgs& args, void* memory) {
    const size_t padded = padded_columns(args.columns);
    right = static_cast<float*>(memory);
    inner = right + args.columns * padded;
    scaled = inner + args.rows * padded;
  }

  static size_t bytes(const KroneckerArgs& args) {
    return ((args.rows + args.columns) * padded_columns(args.columns) + args.width()) * sizeof(float);
  }
};

/// A factor of a product: element [row, depth] lies at row · row_step + depth · depth_step.
struct KroneckerFactor {
  const float* data;
  size_t row_step, depth_step;
};

/// Rows × Vectors · kLanes sums over the depth of a · b, of which the first `count` columns are stored.
template <size_t Rows, size_t Vectors>
SPINQUANT_INLINE void kronecker_tile(KroneckerFactor a, const float* b, size_t stride, size_t depth, float* y,
                                     size_t y_stride, size_t count) {
  Vec sums[Rows][Vectors] = {};
  for (size_t p = 0; p < depth; p++) {
    Vec line[Vectors];
    SPINQUANT_UNROLL for (size_t v = 0; v < Vectors; v++) line[v] = load(b + p * stride + v * kLanes);
    SPINQUANT_UNROLL for (size_t r = 0; r < Rows; r++) {
      const Vec factor = splat(a.data[r * a.row_step + p * a.depth_step]);
      SPINQUANT_UNROLL for (size_t v = 0; v < Vectors; v++) sums[r][v] = fma(factor, line[v], sums[r][v]);
    }
  }
  for (size_t r = 0; r < Rows; r++) {
    for (size_t v = 0; v < Vectors; v++) {
      const size_t left = count - v * kLanes;
      float* at = y + r * y_stride + v * kLanes;
      if (left >= kLanes) store(at, sums[r][v]);
      else store_part(at, left, sums[r][v]);
    }
  }
}

template <size_t Vectors>
SPINQUANT_INLINE void kronecker_columns(KroneckerFactor a, size_t rows, const float* b, size_t stride, size_t depth,
                                        float* y, size_t y_stride, size_t count) {
  size_t row = 0;
  for (; row + kKroneckerRows <= rows; row += kKroneckerRows) {
    kronecker_tile<kKroneckerRows, Vectors>({a.data + row * a.row_step, a.row_step, a.depth_step}, b, stride, depth,
                                            y + row * y_stride, y_stride, count);
  }
  for (; row < rows; row++) {
    kronecker_tile<1, Vectors>({a.data + row * a.row_step, a.row_step, a.depth_step}, b, stride, depth,
                               y + row * y_stride, y_stride, count);
  }
}

/// y [rows, columns] = a [rows, depth] · b [depth, stride], the columns of b padded to vectors.
static void kronecker_product(KroneckerFactor a, size_t rows, const float* b, size_t stride, size_t depth, float* y,
                              size_t y_stride, size_t columns) {
  constexpr size_t kWide = kKroneckerVectors * kLanes;
  for (size_t column = 0; column < columns; column += kWide) {
    const size_t count = columns - column < kWide ? columns - column : kWide;
    if (count > kLanes) {
      kronecker_columns<kKroneckerVectors>(a, rows, b + column, stride, depth, y + column, y_stride, count);
    } else {
      kronecker_columns<1>(a, rows, b + column, stride, depth, y + column, y_stride, count);
    }
  }
}

/// Lays R out for kronecker_row.
static void kronecker_prepare(const KroneckerArgs& args, const KroneckerMemory& memory) {
  const size_t columns = args.columns, padded = padded_columns(columns);
  for (size_t k = 0; k < columns; k++) {
    float* row = memory.right + k * padded;
    memcpy(row, args.right + k * columns, columns * sizeof(float));
    for (size_t i = columns; i < padded; i++) row[i] = 0;
  }
}

/// One row; y may be x.
static void kronecker_row(const KroneckerArgs& args, const float* x, float* y, const KroneckerMemory& memory) {
  const size_t rows = args.rows, columns = args.columns, padded = padded_columns(columns), n = args.width();
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(memory.scaled + i, load(x + i) * load(args.gain + i));
  for (; i < n; i++) memory.scaled[i] = x[i] * args.gain[i];
  // Padded columns are products with 0, and are not read.
  kronecker_product({memory.scaled, columns, 1}, rows, memory.right, padded, columns, memory.inner, padded, padded);
  kronecker_product({args.left, 1, rows}, rows, memory.inner, padded, rows, y, columns, columns);
}

}  // namespace spinquant::SPINQUANT_ISA

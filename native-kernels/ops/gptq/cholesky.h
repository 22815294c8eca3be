// Bodies of the reverse Cholesky factorization; only for kernel.cc.
#pragma once
#include "../../operator/scratch.h"
#include "../../cpu/simd_double.h"
#include "gptq.h"

namespace spinquant::SPINQUANT_ISA {

/// Elements of one product kept in registers, [kMicroRows, kMicroColumns], and rows of T it runs over at a time.
constexpr size_t kMicroRows = kLanes == 16 ? 8 : 4, kMicroVectors = 3, kMicroColumns = kMicroVectors * kHalf;
constexpr size_t kDepth = 128;
/// Vectors of columns solved together: as many chains of additions.
constexpr size_t kSolveVectors = 8, kSolveColumns = kSolveVectors * kHalf;
static_assert(kBlockRows % kMicroRows == 0 && kTileColumns % kMicroColumns == 0 && kBlockRows % kSolveColumns == 0);

SPINQUANT_INLINE size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

SPINQUANT_INLINE double shift_of(const ReverseCholeskyArgs& args) {
  double sum = 0;
  for (size_t j = 0; j < args.n; j++) sum += args.h[j * args.n + j];
  return sum == 0 ? 1 : args.damping * (sum / static_cast<double>(args.n));
}

/// The tile of H + λI, zeros above the diagonal.
SPINQUANT_INLINE void start_sums(const ReverseCholeskyArgs& args, size_t tile) {
  const size_t column = tile * kTileColumns;
  double* sums = args.tile(tile);
  for (size_t j = args.begin; j < args.end(); j++, sums += kTileColumns) {
    const float* h = args.h + j * args.n + column;
    const size_t count = j < column ? 0 : smaller(kTileColumns, j + 1 - column);
    for (size_t k = 0; k < count; k++) sums[k] = h[k];
    for (size_t k = count; k < kTileColumns; k++) sums[k] = 0;
    if (count > 0 && column + count == j + 1) sums[count - 1] += *args.shift;
  }
}

/// Columns of some rows as doubles in panels [depth, Panel], one panel after the other, filled up with zeros.
template <size_t Panel>
SPINQUANT_INLINE void pack(const float* from, size_t stride, size_t depth, size_t width, double* to) {
  for (size_t start = 0; start < width; start += Panel) {
    const size_t count = smaller(Panel, width - start);
    const float* row = from + start;
    for (size_t k = 0; k < depth; k++, row += stride, to += Panel) {
      if (count == Panel) {
        for (size_t e = 0; e < Panel; e++) to[e] = row[e];
      } else {
        for (size_t e = 0; e < Panel; e++) to[e] = e < count ? row[e] : 0;
      }
    }
  }
}

/// sums [kMicroRows, kMicroColumns] -= aᵀb, for panels a [depth, kMicroRows] and b [depth, kMicroColumns].
SPINQUANT_INLINE void subtract_product(const double* a, const double* b, size_t depth, double* sums) {
  DoubleVec product[kMicroRows][kMicroVectors] = {};
  for (size_t k = 0; k < depth; k++, a += kMicroRows, b += kMicroColumns) {
    DoubleVec columns[kMicroVectors];
    SPINQUANT_UNROLL
    for (size_t v = 0; v < kMicroVectors; v++) columns[v] = load_double(b + v * kHalf);
    SPINQUANT_UNROLL
    for (size_t r = 0; r < kMicroRows; r++) {
      const DoubleVec row = splat_double(a[r]);
      SPINQUANT_UNROLL
      for (size_t v = 0; v < kMicroVectors; v++) product[r][v] = fma_double(row, columns[v], product[r][v]);
    }
  }
  SPINQUANT_UNROLL
  for (size_t r = 0; r < kMicroRows; r++) {
    SPINQUANT_UNROLL
    for (size_t v = 0; v < kMicroVectors; v++) {
      double* sum = sums + r * kTileColumns + v * kHalf;
      store_double(sum, load_double(sum) - product[r][v]);
    }
  }
}

/// Takes the products of up to kDepth finished rows of T, from `row` on, off the tile's sums. The block has all its
/// rows, because some come after it. @param memory [kDepth, kBlockRows + kTileColumns].
inline void subtract_rows(const ReverseCholeskyArgs& args, size_t tile, size_t row, double* memory) {
  const size_t column = tile * kTileColumns, width = smaller(kTileColumns, args.end() - column);
  const size_t depth = smaller(kDepth, args.n - row);
  const float* t = args.t + row * args.n;
  double *left = memory, *right = memory + kDepth * kBlockRows, *sums = args.tile(tile);
  pack<kMicroRows>(t + args.begin, args.n, depth, kBlockRows, left);
  pack<kMicroColumns>(t + column, args.n, depth, width, right);
  for (size_t k = 0; k < width; k += kMicroColumns) {
    for (size_t r = 0; r < kBlockRows; r += kMicroRows)
      subtract_product(left + r * depth, right + k * depth, depth, sums + r * kTileColumns + k);
  }
}

/// x_r -= Σ_{i>r} factor_ir x_i, for kSolveColumns columns of rows `stride` apart.
SPINQUANT_INLINE void eliminate(double* x, size_t stride, size_t r, size_t rows, const double* factor) {
  DoubleVec sum[kSolveVectors] = {};
  for (size_t i = r + 1; i < rows; i++) {
    const DoubleVec f = splat_double(factor[i * kBlockRows + r]);
    SPINQUANT_UNROLL
    for (size_t v = 0; v < kSolveVectors; v++) sum[v] = fma_double(f, load_double(x + i * stride + v * kHalf), sum[v]);
  }
  SPINQUANT_UNROLL
  for (size_t v = 0; v < kSolveVectors; v++) {
    double* end = x + r * stride + v * kHalf;
    store_double(end, load_double(end) - sum[v]);
  }
}

/// Divides, and rounds to float32: later rows go on with what T holds.
SPINQUANT_INLINE void divide(double* x, size_t count, double pivot) {
  for (size_t k = 0; k < count; k++) x[k] = static_cast<float>(x[k] / pivot);
}

/// T on the diagonal, [kBlockRows, kBlockRows] with zeros above the diagonal.
inline void factor_block(const ReverseCholeskyArgs& args, double* factor) {
  const size_t rows = args.end() - args.begin;
  const double *sums = args.diagonal(), shift = *args.shift;
  for (size_t r = rows; r-- > 0;) {
    double* x = factor + r * kBlockRows;
    memcpy(x, sums + r * kTileColumns, kBlockRows * sizeof(double));
    for (size_t k = 0; k <= r; k += kSolveColumns) eliminate(factor + k, kBlockRows, r, rows, factor);
    x[r] = static_cast<float>(__builtin_sqrt(x[r] < shift ? shift : x[r]));
    divide(x, r, x[r]);
    for (size_t k = r + 1; k < kBlockRows; k++) x[k] = 0;
  }
}

SPINQUANT_INLINE void put_block(const ReverseCholeskyArgs& args, const double* factor) {
  for (size_t j = args.begin; j < args.end(); j++, factor += kBlockRows) {
    float* t = args.t + j * args.n + args.begin;
    for (size_t k = 0; k <= j - args.begin; k++) t[k] = static_cast<float>(factor[k]);
  }
}

/// The block's rows of T for the tile's columns before the block, a whole number of kBlockRows.
inline void solve_tile(const ReverseCholeskyArgs& args, size_t tile, const double* factor) {
  const size_t column = tile * kTileColumns, rows = args.end() - args.begin;
  const size_t width = args.begin > column ? smaller(kTileColumns, args.begin - column) : 0;
  for (size_t k = 0; k < width; k += kSolveColumns) {
    double* x = args.tile(tile) + k;
    for (size_t r = rows; r-- > 0;) {
      double* row = x + r * kTileColumns;
      eliminate(x, kTileColumns, r, rows, factor);
      divide(row, kSolveColumns, factor[r * kBlockRows + r]);
      float* t = args.t + (args.begin + r) * args.n + column + k;
      for (size_t c = 0; c < kSolveColumns; c++) t[c] = static_cast<float>(row[c]);
    }
  }
}

}  // namespace spinquant::SPINQUANT_ISA

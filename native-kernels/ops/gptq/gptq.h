// Rounding of a layer's weights with error feedback (GPTQ, Frantar et al. 2023), in the form of QuIP's theorem 1 (Chee
// et al. 2023): a triangular factor of the second moments of the layer's inputs says how far the errors of earlier
// columns are made up for by a later one. No inverse is formed.
#pragma once
#include <cstdint>
#include "../../cpu/variants.h"

namespace spinquant {

/// Rows of T that are finished together, and columns of a tile of them: a whole number of blocks, so that the block on
/// the diagonal lies within one tile.
constexpr size_t kBlockRows = 64, kTileColumns = 192;

/// T lower triangular with TᵀT = H + λI, λ = damping · mean(diag H); λ = 1 if that mean is 0, so that zeros give I.
/// From the last row to the first, with s_jk = (H + λI)_jk - Σ_{i>j} T_ij T_ik, k <= j:
/// T_jj = √max(s_jj, λ), T_jk = s_jk / T_jj.
/// H is positive semi-definite, so s_jj >= λ but for rounding. Only its lower triangle is read.
///
/// Everything is in double precision, products of floats T being exact in it, but for T itself, of which each element
/// is rounded once: |TᵀT - (H + λI)|_jk is T_jj |T_jk| 2⁻²⁴ and what double precision adds, whatever n is.
struct ReverseCholeskyArgs {
  const float* h;  // [n, n]
  float* t;        // [n, n]
  double* shift;   // λ
  double* sums;    // s of the block's rows: tiles [kBlockRows, kTileColumns] one after the other
  size_t n;
  float damping;
  size_t begin;  // the block's first row

  size_t end() const { return n - begin < kBlockRows ? n : begin + kBlockRows; }
  double* tile(size_t index) const { return sums + index * kBlockRows * kTileColumns; }
  /// s_jj of the block's first row; rows are kTileColumns apart.
  const double* diagonal() const { return tile(begin / kTileColumns) + begin % kTileColumns; }
};

/// Weights whose errors are fed back together: rows of W side by side.
constexpr size_t kRowsPerUnit = 64;

/// Unit: kRowsPerUnit rows, each on its own. The j-th column to be rounded is order[j]; T and R are in that order, all
/// else in W's own. For j = 0 … n-1, with w_j and c_j of that column, s and z of the row and the column's group, γ = 1 - β:
/// f_j = Σ_{k<j} (a_k T_jk + γ w'_k R_jk) / T_jj, w'_j = w_j + f_j, c_j = clamp(rne(w'_j / s) + z, low, high),
/// q_j = s·(c_j - z) rounded to float32 as where it is used, a_j = γ (w_j - q_j) - (1 - γ²) f_j.
/// GPTQ has β = 0 and no R.
struct GptqRoundArgs {
  const float* w;      // [m, n]
  const float* t;      // [n, n], lower triangular
  const float* scale;  // [m, groups]
  const float* zero;   // [m, groups], whole numbers
  int8_t* codes;       // [m, n]
  const int64_t* order;  // [n], a permutation; null for 0 … n-1
  const float* drift;    // R [n, n], of which what is below the diagonal is read; null for zeros
  size_t m, n, groups;
  float low, high, beta;

  size_t group_size() const { return n / groups; }
  size_t column(size_t j) const { return order ? static_cast<size_t>(order[j]) : j; }
  size_t group_of(size_t j) const { return column(j) / group_size(); }
};

/// Unit: kRowsPerUnit rows, each on its own. Coordinate descent on (W - Q)(H + λI)(W - Q)ᵀ from the codes given, in so many
/// sweeps over all columns j, with e = w - q of the codes as they are, λ as in ReverseCholeskyArgs:
/// c_j = clamp(rne((w_j + Σ_{k≠j} e_k H_jk / (H_jj + λ)) / s) + z, low, high).
/// A unit none of whose codes changed in a sweep is done.
struct GptqSweepArgs {
  const float* w;       // [m, n]
  const float* h;       // [n, n], symmetric
  const int8_t* given;  // [m, n]
  const float* scale;   // [m, groups]
  const float* zero;    // [m, groups], whole numbers
  int8_t* codes;        // [m, n]
  size_t m, n, groups, sweeps;
  float low, high;
  double shift;  // λ

  size_t group_of(size_t j) const { return j / (n / groups); }
};

/// Unit: one row of T is zeroed; the first one also gives λ.
SPINQUANT_DECLARE_KERNEL(reverse_cholesky_start, ReverseCholeskyArgs)
/// Unit: one tile of columns up to the block's end: s as far as the rows after the block go into it.
SPINQUANT_DECLARE_KERNEL(reverse_cholesky_sums, ReverseCholeskyArgs)
/// Unit: one tile of columns before the block: the block's rows of T. The first also gives those on the diagonal.
SPINQUANT_DECLARE_KERNEL(reverse_cholesky_solve, ReverseCholeskyArgs)
SPINQUANT_DECLARE_KERNEL(gptq_round, GptqRoundArgs)
SPINQUANT_DECLARE_KERNEL(gptq_sweep, GptqSweepArgs)

}  // namespace spinquant

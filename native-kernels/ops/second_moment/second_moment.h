// Sums of second moments over rows: next = sum + XᵀX, of which half the products suffice.
#pragma once
#include "../../cpu/variants.h"

namespace spinquant {

/// next_ij = sum_ij + Σ_t x_ti x_tj for j <= i, and next_ji = next_ij. Of sum only the elements with j <= i are read; next
/// may be written over it. Products are summed over kMomentDepth rows from zero on, and such sums are added in order:
/// an element is off by at most (kMomentDepth + rows / kMomentDepth + 1) 2⁻²⁴ (|sum_ij| + Σ |x_ti x_tj|), to first order.
///
/// In one piece each x is the nearest number of bfloat16 first, off by at most 2⁻⁸ of it: a product is off by at most
/// (2⁻⁷ + 2⁻¹⁶) |x_ti x_tj|. Networks that compute in bfloat16 hand no more than that to those who estimate moments.
/// Unit: one tile of the lower triangle, [side, side] but at the end, with its mirror image.
struct SecondMomentArgs {
  const float* x;    // [rows, n]
  const float* sum;  // [n, n]
  float* next;       // [n, n]
  size_t rows, n, side;

  size_t tiles() const { return (n + side - 1) / side; }
};

/// Rows whose products are summed from zero on: a tile of the widest side stays in the second-level cache with them.
constexpr size_t kMomentDepth = 256;
/// The same, of rows in bfloat16.
constexpr size_t kRoundedDepth = 512;

SPINQUANT_DECLARE_KERNEL(second_moment, SecondMomentArgs)

namespace avx512_bf16 { void rounded_moment(const SecondMomentArgs&, size_t first, size_t last); }
namespace amx { void rounded_moment(const SecondMomentArgs&, size_t first, size_t last); }

}  // namespace spinquant

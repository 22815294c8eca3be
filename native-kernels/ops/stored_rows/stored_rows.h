// Products of a few rows with a bfloat16 matrix as it is stored: for a single token, reading it is what takes time.
#pragma once
#include <cstdint>
#include "../../cpu/variants.h"

namespace spinquant {

/// Unit: one row n of W. y[t, n] = Σ x[t, k]·W[n, k], sums in float32.
struct StoredRowsArgs {
  const float* x;     // [rows, depth]
  const uint16_t* w;  // bfloat16 [width, depth]
  float* y;           // [rows, width]
  size_t rows, depth, width;
};

SPINQUANT_DECLARE_KERNEL(stored_rows, StoredRowsArgs)

}  // namespace spinquant

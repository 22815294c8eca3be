// Y = Lᵀ (diag(s) X) R of each row x of n = rows · columns channels, taken as a matrix X [rows, columns] (FlatQuant).
#pragma once
#include <cstddef>

namespace spinquant {

/// Unit: one row of x.
struct KroneckerArgs {
  const float* x;      // [units, n]
  float* y;            // the same; may be x
  const float* gain;   // s [n]
  const float* left;   // L [rows, rows]
  const float* right;  // R [columns, columns]
  size_t rows;         // 0 where an operator has no such map
  size_t columns;

  size_t width() const { return rows * columns; }
};

}  // namespace spinquant

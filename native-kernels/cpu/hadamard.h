// Y = scale · (M × (Z · H)), Z = X as [order, block / order] row-major, H the Sylvester-Hadamard matrix of ±1.
#pragma once
#include "hadamard_codes.h"

namespace spinquant {

/// Unit: one block.
struct HadamardArgs {
  const float* x;  // [units, block]
  float* y;        // the same; may be x
  const float* m;  // [order, order]; null when order is 1
  size_t block;    // order · 2^k
  size_t order;
  float scale;
  bool transpose;  // Mᵀ in place of M
  // prepare_mix made these of M: codes if its entries are ±1, else entries. The reference does not read them.
  const unsigned char* codes;
  const float* entries;
};

}  // namespace spinquant

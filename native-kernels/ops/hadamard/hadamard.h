// Y = scale · (M × (Z · H)), Z = X as [order, block / order] row-major, H the Sylvester-Hadamard matrix of ±1.
#pragma once
#include "../../cpu/variants.h"

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
  // What prepare_mix made of M (the reference does not look): codes if its entries are ±1, else entries.
  const unsigned char* codes;
  const float* entries;
};

SPINQUANT_DECLARE_KERNEL(hadamard, HadamardArgs)

}  // namespace spinquant

// Rotary position embedding, half-split pairing.
#pragma once
#include "../../cpu/head_rows.h"
#include "../../cpu/variants.h"

namespace spinquant {

/// Unit: one row of h = 2·half entries at position (row mod positions).
/// y1 = x1·cos - x2·sin, y2 = x2·cos + x1·sin, where x1, x2 are the halves of the row.
struct RotaryArgs {
  const float* x;
  const float* cos;  // [positions, half]
  const float* sin;
  float* y;  // may be x
  size_t half;
  size_t positions;
  float sign;  // -1 rotates back: sin → -sin
};

/// Heads of a product with RoPE and a transform, head after head. Unit: one token.
struct RotaryHeadsArgs {
  HeadRows rows;  // not plain
  float* y;       // [sequences, heads, tokens, width]
};

SPINQUANT_DECLARE_KERNEL(rotary, RotaryArgs)
SPINQUANT_DECLARE_KERNEL(rotary_heads, RotaryHeadsArgs)

}  // namespace spinquant

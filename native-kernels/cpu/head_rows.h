// Rows of heads as a product gives them, and what is done to one before it is used: RoPE, then a Hadamard transform.
#pragma once
#include "hadamard.h"

namespace spinquant {

/// x [sequences, tokens, heads, width].
struct HeadRows {
  const float* x;
  size_t sequences, tokens, heads, width;
  const float *cos, *sin;  // [tokens, width / 2], or null
  HadamardArgs blocks;     // its x and y are not used, and block 0 is none

  bool are_plain() const { return !cos && blocks.block == 0; }
  const float* at(size_t sequence, size_t head, size_t token) const {
    return x + ((sequence * tokens + token) * heads + head) * width;
  }
};

}  // namespace spinquant

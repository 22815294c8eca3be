// Kernels that read rows of heads include these steps.
#pragma once
#include "hadamard_blocks.h"
#include "head_rows.h"
#include "simd_rows.h"

namespace spinquant::SPINQUANT_ISA {

/// Bytes of working memory for `turned_row`.
SPINQUANT_INLINE size_t turning_memory(const HeadRows& rows) {
  return rows.blocks.block > 0 ? hadamard_memory(rows.blocks.order) : 0;
}

/// The row with RoPE and its transform, in `own`; where there is neither, the row itself.
static const float* turned_row(const HeadRows& rows, size_t sequence, size_t head, size_t token, float* own,
                               void* memory) {
  const float* x = rows.at(sequence, head, token);
  if (rows.cos) {
    const size_t half = rows.width / 2;
    rotary_row(x, rows.cos + token * half, rows.sin + token * half, own, half, 1);
    x = own;
  }
  if (rows.blocks.block == 0) return x;
  HadamardArgs blocks = rows.blocks;
  blocks.x = x;
  blocks.y = own;
  hadamard_blocks(blocks, 0, rows.width / blocks.block, memory);
  return own;
}

}  // namespace spinquant::SPINQUANT_ISA

// Transforms whole blocks; included by the kernels that need it.
#pragma once
#include "hadamard.h"
#include "hadamard_mix.h"
#include "sylvester.h"

namespace spinquant::SPINQUANT_ISA {

/// Bytes of working memory for blocks of this order, aligned as a cache line is.
SPINQUANT_INLINE size_t hadamard_memory(size_t order) { return order > 1 ? MixMemory::bytes(order) : 0; }

/// Blocks first <= u < last. Order above 1: the power-of-two part on the rows of each block, then M on its columns.
static void hadamard_blocks(const HadamardArgs& args, size_t first, size_t last, void* working_memory) {
  if (args.order == 1) {
    const size_t start = first * args.block, size = (last - first) * args.block;
    return sylvester(args.x + start, args.y + start, size, args.block, args.scale);
  }
  const size_t columns = args.block / args.order, step = blocks_per_tile(args);
  const MixMemory memory(working_memory, args.order);
  for (size_t u = first; u < last; u += step) {
    size_t blocks = last - u < step ? last - u : step;
    float* y = args.y + u * args.block;
    sylvester(args.x + u * args.block, y, blocks * args.block, columns, 1.0f);
    mix(args, y, blocks, memory);
  }
}

}  // namespace spinquant::SPINQUANT_ISA

#include "hadamard.h"
#include "../../operator/scratch.h"
#include "mix.h"
#include "sylvester.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

/// Order above 1: the power-of-two part on the rows of each block, then M on its columns.
void hadamard_mixed(const HadamardArgs& args, size_t first, size_t last) {
  const size_t columns = args.block / args.order, step = blocks_per_tile(args);
  Scratch scratch(MixMemory::bytes(args.order));
  const MixMemory memory(scratch.bytes(), args.order);
  for (size_t u = first; u < last; u += step) {
    size_t blocks = last - u < step ? last - u : step;
    float* y = args.y + u * args.block;
    sylvester(args.x + u * args.block, y, blocks * args.block, columns, 1.0f);
    mix(args, y, blocks, memory);
  }
}

}  // namespace

void hadamard(const HadamardArgs& args, size_t first, size_t last) {
  if (args.order > 1) return hadamard_mixed(args, first, last);
  const size_t start = first * args.block, size = (last - first) * args.block;
  sylvester(args.x + start, args.y + start, size, args.block, args.scale);
}

}  // namespace spinquant::SPINQUANT_ISA

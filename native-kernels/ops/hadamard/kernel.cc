#include "../../cpu/hadamard_blocks.h"
#include "../../operator/scratch.h"
#include "hadamard.h"

namespace spinquant::SPINQUANT_ISA {

void hadamard(const HadamardArgs& args, size_t first, size_t last) {
  const Scratch memory(hadamard_memory(args.order));
  hadamard_blocks(args, first, last, memory.bytes());
}

}  // namespace spinquant::SPINQUANT_ISA

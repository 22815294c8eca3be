#include "../../cpu/kronecker_rows.h"
#include "../../operator/scratch.h"
#include "kronecker.h"

namespace spinquant::SPINQUANT_ISA {

void kronecker(const KroneckerArgs& args, size_t first, size_t last) {
  const Scratch scratch(KroneckerMemory::bytes(args));
  const KroneckerMemory memory(args, scratch.bytes());
  kronecker_prepare(args, memory);
  for (size_t unit = first; unit < last; unit++) {
    kronecker_row(args, args.x + unit * args.width(), args.y + unit * args.width(), memory);
  }
}

}  // namespace spinquant::SPINQUANT_ISA

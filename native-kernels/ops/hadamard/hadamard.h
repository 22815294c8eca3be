// The operator on the blocks of cpu/hadamard.h.
#pragma once
#include "../../cpu/hadamard.h"
#include "../../cpu/variants.h"

namespace spinquant {

SPINQUANT_DECLARE_KERNEL(hadamard, HadamardArgs)

}  // namespace spinquant

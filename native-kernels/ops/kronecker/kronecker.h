// Rows times diag(s) (L ⊗ R): see cpu/kronecker.h.
#pragma once
#include "../../cpu/kronecker.h"
#include "../../cpu/variants.h"

namespace spinquant {

SPINQUANT_DECLARE_KERNEL(kronecker, KroneckerArgs)

}  // namespace spinquant

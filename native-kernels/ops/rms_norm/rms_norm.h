// Root-mean-square normalization without gain, and its gradient.
#pragma once
#include "../../cpu/variants.h"

namespace spinquant {

/// Unit: one row of n. y = r·x, r = 1 / √(mean(x²) + ε).
struct RmsNormArgs {
  const float* x;
  float* y;  // may be x
  size_t n;
  float epsilon;
};

/// Unit: one row of n. dx = r·(dy - x·(r²/n)·Σ dy·x).
struct RmsNormGradArgs {
  const float* x;
  const float* dy;
  float* dx;  // may be dy
  size_t n;
  float epsilon;
};

SPINQUANT_DECLARE_KERNEL(rms_norm, RmsNormArgs)
SPINQUANT_DECLARE_KERNEL(rms_norm_grad, RmsNormGradArgs)

}  // namespace spinquant

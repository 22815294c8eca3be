// A smooth stand-in for the largest deviation of a token (InfoQuant's soft peak), and its gradient.
#pragma once
#include "../../cpu/variants.h"

namespace spinquant {

/// Unit: one row y of n. With a = |y - mean(y)| and s = softmax(a / T): loss = √(Σ (s∘a)² + ε).
struct PeakLossArgs {
  const float* y;
  float* loss;  // one per row
  size_t n;
  float temperature, epsilon;
};

/// Unit: one row. With w = s∘a, g = w / loss and G = Σ g∘w:
/// d = dloss·sign(y - mean(y))·(g∘s + (g∘w - s·G) / T), sign(0) = 0, and dy = d - mean(d).
struct PeakLossGradArgs {
  const float* y;
  const float* dloss;  // one per row
  float* dy;
  size_t n;
  float temperature, epsilon;
};

SPINQUANT_DECLARE_KERNEL(peak_loss, PeakLossArgs)
SPINQUANT_DECLARE_KERNEL(peak_loss_grad, PeakLossGradArgs)

}  // namespace spinquant

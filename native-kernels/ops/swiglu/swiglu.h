// silu(gate)·up with silu(x) = x / (1 + e^-x), and its gradient.
#pragma once
#include "../../cpu/variants.h"

namespace spinquant {

/// Unit: one stretch of kSwigluUnit elements; the last may be shorter.
constexpr size_t kSwigluUnit = 1024;

struct SwigluArgs {
  const float* gate;
  const float* up;
  float* y;  // may be gate
  size_t count;
};

/// With σ = 1 / (1 + e^-gate): d_up = dy·gate·σ, d_gate = dy·up·σ·(1 + gate·(1 - σ)).
struct SwigluGradArgs {
  const float* gate;
  const float* up;
  const float* dy;
  float* d_gate;  // may be gate
  float* d_up;
  size_t count;
};

SPINQUANT_DECLARE_KERNEL(swiglu, SwigluArgs)
SPINQUANT_DECLARE_KERNEL(swiglu_grad, SwigluGradArgs)

/// Elements of the units first <= u < last.
inline size_t swiglu_end(size_t last, size_t count) { return last * kSwigluUnit < count ? last * kSwigluUnit : count; }

}  // namespace spinquant

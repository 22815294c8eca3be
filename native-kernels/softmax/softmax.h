// Causal (optionally sliding-window) softmax over attention scores, and its gradient.
#pragma once
#include "../core/variants.h"

namespace spinquant {

/// Keys that a query may see: first <= j < last.
struct VisibleKeys {
  size_t first, last;
};

/// Query rows are positions (row mod rows), aligned to the end of the keys.
struct CausalMask {
  size_t keys;
  size_t rows;    // query positions per head; 1 <= rows <= keys
  size_t window;  // keys seen, the query's own included; 0 = all

  VisibleKeys visible(size_t row) const {
    size_t last = row % rows + (keys - rows) + 1;
    size_t first = window > 0 && last > window ? last - window : 0;
    return {first, last};
  }
};

/// Unit: one row of `keys` scores. y_j = e^(scale·s_j) / Σ e^(scale·s_i) over visible keys, 0 elsewhere.
struct CausalSoftmaxArgs {
  const float* scores;
  float* y;  // may be scores
  CausalMask mask;
  float scale;
};

/// Unit: one row. ds_j = scale · p_j · (dp_j - Σ_i p_i·dp_i) over visible keys, 0 elsewhere.
struct CausalSoftmaxGradArgs {
  const float* p;
  const float* dp;
  float* ds;  // may be dp
  CausalMask mask;
  float scale;
};

SPINQUANT_DECLARE_KERNEL(causal_softmax, CausalSoftmaxArgs)
SPINQUANT_DECLARE_KERNEL(causal_softmax_grad, CausalSoftmaxGradArgs)

}  // namespace spinquant

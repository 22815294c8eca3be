// Cross-entropy of each token, and its gradient.
#pragma once
#include <cstdint>
#include "../../cpu/variants.h"

namespace spinquant {

/// Unit: one row of `vocabulary` logits. nll = ln Σ e^logit - logit[label]; 0 where label < 0.
struct TokenLossArgs {
  const float* logits;
  const int64_t* labels;
  float* nll;
  size_t vocabulary;
};

/// Unit: one row. nll as above and d_logits = d_nll·(softmax(logits) - onehot(label)); 0 where label < 0.
struct TokenLossGradArgs {
  const float* logits;
  const int64_t* labels;
  const float* d_nll;
  float* d_logits;  // may be logits
  float* nll;
  size_t vocabulary;
};

SPINQUANT_DECLARE_KERNEL(token_loss, TokenLossArgs)
SPINQUANT_DECLARE_KERNEL(token_loss_grad, TokenLossGradArgs)

}  // namespace spinquant

// Cross-entropy of tokens with a bfloat16 output layer as it is stored: logits are never in memory together.
#pragma once
#include <cstdint>
#include "../../cpu/variants.h"

namespace spinquant {

/// nll[t] = ln Σ e^logit - logit[label], logit[n] = Σ x[t, k]·W[n, k] with sums in float32; 0 where label < 0.
/// The vocabulary goes in `slices`. A slice leaves the highest logit of each token and Σ e^(logit - highest), and the
/// logit of the label where that is among its rows. `head_loss_merge` brings slices together, in their order.
struct HeadLossArgs {
  const float* x;         // [tokens, depth]
  const uint16_t* w;      // bfloat16 [vocabulary, depth]
  const int64_t* labels;  // [tokens]
  float* nll;             // [tokens]
  float* columns;         // [panels, depth, tokens of a panel]: x as products read it
  float* partial;         // [slices, 2, tokens of all panels]
  float* picked;          // [tokens]
  size_t tokens, depth, vocabulary, slices;

  size_t first_of(size_t slice) const { return vocabulary * slice / slices; }
};

/// Tokens are padded to a multiple of this: the panels of every instruction set divide it.
constexpr size_t kHeadLossTokens = 48;

/// Unit: kHeadLossTokens tokens.
SPINQUANT_DECLARE_KERNEL(head_loss_columns, HeadLossArgs)
/// Unit: one slice.
SPINQUANT_DECLARE_KERNEL(head_loss, HeadLossArgs)
/// Unit: one token.
SPINQUANT_DECLARE_KERNEL(head_loss_merge, HeadLossArgs)

}  // namespace spinquant

#include <algorithm>
#include <cmath>
#include "token_loss.h"

namespace spinquant::reference {
namespace {

double log_sum_exp(const float* logits, size_t count) {
  double highest = *std::max_element(logits, logits + count), total = 0;
  for (size_t i = 0; i < count; i++) total += std::exp(logits[i] - highest);
  return highest + std::log(total);
}

}  // namespace

void token_loss(const TokenLossArgs& args, size_t first, size_t last) {
  for (size_t row = first; row < last; row++) {
    const float* logits = args.logits + row * args.vocabulary;
    int64_t label = args.labels[row];
    args.nll[row] = label < 0 ? 0 : static_cast<float>(log_sum_exp(logits, args.vocabulary) - logits[label]);
  }
}

void token_loss_grad(const TokenLossGradArgs& args, size_t first, size_t last) {
  for (size_t row = first; row < last; row++) {
    const float* logits = args.logits + row * args.vocabulary;
    float* d_logits = args.d_logits + row * args.vocabulary;
    int64_t label = args.labels[row];
    double normalizer = label < 0 ? 0 : log_sum_exp(logits, args.vocabulary);
    args.nll[row] = label < 0 ? 0 : static_cast<float>(normalizer - logits[label]);
    for (size_t i = 0; i < args.vocabulary; i++) {
      double p = std::exp(logits[i] - normalizer) - (static_cast<int64_t>(i) == label ? 1 : 0);
      d_logits[i] = label < 0 ? 0 : static_cast<float>(args.d_nll[row] * p);
    }
  }
}

}  // namespace spinquant::reference

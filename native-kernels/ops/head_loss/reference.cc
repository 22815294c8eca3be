#include <algorithm>
#include <cmath>
#include <cstring>
#include "head_loss.h"

namespace spinquant::reference {
namespace {

double widened(uint16_t bits) {
  uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float value;
  std::memcpy(&value, &wide, sizeof value);
  return value;
}

double logit_of(const HeadLossArgs& args, size_t token, size_t row) {
  double sum = 0;
  for (size_t k = 0; k < args.depth; k++) sum += args.x[token * args.depth + k] * widened(args.w[row * args.depth + k]);
  return sum;
}

}  // namespace

void head_loss_columns(const HeadLossArgs&, size_t, size_t) {}

void head_loss(const HeadLossArgs&, size_t, size_t) {}

void head_loss_merge(const HeadLossArgs& args, size_t first, size_t last) {
  for (size_t token = first; token < last; token++) {
    const int64_t label = args.labels[token];
    args.nll[token] = 0;
    if (label < 0) continue;
    double highest = logit_of(args, token, 0), total = 0;
    for (size_t row = 1; row < args.vocabulary; row++) highest = std::max(highest, logit_of(args, token, row));
    for (size_t row = 0; row < args.vocabulary; row++) total += std::exp(logit_of(args, token, row) - highest);
    const double picked = logit_of(args, token, static_cast<size_t>(label));
    args.nll[token] = static_cast<float>(std::log(total) + (highest - picked));
  }
}

}  // namespace spinquant::reference

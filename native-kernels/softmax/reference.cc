#include <algorithm>
#include <cmath>
#include "softmax.h"

namespace spinquant::reference {
namespace {

void softmax_row(const CausalSoftmaxArgs& args, size_t row) {
  const float* s = args.scores + row * args.mask.keys;
  float* y = args.y + row * args.mask.keys;
  VisibleKeys keys = args.mask.visible(row);
  double highest = -INFINITY, total = 0;
  for (size_t j = keys.first; j < keys.last; j++) highest = std::max(highest, static_cast<double>(args.scale) * s[j]);
  for (size_t j = keys.first; j < keys.last; j++) total += std::exp(static_cast<double>(args.scale) * s[j] - highest);
  for (size_t j = 0; j < args.mask.keys; j++) {
    bool visible = j >= keys.first && j < keys.last;
    y[j] = visible ? static_cast<float>(std::exp(static_cast<double>(args.scale) * s[j] - highest) / total) : 0;
  }
}

void softmax_grad_row(const CausalSoftmaxGradArgs& args, size_t row) {
  size_t start = row * args.mask.keys;
  VisibleKeys keys = args.mask.visible(row);
  double dot = 0;
  for (size_t j = keys.first; j < keys.last; j++) dot += static_cast<double>(args.p[start + j]) * args.dp[start + j];
  for (size_t j = 0; j < args.mask.keys; j++) {
    bool visible = j >= keys.first && j < keys.last;
    double ds = args.scale * static_cast<double>(args.p[start + j]) * (args.dp[start + j] - dot);
    args.ds[start + j] = visible ? static_cast<float>(ds) : 0;
  }
}

}  // namespace

void causal_softmax(const CausalSoftmaxArgs& args, size_t first, size_t last) {
  for (size_t row = first; row < last; row++) softmax_row(args, row);
}

void causal_softmax_grad(const CausalSoftmaxGradArgs& args, size_t first, size_t last) {
  for (size_t row = first; row < last; row++) softmax_grad_row(args, row);
}

}  // namespace spinquant::reference

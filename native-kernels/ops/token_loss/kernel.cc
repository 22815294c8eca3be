#include "../../cpu/simd_math.h"
#include "../../cpu/simd_reduce.h"
#include "token_loss.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

/// Logits are taken in stretches that stay in the first-level cache, so that a row is read from memory once.
constexpr size_t kStretch = 2048;

/// Σ e^(x - shift).
float sum_of_exponentials(const float* x, size_t count, float shift) {
  const Vec shifts = splat(shift);
  Vec a = splat(0), b = splat(0);
  size_t i = 0;
  for (; i + 2 * kLanes <= count; i += 2 * kLanes) {
    a += exp(load(x + i) - shifts);
    b += exp(load(x + i + kLanes) - shifts);
  }
  for (; i + kLanes <= count; i += kLanes) a += exp(load(x + i) - shifts);
  // e^-infinity is 0.
  if (i < count) b += exp(load_part(x + i, count - i, -__builtin_inff()) - shifts);
  return sum(a + b);
}

struct Normalizer {
  float highest;
  double total;  // Σ e^(x - highest)
};

Normalizer normalizer_of(const float* x, size_t count) {
  Normalizer n{x[0], 0};
  for (size_t i = 0; i < count; i += kStretch) {
    size_t part = count - i < kStretch ? count - i : kStretch;
    float highest = maximum(x + i, part);
    if (highest > n.highest) {
      n.total *= __builtin_exp(static_cast<double>(n.highest) - highest);
      n.highest = highest;
    }
    n.total += sum_of_exponentials(x + i, part, n.highest);
  }
  return n;
}

float loss_of(const Normalizer& n, float logit) {
  return static_cast<float>(__builtin_log(n.total) + (static_cast<double>(n.highest) - logit));
}

}  // namespace

void token_loss(const TokenLossArgs& args, size_t first, size_t last) {
  for (size_t row = first; row < last; row++) {
    const float* logits = args.logits + row * args.vocabulary;
    int64_t label = args.labels[row];
    if (label < 0) {
      args.nll[row] = 0;
      continue;
    }
    Normalizer n = normalizer_of(logits, args.vocabulary);
    args.nll[row] = loss_of(n, logits[label]);
  }
}

void token_loss_grad(const TokenLossGradArgs& args, size_t first, size_t last) {
  for (size_t row = first; row < last; row++) {
    const float* logits = args.logits + row * args.vocabulary;
    float* d_logits = args.d_logits + row * args.vocabulary;
    int64_t label = args.labels[row];
    if (label < 0) {
      args.nll[row] = 0;
      fill_zero(d_logits, args.vocabulary);
      continue;
    }
    Normalizer n = normalizer_of(logits, args.vocabulary);
    args.nll[row] = loss_of(n, logits[label]);
    const Vec highest = splat(n.highest);
    const Vec weight = splat(static_cast<float>(args.d_nll[row] / n.total));
    map(logits, d_logits, args.vocabulary, [&](Vec x) { return weight * exp(x - highest); });
    d_logits[label] -= args.d_nll[row];
  }
}

}  // namespace spinquant::SPINQUANT_ISA

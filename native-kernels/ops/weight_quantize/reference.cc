#include <algorithm>
#include <cmath>
#include "weight_quantize.h"

// Quantized values are float32 steps (that is their definition); the error of a candidate is summed in double.
namespace spinquant::reference {
namespace {

struct Candidate {
  float scale, zero, low, high;
  bool symmetric;
  float operator()(float w) const {
    float level = std::nearbyint(w / scale);
    if (symmetric) return scale * std::min(std::max(level, low), high);
    return scale * (std::min(std::max(level + zero, low), high) - zero);
  }
};

Candidate make_candidate(const WeightQuantizeArgs& args, float low, float high, float p) {
  float q = args.max_level;
  if (args.symmetric) return {p * std::max(std::max(std::fabs(low), std::fabs(high)), 1e-5f) / q, 0, -q - 1, q, true};
  float scale = (high * p - low * p) / q;
  return {scale, std::nearbyint(-(low * p) / scale), 0, q, false};
}

double error_of(const WeightQuantizeArgs& args, const Candidate& quantized, const float* w) {
  double total = 0;
  for (size_t i = 0; i < args.group; i++) {
    total += std::pow(std::fabs(static_cast<double>(quantized(w[i])) - w[i]), 2.4);
  }
  return total;
}

float best_ratio(const WeightQuantizeArgs& args, float low, float high, const float* w) {
  double best = INFINITY;
  float ratio = 1;
  for (int i = 0; i < kClipCandidates; i++) {
    double error = error_of(args, make_candidate(args, low, high, clip_candidate(i)), w);
    if (error >= best) continue;
    best = error;
    ratio = clip_candidate(i);
  }
  return ratio;
}

void quantize_group(const WeightQuantizeArgs& args, size_t unit) {
  const float* w = args.w + unit * args.group;
  float* y = args.y + unit * args.group;
  float* ratio = args.ratio + unit;
  float low = *std::min_element(w, w + args.group), high = *std::max_element(w, w + args.group);
  if (args.include_zero) {
    low = std::min(low, 0.0f);
    high = std::max(high, 0.0f);
  }
  if (!args.symmetric && low == 0 && high == 0) {
    low = -1;
    high = 1;
  }
  *ratio = args.given ? args.given[unit] : 1;
  if (make_candidate(args, low, high, 1).scale == 0) {
    std::copy(w, w + args.group, y);
    return;
  }
  if (args.search && !args.given) *ratio = best_ratio(args, low, high, w);
  Candidate quantized = make_candidate(args, low, high, *ratio);
  for (size_t i = 0; i < args.group; i++) y[i] = quantized(w[i]);
}

}  // namespace

void weight_quantize(const WeightQuantizeArgs& args, size_t first, size_t last) {
  for (size_t u = first; u < last; u++) {
    quantize_group(args, u);
  }
}

}  // namespace spinquant::reference

#include <algorithm>
#include <cmath>
#include "fake_quantize.h"

// The steps are float32 here too: the definition is a sequence of float32 operations.
namespace spinquant::reference {
namespace {

void symmetric_group(const FakeQuantizeArgs& args, const float* x, float* y) {
  float largest = 0;
  for (size_t i = 0; i < args.group; i++) largest = std::max(largest, std::fabs(x[i]));
  float scale = args.clip_ratio * largest / args.max_level;
  if (scale == 0) scale = 1;
  for (size_t i = 0; i < args.group; i++) {
    float level = std::nearbyint(x[i] / scale);
    y[i] = scale * std::min(std::max(level, -args.max_level - 1), args.max_level);
  }
}

void asymmetric_group(const FakeQuantizeArgs& args, const float* x, float* y) {
  float low = *std::min_element(x, x + args.group), high = *std::max_element(x, x + args.group);
  if (args.include_zero) {
    low = std::min(low, 0.0f);
    high = std::max(high, 0.0f);
  }
  low *= args.clip_ratio;
  high *= args.clip_ratio;
  if (low == 0 && high == 0) {
    low = -1;
    high = 1;
  }
  float scale = (high - low) / args.max_level;
  if (scale == 0) {
    std::copy(x, x + args.group, y);
    return;
  }
  float zero = std::nearbyint(-low / scale);
  for (size_t i = 0; i < args.group; i++) {
    float level = std::nearbyint(x[i] / scale) + zero;
    y[i] = scale * (std::min(std::max(level, 0.0f), args.max_level) - zero);
  }
}

}  // namespace

void fake_quantize(const FakeQuantizeArgs& args, size_t first, size_t last) {
  for (size_t u = first; u < last; u++) {
    const float* x = args.x + u * args.group;
    float* y = args.y + u * args.group;
    args.symmetric ? symmetric_group(args, x, y) : asymmetric_group(args, x, y);
  }
}

}  // namespace spinquant::reference

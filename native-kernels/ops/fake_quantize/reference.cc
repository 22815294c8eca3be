#include <algorithm>
#include <cmath>
#include <vector>
#include "../../cpu/nearest_byte.h"
#include "fake_quantize.h"

// Quantization is float32 here too: its definition is a sequence of float32 operations.
namespace spinquant::reference {
namespace {

/// Both return the scale.
float symmetric_group(const FakeQuantizeArgs& args, const float* x, float* y) {
  float largest = 0;
  for (size_t i = 0; i < args.group; i++) largest = std::max(largest, std::fabs(x[i]));
  float scale = args.clip_ratio * largest / args.max_level;
  if (scale == 0) scale = 1;
  for (size_t i = 0; i < args.group; i++) {
    float level = std::nearbyint(x[i] / scale);
    y[i] = scale * std::min(std::max(level, -args.max_level - 1), args.max_level);
  }
  return scale;
}

float asymmetric_group(const FakeQuantizeArgs& args, const float* x, float* y) {
  float low = *std::min_element(x, x + args.group), high = *std::max_element(x, x + args.group);
  if (args.include_zero) {
    low = std::min(low, 0.0f);
    high = std::max(high, 0.0f);
  }
  // An end beyond 0 is cut as the other one.
  const float low_ratio = low > 0 ? args.clip_ratio : args.lower_ratio;
  high *= high < 0 ? args.lower_ratio : args.clip_ratio;
  low *= low_ratio;
  if (low == 0 && high == 0) {
    low = -1;
    high = 1;
  }
  float scale = (high - low) / args.max_level;
  if (scale == 0) {
    std::copy(x, x + args.group, y);
    return scale;
  }
  float zero = std::nearbyint(-low / scale);
  for (size_t i = 0; i < args.group; i++) {
    float level = std::nearbyint(x[i] / scale) + zero;
    y[i] = scale * (std::min(std::max(level, 0.0f), args.max_level) - zero);
  }
  return scale;
}

/// Index of the first element of the largest key.
template <class Key>
size_t first_largest(const float* x, size_t count, Key key) {
  size_t at = 0;
  for (size_t i = 1; i < count; i++)
    if (key(x[i]) > key(x[at])) at = i;
  return at;
}

}  // namespace

void fake_quantize(const FakeQuantizeArgs& args, size_t first, size_t last) {
  for (size_t u = first; u < last; u++) {
    const float* x = args.x + u * args.group;
    float* y = args.y + u * args.group;
    float scale = args.symmetric ? symmetric_group(args, x, y) : asymmetric_group(args, x, y);
    if (args.scales) args.scales[u] = scale;
  }
}

void quantize_rows(const QuantizeRowsArgs& args, size_t first, size_t last) {
  const size_t width = args.quantizer.group;
  std::vector<float> y(width);
  for (size_t u = first; u < last; u++) {
    FakeQuantizeArgs row = args.quantizer;
    row.x += u * width;
    row.y = y.data();
    row.scales += u;
    fake_quantize(row, 0, 1);
    for (size_t i = 0; i < width; i++) {
      args.codes[u * width + i] = *row.scales ? nearest_byte(y[i] / *row.scales) : 0;
    }
  }
}

void row_multiples(const RowMultiplesArgs& args, size_t first, size_t last) {
  for (size_t i = first * args.width; i < last * args.width; i++) {
    args.y[i] = args.scales[i / args.width] * static_cast<float>(args.codes[i]);
  }
}

void fake_quantize_scale_grad(const FakeQuantizeScaleGradArgs& args, size_t first, size_t last) {
  for (size_t u = first; u < last; u++) {
    const float* x = args.x + u * args.group;
    const float* y = args.y + u * args.group;
    std::vector<double> dx(args.dy + u * args.group, args.dy + (u + 1) * args.group);
    double error = 0;
    for (size_t i = 0; i < args.group; i++) error += dx[i] * (static_cast<double>(y[i]) - x[i]);
    if (args.symmetric) {
      size_t at = first_largest(x, args.group, [](float v) { return std::fabs(v); });
      if (x[at] != 0) dx[at] += error / x[at];
    } else {
      size_t top = first_largest(x, args.group, [](float v) { return v; });
      size_t bottom = first_largest(x, args.group, [](float v) { return -v; });
      double high = x[top], low = x[bottom];
      bool high_is_x = !args.include_zero || high > 0, low_is_x = !args.include_zero || low < 0;
      double width = (high_is_x ? high : 0) - (low_is_x ? low : 0);
      if (width > 0 && high_is_x) dx[top] += error / width;
      if (width > 0 && low_is_x) dx[bottom] -= error / width;
    }
    std::copy(dx.begin(), dx.end(), args.dx + u * args.group);
  }
}

}  // namespace spinquant::reference

#include <algorithm>
#include <cmath>
#include "activation_statistics.h"

namespace spinquant::reference {
namespace {

/// The least power of two above every |x|, infinite where none is a float.
double limit_of(const float* largest, size_t channels) {
  double limit = kSmallestLimit;
  for (size_t c = 0; c < channels; c++)
    while (limit <= largest[c] && std::isfinite(limit)) limit *= limit < 0x1p127 ? 2 : INFINITY;
  return limit;
}

/// What is not a number falls into the first bin.
size_t bin_of(double relative, double half) {
  const double bin = std::floor(relative * half) + half;
  return bin >= 0 ? static_cast<size_t>(std::min(bin, 2 * half - 1)) : 0;
}

void sum_block(const float* x, const float* y, size_t count, float* sums) {
  double s[kBlockSums - 1] = {};
  for (size_t i = 0; i < count; i++) {
    double v = x[i], error = y[i] - x[i];
    s[0] += v;
    s[1] += v * v;
    s[2] += v * v * v;
    s[3] += v * v * v * v;
    s[4] += error * error;
  }
  std::copy(std::begin(s), std::end(s), sums);
}

void group_ranges(const float* x, size_t groups, size_t size, float* lows, float* highs) {
  for (size_t g = 0; g < groups; g++) {
    const auto [low, high] = std::minmax_element(x + g * size, x + (g + 1) * size);
    lows[g] = *low;
    highs[g] = *high;
  }
}

}  // namespace

void activation_statistics(const ActivationStatisticsArgs& args, size_t first, size_t last) {
  for (size_t block = first; block < last; block++) {
    const size_t start = block * args.block_rows * args.channels, count = args.rows_of(block) * args.channels;
    const float* x = args.x + start;
    float* sums = args.sums + block * kBlockSums;
    float* largest = args.largest + block * args.channels;
    float* counts = args.counts + block * args.bins;
    std::fill(largest, largest + args.channels, 0.0f);
    for (size_t i = 0; i < count; i++)
      largest[i % args.channels] = std::max(largest[i % args.channels], std::fabs(x[i]));
    sum_block(x, args.y + start, count, sums);
    const size_t groups = start / args.group;
    group_ranges(x, count / args.group, args.group, args.lows + groups, args.highs + groups);
    const double limit = limit_of(largest, args.channels), half = static_cast<double>(args.bins) / 2;
    sums[kBlockSums - 1] = static_cast<float>(limit);
    std::fill(counts, counts + args.bins, 0.0f);
    for (size_t i = 0; i < count; i++) counts[bin_of(x[i] / limit, half)]++;
  }
}

}  // namespace spinquant::reference

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>
#include "../../cpu/merge_loops.h"
#include "half_cache.h"

namespace spinquant::reference {
namespace {

double value_of(uint16_t half) {
  const int exponent = half >> 10 & 31, fraction = half & 1023;
  const double sign = half & 0x8000 ? -1 : 1;
  if (exponent == 31) return fraction ? NAN : sign * INFINITY;
  // A subnormal has the exponent of the smallest normal number and no hidden bit.
  return exponent == 0 ? sign * std::ldexp(fraction, -24) : sign * std::ldexp(1024 + fraction, exponent - 25);
}

uint16_t half_of(float x) {
  const uint16_t sign = std::signbit(x) ? 0x8000 : 0;
  if (std::isnan(x)) return sign | 0x7e00;
  const double size = std::min(std::fabs(static_cast<double>(x)), 65504.0);
  if (size == 0) return sign;
  const int exponent = std::max(std::ilogb(size), -14);
  // In steps of the last digit: 1024 … 2048 where there is a hidden bit. A carry raises the exponent.
  const int digits = static_cast<int>(std::nearbyint(std::ldexp(size, 10 - exponent)));
  return static_cast<uint16_t>(sign + ((exponent + 14) << 10) + digits);
}

/// The key or value at a position, which lies in the cache or among the new ones.
const uint16_t* at(const uint16_t* past, const uint16_t* own, const HalfAttentionArgs& args, size_t group,
                   size_t position) {
  if (position < args.length) return past + (group * args.capacity + position) * args.width;
  return own + (group * args.rows + position - args.length) * args.width;
}

void attend(const HalfAttentionArgs& args, size_t group, size_t repeat, size_t row, float* partial) {
  const float* q = args.q + ((group * args.repeats + repeat) * args.rows + row) * args.width;
  size_t first = args.first_position(row), end = args.length + row + 1;
  std::vector<double> scores, sums(args.width);
  for (size_t position = first; position < end; position++) {
    const uint16_t* key = at(args.past_k, args.k, args, group, position);
    double score = 0;
    for (size_t i = 0; i < args.width; i++) score += q[i] * value_of(key[i]);
    scores.push_back(args.scale * score);
  }
  double highest = *std::max_element(scores.begin(), scores.end()), total = 0;
  for (size_t position = first; position < end; position++) {
    const uint16_t* value = at(args.past_v, args.v, args, group, position);
    double weight = std::exp(scores[position - first] - highest);
    total += weight;
    for (size_t i = 0; i < args.width; i++) sums[i] += weight * value_of(value[i]);
  }
  for (size_t i = 0; i < args.width; i++) partial[i] = static_cast<float>(sums[i] / total);
  partial[args.width] = 0;
  partial[args.width + 1] = 1;
}

}  // namespace

void round_halves(const RoundHalvesArgs& args, size_t first, size_t last) {
  for (size_t i = first * args.width; i < last * args.width; i++) {
    args.half_k[i] = half_of(args.k[i]);
    args.half_v[i] = half_of(args.v[i]);
  }
}

/// The first chunk holds it all.
void half_attention(const HalfAttentionArgs& args, size_t first, size_t last) {
  for (size_t index = first; index < last; index++) {
    const HalfUnit unit(args, index);
    for (size_t repeat = 0; repeat < args.repeats; repeat++) {
      for (size_t row = unit.first_row; row < unit.last_row; row++) {
        float* partial = args.partial + unit.partial_of(args, repeat, row);
        std::fill(partial, partial + args.partial_size(), 0.0f);
        partial[args.width] = -std::numeric_limits<float>::infinity();
        if (unit.chunk == 0) attend(args, unit.group, repeat, row, partial);
      }
    }
  }
}

void merge_half_chunks(const MergeChunksArgs& args, size_t first, size_t last) { merge_chunks(args, first, last); }

}  // namespace spinquant::reference

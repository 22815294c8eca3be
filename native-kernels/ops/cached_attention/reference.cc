#include <algorithm>
#include <cmath>
#include <vector>
#include "cached_attention.h"

namespace spinquant::reference {
namespace {

/// The key or value at a position, which lies in the cache or among the new ones.
const float* at(const float* past, const float* own, const CachedAttentionArgs& args, size_t group, size_t position) {
  if (position < args.length) return past + (group * args.capacity + position) * args.width;
  return own + (group * args.rows + position - args.length) * args.width;
}

void attend(const CachedAttentionArgs& args, size_t group, size_t repeat, size_t row) {
  size_t start = ((group * args.repeats + repeat) * args.rows + row) * args.width;
  size_t first = args.first_position(row), end = args.length + row + 1;
  std::vector<double> scores, sums(args.width);
  double highest = -INFINITY, total = 0;
  for (size_t position = first; position < end; position++) {
    const float* key = at(args.past_k, args.k, args, group, position);
    double score = 0;
    for (size_t i = 0; i < args.width; i++) score += static_cast<double>(args.q[start + i]) * key[i];
    scores.push_back(args.scale * score);
    highest = std::max(highest, scores.back());
  }
  for (size_t position = first; position < end; position++) {
    const float* value = at(args.past_v, args.v, args, group, position);
    double weight = std::exp(scores[position - first] - highest);
    total += weight;
    for (size_t i = 0; i < args.width; i++) sums[i] += weight * value[i];
  }
  for (size_t i = 0; i < args.width; i++) args.o[start + i] = static_cast<float>(sums[i] / total);
}

}  // namespace

void cached_attention(const CachedAttentionArgs& args, size_t first, size_t last) {
  for (size_t unit = first; unit < last; unit++) {
    for (size_t repeat = 0; repeat < args.repeats; repeat++) attend(args, unit / args.rows, repeat, unit % args.rows);
  }
}

}  // namespace spinquant::reference

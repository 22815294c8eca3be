#include "../../operator/scratch.h"
#include "../../cpu/simd_lane_sums.h"
#include "../../cpu/simd_math.h"
#include "../../cpu/simd_reduce.h"
#include "cached_attention.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

/// The values of so many keys stay in the first-level cache while every query head reads them.
constexpr size_t kKeys = 64;

/// Rows of one head that lie one after the other.
struct Span {
  const float* rows;
  size_t count;
};

/// What a row sees: tokens of the cache, then new ones.
struct Seen {
  Span past, own;
};

SPINQUANT_INLINE Seen seen_by(const CachedAttentionArgs& args, size_t group, size_t row, const float* past,
                              const float* own) {
  const size_t first = args.first_position(row), end = args.length + row + 1;
  const size_t from_past = first < args.length ? args.length - first : 0;
  const size_t from_own = end - first - from_past;
  return {{past + (group * args.capacity + first) * args.width, from_past},
          {own + (group * args.rows + row + 1 - from_own) * args.width, from_own}};
}

/// The query heads of a group at one row, with memory for their scores.
struct Heads {
  const float* q;
  float *o, *scores;
  size_t count, row_stride, score_stride, width;
  float scale;
};

/// Lane j is x·rows[j], for kLanes rows.
SPINQUANT_INLINE Vec dots(const float* x, const float* rows, size_t width) {
  Vec sums[kLanes];
  SPINQUANT_UNROLL for (size_t j = 0; j < kLanes; j++) sums[j] = splat(0);
  size_t i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    const Vec part = load(x + i);
    SPINQUANT_UNROLL for (size_t j = 0; j < kLanes; j++) sums[j] = fma(part, load(rows + j * width + i), sums[j]);
  }
  if (i < width) {
    const Vec part = load_part(x + i, width - i, 0);
    // Unrolled like the rest: sums that a loop indexes would lie in memory.
    SPINQUANT_UNROLL for (size_t j = 0; j < kLanes; j++) {
      sums[j] = fma(part, load_part(rows + j * width + i, width - i, 0), sums[j]);
    }
  }
  return lane_sums(sums);
}

/// Every key is read from memory once, for all heads.
SPINQUANT_INLINE void score(Span keys, const Heads& heads, float* scores) {
  size_t j = 0;
  for (; j + kLanes <= keys.count; j += kLanes) {
    for (size_t r = 0; r < heads.count; r++) {
      const Vec products = dots(heads.q + r * heads.row_stride, keys.rows + j * heads.width, heads.width);
      store(scores + r * heads.score_stride + j, splat(heads.scale) * products);
    }
  }
  for (; j < keys.count; j++) {
    for (size_t r = 0; r < heads.count; r++) {
      const float product = dot(heads.q + r * heads.row_stride, keys.rows + j * heads.width, heads.width);
      scores[r * heads.score_stride + j] = heads.scale * product;
    }
  }
}

/// Scores become probabilities.
SPINQUANT_INLINE void normalise(float* scores, size_t count) {
  const float highest = maximum(scores, count);
  const Vec top = splat(highest);
  Vec total = splat(0);
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const Vec e = exp(load(scores + i) - top);
    store(scores + i, e);
    total += e;
  }
  if (i < count) {
    // Lanes that do not exist are so low that their exponential is 0.
    const Vec e = exp(load_part(scores + i, count - i, highest - 1000.0f) - top);
    store_part(scores + i, count - i, e);
    total += e;
  }
  const Vec inverse = splat(1.0f / sum(total));
  map(scores, scores, count, [&](Vec e) { return e * inverse; });
}

template <size_t Vecs>
SPINQUANT_INLINE void add_columns(Span values, size_t width, const float* weights, float* o) {
  Vec sums[Vecs];
  SPINQUANT_UNROLL for (size_t v = 0; v < Vecs; v++) sums[v] = load(o + v * kLanes);
  for (size_t j = 0; j < values.count; j++) {
    const Vec weight = splat(weights[j]);
    const float* row = values.rows + j * width;
    SPINQUANT_UNROLL for (size_t v = 0; v < Vecs; v++) sums[v] = fma(weight, load(row + v * kLanes), sums[v]);
  }
  SPINQUANT_UNROLL for (size_t v = 0; v < Vecs; v++) store(o + v * kLanes, sums[v]);
}

/// o += Σ_j weights[j]·values[j].
SPINQUANT_INLINE void add_weighted(Span values, size_t width, const float* weights, float* o) {
  size_t i = 0;
  for (; i + 4 * kLanes <= width; i += 4 * kLanes) {
    add_columns<4>({values.rows + i, values.count}, width, weights, o + i);
  }
  for (; i + kLanes <= width; i += kLanes) add_columns<1>({values.rows + i, values.count}, width, weights, o + i);
  for (; i < width; i++) {
    for (size_t j = 0; j < values.count; j++) o[i] += weights[j] * values.rows[j * width + i];
  }
}

/// Every block of values is read from memory once, for all heads.
SPINQUANT_INLINE void mix(Span values, const Heads& heads, const float* weights) {
  for (size_t j = 0; j < values.count; j += kKeys) {
    const Span block{values.rows + j * heads.width, values.count - j < kKeys ? values.count - j : kKeys};
    for (size_t r = 0; r < heads.count; r++) {
      add_weighted(block, heads.width, weights + r * heads.score_stride + j, heads.o + r * heads.row_stride);
    }
  }
}

SPINQUANT_INLINE void attend(const CachedAttentionArgs& args, const Heads& heads, size_t group, size_t row) {
  const Seen keys = seen_by(args, group, row, args.past_k, args.k);
  const Seen values = seen_by(args, group, row, args.past_v, args.v);
  score(keys.past, heads, heads.scores);
  score(keys.own, heads, heads.scores + keys.past.count);
  for (size_t r = 0; r < heads.count; r++) {
    normalise(heads.scores + r * heads.score_stride, keys.past.count + keys.own.count);
    fill_zero(heads.o + r * heads.row_stride, heads.width);
  }
  mix(values.past, heads, heads.scores);
  mix(values.own, heads, heads.scores + values.past.count);
}

}  // namespace

void cached_attention(const CachedAttentionArgs& args, size_t first, size_t last) {
  const size_t positions = args.length + args.rows;
  const Scratch scratch(args.repeats * positions * sizeof(float));
  for (size_t unit = first; unit < last; unit++) {
    const size_t group = unit / args.rows, row = unit % args.rows;
    const size_t start = (group * args.repeats * args.rows + row) * args.width;
    attend(args,
           {args.q + start, args.o + start, scratch.floats(), args.repeats, args.rows * args.width, positions,
            args.width, args.scale},
           group, row);
  }
}

}  // namespace spinquant::SPINQUANT_ISA

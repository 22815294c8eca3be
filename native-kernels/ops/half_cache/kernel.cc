#include "../../cpu/simd_half.h"
#include "../../cpu/simd_lane_sums.h"
#include "../../cpu/simd_math.h"
#include "../../cpu/simd_merge.h"
#include "../../cpu/simd_reduce.h"
#include "../../operator/scratch.h"
#include "half_cache.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

constexpr float kInfinity = __builtin_inff();

/// Tokens of a step: their keys and values stay in the second-level cache while every query reads them.
constexpr size_t kStep = 128;
/// Queries that are multiplied together: what was widened for one is there for all of them.
constexpr size_t kTogether = 4;
/// Vectors of channels of their sums, which stay in registers.
#if defined(__AVX512F__)
constexpr size_t kColumns = 4;
#else
constexpr size_t kColumns = 2;
#endif

/// Vector i becomes lane i of all of them.
template <size_t Distance = 1>
SPINQUANT_INLINE void transpose(Vec (&v)[kLanes]) {
  if constexpr (Distance < kLanes) {
    const IntVec stays = (lane_index() & splat_int(static_cast<int32_t>(Distance))) == splat_int(0);
    SPINQUANT_UNROLL for (size_t i = 0; i < kLanes; i++) {
      if (i & Distance) continue;
      const Vec a = v[i], b = v[i | Distance];
      v[i] = choose(stays, a, swap_lanes<Distance>(b));
      v[i | Distance] = choose(stays, swap_lanes<Distance>(a), b);
    }
    transpose<2 * Distance>(v);
  }
}

/// kLanes numbers of a value, and the first `count` < kLanes: halves are widened in registers.
SPINQUANT_INLINE Vec load_row(const uint16_t* p) { return load_half(p); }
SPINQUANT_INLINE Vec load_row(const float* p) { return load(p); }
SPINQUANT_INLINE Vec load_row_part(const uint16_t* p, size_t count) { return load_half_part(p, count); }
SPINQUANT_INLINE Vec load_row_part(const float* p, size_t count) { return load_part(p, count, 0); }

/// The queries of a unit with their memory: those of a head lie one after the other.
struct Queries {
  size_t count, rows, first_row, width, stride;  // stride: the width, rounded up to whole vectors
  float *q;                                      // [count, stride]
  float *o, *scores;                             // [count, stride] and [count, kStep]
  float *highest, *totals;                       // [count]
  float* widened;                                // [kStep, width] where several passes read a step

  /// More queries than are multiplied together read what was widened once for all of them.
  static bool widen(size_t count) { return count > kTogether; }
  static size_t stride_of(const HalfAttentionArgs& args) { return (args.width + kLanes - 1) / kLanes * kLanes; }
  static size_t floats(const HalfAttentionArgs& args) {
    const size_t count = args.repeats * args.row_block;
    return count * (2 * stride_of(args) + kStep + 2) + (widen(count) ? kStep * args.width : 0);
  }

  Queries(const HalfAttentionArgs& args, const HalfUnit& unit, float* memory)
      : count(args.repeats * (unit.last_row - unit.first_row)), rows(unit.last_row - unit.first_row),
        first_row(unit.first_row), width(args.width), stride(stride_of(args)) {
    auto take = [&](size_t floats) { return (memory += floats) - floats; };
    q = take(count * stride), o = take(count * stride), scores = take(count * kStep);
    highest = take(count), totals = take(count);
    widened = memory;
    fill_zero(q, 2 * count * stride);
    for (size_t i = 0; i < count; i++) {
      const size_t head = unit.group * args.repeats + i / rows;
      const float* from = args.q + (head * args.rows + row_of(i)) * width;
      map(from, q + i * stride, width, [&](Vec x) { return x * splat(args.scale); });
      highest[i] = -kInfinity, totals[i] = 0;
    }
  }

  size_t row_of(size_t query) const { return first_row + query % rows; }
};

/// Scores of `Count` queries over as many keys as fill a vector with them. @param left keys that there are.
template <size_t Count, bool Whole>
SPINQUANT_INLINE void score_tile(const Queries& queries, size_t first, const uint16_t* keys, size_t left, float* scores) {
  constexpr size_t slots = Count == 3 ? 4 : Count, together = kLanes / slots;
  const size_t width = queries.width, stride = queries.stride;
  const float* q = queries.q + first * stride;
  const uint16_t* rows[together];
  SPINQUANT_UNROLL for (size_t j = 0; j < together; j++) rows[j] = keys + (Whole || j < left ? j : left - 1) * width;
  Vec sums[kLanes];
  SPINQUANT_UNROLL for (size_t j = 0; j < kLanes; j++) sums[j] = splat(0);
  size_t i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    Vec parts[Count];
    SPINQUANT_UNROLL for (size_t r = 0; r < Count; r++) parts[r] = load(q + r * stride + i);
    SPINQUANT_UNROLL for (size_t j = 0; j < together; j++) {
      const Vec key = load_half(rows[j] + i);
      SPINQUANT_UNROLL for (size_t r = 0; r < Count; r++) {
        sums[r * together + j] = fma(parts[r], key, sums[r * together + j]);
      }
    }
  }
  if (i < width) {
    SPINQUANT_UNROLL for (size_t j = 0; j < together; j++) {
      const Vec key = load_half_part(rows[j] + i, width - i);
      SPINQUANT_UNROLL for (size_t r = 0; r < Count; r++) {
        sums[r * together + j] = fma(load(q + r * stride + i), key, sums[r * together + j]);
      }
    }
  }
  float lanes[kLanes];
  store(lanes, lane_sums(sums));
  SPINQUANT_UNROLL for (size_t r = 0; r < Count; r++) {
    memcpy(scores + r * kStep, lanes + r * together, (Whole ? together : left) * sizeof(float));
  }
}

template <size_t Count>
void score_queries(const Queries& queries, size_t first, const uint16_t* keys, size_t tokens) {
  constexpr size_t slots = Count == 3 ? 4 : Count, together = kLanes / slots;
  float* scores = queries.scores + first * kStep;
  size_t j = 0;
  for (; j + together <= tokens; j += together) {
    score_tile<Count, true>(queries, first, keys + j * queries.width, together, scores + j);
  }
  if (j < tokens) score_tile<Count, false>(queries, first, keys + j * queries.width, tokens - j, scores + j);
}

/// Keys of a step, widened, with tokens in the lanes: [width, kStep]. Those behind the last token are the last one again.
void turn_keys(const uint16_t* keys, size_t width, size_t tokens, float* columns) {
  for (size_t j = 0; j < tokens; j += kLanes) {
    for (size_t i = 0; i < width; i += kLanes) {
      const size_t channels = width - i < kLanes ? width - i : kLanes;
      Vec block[kLanes];
      SPINQUANT_UNROLL for (size_t t = 0; t < kLanes; t++) {
        const uint16_t* key = keys + (j + t < tokens ? j + t : tokens - 1) * width + i;
        block[t] = channels == kLanes ? load_half(key) : load_half_part(key, channels);
      }
      transpose(block);
      SPINQUANT_UNROLL for (size_t c = 0; c < kLanes; c++) {
        if (c < channels) store(columns + (i + c) * kStep + j, block[c]);
      }
    }
  }
}

/// Scores of `Count` queries over a few vectors of tokens.
template <size_t Count, size_t Vecs>
SPINQUANT_INLINE void score_columns(const Queries& queries, const float* q, const float* columns, float* scores) {
  Vec sums[Count][Vecs];
  SPINQUANT_UNROLL for (size_t r = 0; r < Count; r++) {
    SPINQUANT_UNROLL for (size_t v = 0; v < Vecs; v++) sums[r][v] = splat(0);
  }
  for (size_t i = 0; i < queries.width; i++, columns += kStep) {
    Vec keys[Vecs];
    SPINQUANT_UNROLL for (size_t v = 0; v < Vecs; v++) keys[v] = load(columns + v * kLanes);
    SPINQUANT_UNROLL for (size_t r = 0; r < Count; r++) {
      const Vec part = splat(q[r * queries.stride + i]);
      SPINQUANT_UNROLL for (size_t v = 0; v < Vecs; v++) sums[r][v] = fma(part, keys[v], sums[r][v]);
    }
  }
  SPINQUANT_UNROLL for (size_t r = 0; r < Count; r++) {
    SPINQUANT_UNROLL for (size_t v = 0; v < Vecs; v++) store(scores + r * kStep + v * kLanes, sums[r][v]);
  }
}

/// Scores of whole vectors of tokens; those behind the last one count for nothing.
template <size_t Count>
void score_turned(const Queries& queries, size_t first, size_t tokens) {
  const float* q = queries.q + first * queries.stride;
  float* scores = queries.scores + first * kStep;
  size_t j = 0;
  for (; j + kColumns * kLanes <= tokens; j += kColumns * kLanes) {
    score_columns<Count, kColumns>(queries, q, queries.widened + j, scores + j);
  }
  for (; j < tokens; j += kLanes) score_columns<Count, 1>(queries, q, queries.widened + j, scores + j);
}

/// Scores become e^(score - highest score so far), and 0 where the query does not see; the sums so far are brought to
/// that highest score.
SPINQUANT_INLINE void soften(const Queries& queries, size_t query, size_t first, size_t last, size_t tokens) {
  float *scores = queries.scores + query * kStep, *o = queries.o + query * queries.stride;
  fill_zero(scores, first);
  fill_zero(scores + last, tokens - last);
  if (first == last) return;
  const float before = queries.highest[query], own = maximum(scores + first, last - first);
  const float highest = own > before ? own : before;
  const Vec top = splat(highest);
  Vec total = splat(0);
  size_t i = first;
  for (; i + kLanes <= last; i += kLanes) {
    const Vec e = exp(load(scores + i) - top);
    store(scores + i, e);
    total += e;
  }
  if (i < last) {
    // Lanes that do not exist are so low that their exponential is 0.
    const Vec e = exp(load_part(scores + i, last - i, highest - 1000.0f) - top);
    store_part(scores + i, last - i, e);
    total += e;
  }
  if (highest != before) {
    const Vec factor = exp(splat(before) - top);
    map(o, o, queries.stride, [&](Vec sum) { return sum * factor; });
    queries.totals[query] *= factor[0];
    queries.highest[query] = highest;
  }
  queries.totals[query] += sum(total);
}

/// o += Σ weights·values for `Count` queries and a few vectors of channels; `part` of the last one, 0 for a whole one.
template <size_t Count, size_t Vecs, class Number>
SPINQUANT_INLINE void add_columns(const Number* values, size_t width, size_t tokens, size_t part, const float* weights,
                                  float* o, size_t stride) {
  Vec sums[Count][Vecs];
  SPINQUANT_UNROLL for (size_t r = 0; r < Count; r++) {
    SPINQUANT_UNROLL for (size_t v = 0; v < Vecs; v++) sums[r][v] = load(o + r * stride + v * kLanes);
  }
  for (size_t j = 0; j < tokens; j++, values += width) {
    Vec row[Vecs];
    if (Vecs == 1 && part > 0) {
      row[0] = load_row_part(values, part);
    } else {
      SPINQUANT_UNROLL for (size_t v = 0; v < Vecs; v++) row[v] = load_row(values + v * kLanes);
    }
    SPINQUANT_UNROLL for (size_t r = 0; r < Count; r++) {
      const Vec weight = splat(weights[r * kStep + j]);
      SPINQUANT_UNROLL for (size_t v = 0; v < Vecs; v++) sums[r][v] = fma(weight, row[v], sums[r][v]);
    }
  }
  SPINQUANT_UNROLL for (size_t r = 0; r < Count; r++) {
    SPINQUANT_UNROLL for (size_t v = 0; v < Vecs; v++) store(o + r * stride + v * kLanes, sums[r][v]);
  }
}

template <size_t Count, class Number>
void mix_queries(const Queries& queries, size_t first, const Number* values, size_t tokens) {
  const size_t width = queries.width, stride = queries.stride;
  const float* weights = queries.scores + first * kStep;
  float* o = queries.o + first * stride;
  size_t i = 0;
  for (; i + kColumns * kLanes <= width; i += kColumns * kLanes) {
    add_columns<Count, kColumns>(values + i, width, tokens, 0, weights, o + i, stride);
  }
  for (; i < width; i += kLanes) {
    add_columns<Count, 1>(values + i, width, tokens, i + kLanes <= width ? 0 : width - i, weights, o + i, stride);
  }
}

/// A number that is known when the source is compiled.
template <size_t N>
struct Known {
  static constexpr size_t value = N;
};

/// The last queries, fewer than are multiplied together.
template <class Body, size_t Count = kTogether - 1>
SPINQUANT_INLINE void for_rest(size_t count, const Body& body) {
  if constexpr (Count > 0) {
    if (count == Count) return body(Known<Count>());
    for_rest<Body, Count - 1>(count, body);
  }
}

/// Calls body(number of queries as a type, first query) for all queries.
template <class Body>
SPINQUANT_INLINE void for_queries(size_t count, const Body& body) {
  size_t first = 0;
  for (; first + kTogether <= count; first += kTogether) body(Known<kTogether>(), first);
  for_rest(count - first, [&](auto rest) { body(rest, first); });
}

/// Halves of a step become floats.
void widen_rows(const uint16_t* halves, size_t count, float* floats) {
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(floats + i, load_half(halves + i));
  if (i < count) store_part(floats + i, count - i, load_half_part(halves + i, count - i));
}

void score_step(const Queries& queries, const uint16_t* keys, size_t tokens) {
  if (!Queries::widen(queries.count)) {
    return for_queries(queries.count, [&](auto count, size_t query) {
      score_queries<decltype(count)::value>(queries, query, keys, tokens);
    });
  }
  turn_keys(keys, queries.width, tokens, queries.widened);
  for_queries(queries.count,
              [&](auto count, size_t query) { score_turned<decltype(count)::value>(queries, query, tokens); });
}

void mix_step(const Queries& queries, const uint16_t* values, size_t tokens) {
  if (!Queries::widen(queries.count)) {
    return for_queries(queries.count, [&](auto count, size_t query) {
      mix_queries<decltype(count)::value>(queries, query, values, tokens);
    });
  }
  widen_rows(values, tokens * queries.width, queries.widened);
  const float* rows = queries.widened;
  for_queries(queries.count, [&](auto count, size_t query) {
    mix_queries<decltype(count)::value>(queries, query, rows, tokens);
  });
}

/// Tokens `first` … `last` - 1 of the cache or of the new ones, of which the first stands at position `start`.
void attend_rows(const HalfAttentionArgs& args, const Queries& queries, const uint16_t* keys, const uint16_t* values,
                 size_t start, size_t first, size_t last) {
  for (size_t at = first; at < last; at += kStep) {
    const size_t tokens = last - at < kStep ? last - at : kStep, position = start + at;
    score_step(queries, keys + at * args.width, tokens);
    for (size_t i = 0; i < queries.count; i++) {
      const size_t row = queries.row_of(i), sees = args.first_position(row), end = args.length + row + 1;
      const size_t from = sees > position ? sees - position : 0, to = end > position ? end - position : 0;
      soften(queries, i, from < tokens ? from : tokens, to < tokens ? to : tokens, tokens);
    }
    mix_step(queries, values + at * args.width, tokens);
  }
}

void attend(const HalfAttentionArgs& args, const HalfUnit& unit, float* memory) {
  const Queries queries(args, unit, memory);
  // Nobody in the unit sees what lies before or behind these.
  const size_t sees = args.first_position(unit.first_row), end = args.length + unit.last_row;
  const size_t first = unit.first > sees ? unit.first : sees, last = unit.last < end ? unit.last : end;
  const size_t length = args.length;
  if (first < last && first < length) {
    const size_t start = unit.group * args.capacity * args.width;
    attend_rows(args, queries, args.past_k + start, args.past_v + start, 0, first, last < length ? last : length);
  }
  if (first < last && last > length) {
    const size_t start = unit.group * args.rows * args.width;
    attend_rows(args, queries, args.k + start, args.v + start, length, first > length ? first - length : 0,
                last - length);
  }
  for (size_t i = 0; i < queries.count; i++) {
    float* partial = args.partial + unit.partial_of(args, i / queries.rows, queries.row_of(i));
    memcpy(partial, queries.o + i * queries.stride, args.width * sizeof(float));
    partial[args.width] = queries.highest[i];
    partial[args.width + 1] = queries.totals[i];
  }
}

SPINQUANT_INLINE void round_row(const float* x, uint16_t* y, size_t width) {
  size_t i = 0;
  for (; i + kLanes <= width; i += kLanes) store_half(y + i, load(x + i));
  if (i < width) store_half_part(y + i, width - i, load_part(x + i, width - i, 0));
}

}  // namespace

void round_halves(const RoundHalvesArgs& args, size_t first, size_t last) {
  const size_t start = first * args.width, count = (last - first) * args.width;
  round_row(args.k + start, args.half_k + start, count);
  round_row(args.v + start, args.half_v + start, count);
}

void half_attention(const HalfAttentionArgs& args, size_t first, size_t last) {
  const Scratch memory(Queries::floats(args) * sizeof(float));
  for (size_t unit = first; unit < last; unit++) attend(args, HalfUnit(args, unit), memory.floats());
}

void merge_half_chunks(const MergeChunksArgs& args, size_t first, size_t last) { merge_chunks(args, first, last); }

}  // namespace spinquant::SPINQUANT_ISA

// What attention of many rows holds in memory: rows of queries as bytes, and the codes of a step as bytes. Included by
// sources that are compiled for products of bytes only.
#pragma once
#include "row_lanes.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

/// Blocks of a step here: its scores and the bytes of its weights stay near the first-level cache.
constexpr size_t kLaneBlocks = 8;
constexpr size_t kLaneTokens = kLaneBlocks * kBlockTokens;

/// Stands for a masked score: vanishes in exp, and stays finite when subtracted from itself.
constexpr float kMasked = -1e30f;

/// Where a channel of the values lies among the sums: places of a word are apart.
struct LaneChannels {
  size_t group_words, per_word, all;

  explicit LaneChannels(const PackedLayout& layout)
      : group_words(layout.group_words()), per_word(layout.per_word()), all(layout.words() * per_word) {}

  size_t of(size_t group, size_t channel) const {
    return group * group_words * per_word + channel % per_word * group_words + channel / per_word;
  }
};

/// One query head of a unit: its rows in the lanes.
struct LaneHead {
  int32_t* bytes;  // [quads of channels, kBytes, kLaneRows]
  float *sums_of;  // [key groups, kLaneRows]: Σ of the multiples in a group
  float* units;    // [kLaneRows]
  float* sums;     // [channels, kLaneRows] of values
  float* shifts;   // [value groups, kLaneRows]
  float *highest, *total;
};

struct LaneMemory {
  float* next;
  float* take(size_t floats) { return (next += floats) - floats; }
};

/// Codes of a step with their grids.
struct LaneStep {
  int32_t *keys, *values;             // [blocks, quads of channels, 16 tokens] and [quads of tokens, channels]
  float *key_scales, *key_zeros;      // [groups, kLaneTokens]
  float *value_scales, *value_zeros;
  float* scores;      // [kLaneTokens, kLaneRows]
  int32_t* weights;   // [quads of tokens, kBytes, kLaneRows]
  size_t quads;       // of channels
  LaneChannels channels;
};

size_t quads_of(const PackedLayout& layout) { return layout.words() * layout.per_word() / 4; }

/// Scores of a step; before there are any, the columns of a head lie there.
size_t score_floats(const PackedAttentionArgs& args) {
  return (args.width() > kLaneTokens ? args.width() : kLaneTokens) * kLaneRows;
}

size_t lane_floats(const PackedAttentionArgs& args) {
  const PackedLayout &keys = args.key_layout, &values = args.value_layout;
  const size_t channels = LaneChannels(values).all;
  const size_t head = quads_of(keys) * kItemWords + (keys.groups() + channels + values.groups() + 3) * kLaneRows;
  const size_t step = kLaneTokens * (quads_of(keys) + channels / 4 + 2 * keys.groups() + 2 * values.groups()) +
                      score_floats(args) + kLaneTokens / 4 * kItemWords;
  return args.repeats * head + step;
}

LaneStep lane_step(const PackedAttentionArgs& args, LaneMemory& memory) {
  const PackedLayout &keys = args.key_layout, &values = args.value_layout;
  const LaneChannels channels(values);
  const size_t quads = quads_of(keys);
  auto ints = [&](size_t count) { return reinterpret_cast<int32_t*>(memory.take(count)); };
  int32_t *key_codes = ints(kLaneTokens * quads), *value_codes = ints(kLaneTokens / 4 * channels.all);
  float *key_grid = memory.take(2 * kLaneTokens * keys.groups()), *value_grid = memory.take(2 * kLaneTokens * values.groups());
  float* scores = memory.take(score_floats(args));
  return {key_codes,  value_codes, key_grid,
          key_grid + kLaneTokens * keys.groups(),
          value_grid, value_grid + kLaneTokens * values.groups(),
          scores,     ints(kLaneTokens / 4 * kItemWords),
          quads,      channels};
}

/// The rows of a unit.
struct LaneRows {
  size_t group, first, count;
};

/// Rows as columns of channels times the scale of scores, with the size of the largest channel of each.
void take_columns(const PackedAttentionArgs& args, const float* q, size_t count, float* columns, IntVec (&sizes)[kRowVecs]) {
  const size_t width = args.width();
  for (size_t v = 0; v < kRowVecs; v++) sizes[v] = IntVec{};
  for (size_t i = 0; i < width; i++) {
    float* column = columns + i * kLaneRows;
    for (size_t r = 0; r < count; r++) column[r] = q[r * width + i] * args.scale;
    for (size_t r = count; r < kLaneRows; r++) column[r] = 0;
    for (size_t v = 0; v < kRowVecs; v++) sizes[v] = larger_size(sizes[v], load(column + v * kLanes));
  }
}

/// Channels of a quad of a word in the order of `store_items`, so that they come out in that of codes (`take_halves`).
constexpr size_t kQuadChannels4[2][kItems] = {{0, 4, 2, 6}, {1, 5, 3, 7}};
constexpr size_t kQuadChannels8[kItems] = {0, 2, 1, 3};

/// Writes the rows of a head as bytes. `columns` is working memory [width, kLaneRows].
void write_rows(const PackedAttentionArgs& args, const float* q, size_t count, const LaneHead& head, float* columns) {
  const PackedLayout& layout = args.key_layout;
  IntVec sizes[kRowVecs];
  take_columns(args, q, count, columns, sizes);
  const size_t per_word = layout.per_word(), halves = per_word / 4;
  for (size_t v = 0; v < kRowVecs; v++) {
    const Vec unit = units_of(sizes[v]), inverse = splat(1) / unit;
    store(head.units + v * kLanes, unit);
    int32_t* bytes = head.bytes + v * kLanes;
    for (size_t g = 0; g < layout.groups(); g++) {
      Vec total = splat(0);
      for (size_t quad = 0; quad < layout.group_words() * halves; quad++, bytes += kItemWords) {
        const size_t* order = halves == 1 ? kQuadChannels8 : kQuadChannels4[quad % 2];
        __m512i items[kItems];
        for (size_t i = 0; i < kItems; i++) {
          const size_t channel = quad / halves * per_word + order[i];
          Vec multiples = splat(0);
          if (channel < layout.group) {
            multiples = round_even(load(columns + (g * layout.group + channel) * kLaneRows + v * kLanes) * inverse);
          }
          total += multiples;
          items[i] = bytes_of(multiples);
        }
        store_items(items, bytes);
      }
      store(head.sums_of + g * kLaneRows + v * kLanes, total);
    }
  }
}

LaneHead lane_head(const PackedAttentionArgs& args, const LaneRows& rows, size_t repeat, LaneMemory& memory, float* columns) {
  const PackedLayout &keys = args.key_layout, &values = args.value_layout;
  const size_t channels = LaneChannels(values).all;
  LaneHead head{reinterpret_cast<int32_t*>(memory.take(quads_of(keys) * kItemWords)),
                memory.take(keys.groups() * kLaneRows),
                memory.take(kLaneRows),
                memory.take(channels * kLaneRows),
                memory.take(values.groups() * kLaneRows),
                memory.take(kLaneRows),
                memory.take(kLaneRows)};
  const size_t row = (rows.group * args.repeats + repeat) * args.rows + rows.first;
  write_rows(args, args.q + row * args.width(), rows.count, head, columns);
  fill_zero(head.sums, channels * kLaneRows);
  fill_zero(head.shifts, values.groups() * kLaneRows);
  fill_zero(head.total, kLaneRows);
  for (size_t r = 0; r < kLaneRows; r++) head.highest[r] = kMasked;
  return head;
}

void take_grid(const BlockRun& run, float* scales, float* zeros) {
  for (size_t g = 0; g < run.layout.groups(); g++) {
    for (size_t block = 0; block < run.count; block++) {
      const BlockGrid grid = run.grid(block, g);
      const size_t at = g * kLaneTokens + block * kBlockTokens;
      store(scales + at, grid.scale(0));
      store(zeros + at, grid.zero(0));
    }
  }
}

template <size_t Bits>
void take_keys(const BlockRun& run, int32_t* to) {
  for (size_t block = 0; block < run.count; block++) {
    const uint8_t* codes = run.codes(block);
    for (size_t word = 0; word < run.words; word++, codes += 4 * kBlockTokens) {
      __m512i parts[kHalves<Bits>];
      take_halves<Bits>(_mm512_loadu_si512(codes), parts);
      for (const __m512i& part : parts) {
        _mm512_storeu_si512(to, part);
        to += kBlockTokens;
      }
    }
  }
}

/// Bytes of four tokens side by side, in the order of `store_items`, for each place of up to 16 words.
template <size_t Bits>
SPINQUANT_INLINE void take_word_values(const uint8_t* codes, size_t token_bytes, __mmask16 there, size_t place_step, int32_t* to) {
  constexpr size_t halves = kHalves<Bits>;
  __m512i tokens[kItems][halves];
  for (size_t i = 0; i < kItems; i++) take_halves<Bits>(_mm512_maskz_loadu_epi32(there, codes + i * token_bytes), tokens[i]);
  const __m512i byte = _mm512_set1_epi32(255);
  for (size_t half = 0; half < halves; half++) {
    for (int b = 0; b < 4; b++) {
      auto of = [&](size_t token) { return _mm512_and_si512(_mm512_srli_epi32(tokens[token][half], 8 * b), byte); };
      const __m512i first = _mm512_or_si512(of(0), _mm512_slli_epi32(of(2), 8));
      const __m512i second = _mm512_or_si512(of(1), _mm512_slli_epi32(of(3), 8));
      const __m512i all = _mm512_or_si512(first, _mm512_slli_epi32(second, 16));
      _mm512_mask_storeu_epi32(to + (static_cast<size_t>(b) * halves + half) * place_step, there, all);
    }
  }
}

template <size_t Bits>
void take_values(const BlockRun& run, const LaneChannels& channels, int32_t* to) {
  const size_t words = run.group_words, token_bytes = 4 * run.words, groups = run.layout.groups();
  for (size_t block = 0; block < run.count; block++) {
    for (size_t token = 0; token < kBlockTokens; token += kItems, to += channels.all) {
      const uint8_t* codes = run.codes(block) + token * token_bytes;
      for (size_t g = 0; g < groups; g++) {
        for (size_t word = 0; word < words; word += kLanes) {
          const size_t left = words - word;
          const __mmask16 there = static_cast<__mmask16>(left < kLanes ? (1u << left) - 1 : 0xffffu);
          take_word_values<Bits>(codes + 4 * (g * words + word), token_bytes, there, words, to + channels.of(g, 0) + word);
        }
      }
    }
  }
}

}  // namespace
}  // namespace spinquant::SPINQUANT_ISA

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>
#include "../../cpu/merge_loops.h"
#include "../../cpu/row_loops.h"
#include "packed_cache.h"

// Quantization is float32 here too: its definition is a sequence of float32 operations.
namespace spinquant::reference {
namespace {

struct Grid {
  float scale, zero, low, high;  // codes are clamp(rne(x / scale) + zero, low, high)
};

Grid symmetric_grid(const PackCacheArgs& args, const float* x) {
  float largest = 0;
  for (size_t i = 0; i < args.layout.group; i++) largest = std::max(largest, std::fabs(x[i]));
  float scale = args.clip_ratio * largest / args.max_level;
  float middle = static_cast<float>(args.layout.middle());
  return {scale == 0 ? 1 : scale, middle, middle - args.max_level - 1, middle + args.max_level};
}

Grid asymmetric_grid(const PackCacheArgs& args, const float* x) {
  float first = *std::min_element(x, x + args.layout.group), last = *std::max_element(x, x + args.layout.group);
  float low = first, high = last;
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
  if (scale == 0) return {first, -1, 0, 0};
  float zero = std::nearbyint(-low / scale);
  if (std::fabs(zero) > kWidestZero) {
    scale = std::max(std::fabs(low), std::fabs(high)) / kWidestZero;
    zero = std::min(std::max(std::nearbyint(-low / scale), -kWidestZero), kWidestZero);
  }
  return {scale, zero, 0, args.max_level};
}

/// What is not a number has a scale that is none either.
float number_or_zero(float value) { return std::isnan(value) ? 0 : value; }

void write_code(const PackCacheArgs& args, uint8_t* block, size_t token, size_t channel, float code) {
  const PackedLayout& layout = args.layout;
  size_t within = channel % layout.group;
  size_t word = channel / layout.group * layout.group_words() + within / layout.per_word();
  size_t place = args.is_keys ? word * kBlockTokens + token : token * layout.words() + word;
  uint32_t bits;
  memcpy(&bits, block + 4 * place, sizeof bits);
  bits |= static_cast<uint32_t>(number_or_zero(code)) << layout.bits * (within % layout.per_word());
  memcpy(block + 4 * place, &bits, sizeof bits);
}

void pack_token(const PackCacheArgs& args, const float* x, uint8_t* block, float* scales, size_t token) {
  const PackedLayout& layout = args.layout;
  for (size_t g = 0; g < layout.groups(); g++) {
    const float* values = x + g * layout.group;
    Grid grid = args.symmetric ? symmetric_grid(args, values) : asymmetric_grid(args, values);
    scales[g * kBlockTokens + token] = grid.scale;
    for (size_t i = 0; i < layout.group; i++) {
      float code = std::nearbyint(values[i] / grid.scale) + grid.zero;
      write_code(args, block, token, g * layout.group + i, std::min(std::max(code, grid.low), grid.high));
    }
    if (!layout.has_zeros) continue;
    int16_t zero = static_cast<int16_t>(number_or_zero(grid.zero));
    memcpy(block + layout.code_bytes() + 2 * (g * kBlockTokens + token), &zero, sizeof zero);
  }
}

/// One token of the cache, or of the new ones.
struct Token {
  const uint8_t* block;
  const float* scales;
  size_t in_block;
};

Token token_at(const PackedTokens& past, const PackedTokens& own, const PackedLayout& layout, size_t group,
               size_t length, size_t position) {
  const PackedTokens& tokens = position < length ? past : own;
  size_t index = position < length ? position : position - length;
  size_t block = group * tokens.blocks + index / kBlockTokens;
  return {tokens.codes + block * layout.block_bytes(), tokens.scales + block * layout.block_scales(),
          index % kBlockTokens};
}

double value_of(const Token& token, const PackedLayout& layout, bool is_keys, size_t channel) {
  size_t g = channel / layout.group, within = channel % layout.group;
  size_t word = g * layout.group_words() + within / layout.per_word();
  uint32_t bits;
  size_t place = is_keys ? word * kBlockTokens + token.in_block : token.in_block * layout.words() + word;
  memcpy(&bits, token.block + 4 * place, sizeof bits);
  uint32_t code = bits >> layout.bits * (within % layout.per_word()) & ((1u << layout.bits) - 1);
  size_t at = g * kBlockTokens + token.in_block;
  int16_t zero = static_cast<int16_t>(layout.middle());
  if (layout.has_zeros) memcpy(&zero, token.block + layout.code_bytes() + 2 * at, sizeof zero);
  return static_cast<double>(token.scales[at]) * (static_cast<double>(code) - zero);
}

double score_of(const PackedAttentionArgs& args, size_t query, const Token& key, size_t position) {
  double score = 0;
  for (size_t i = 0; i < args.width(); i++)
    score += args.q[query * args.width() + i] * value_of(key, args.key_layout, true, i);
  score *= args.scale;
  if (!args.table) return score;
  for (size_t i = 0; i < args.terms; i++)
    score += static_cast<double>(args.coefficients[query * args.terms + i]) * args.table[position * args.terms + i];
  return score;
}

void attend(const PackedAttentionArgs& args, size_t group, size_t repeat, size_t row, float* partial) {
  size_t query = (group * args.repeats + repeat) * args.rows + row;
  std::vector<double> scores, sums(args.width());
  size_t first = args.first_position(row), end = args.length + row + 1;
  for (size_t position = first; position < end; position++) {
    Token key = token_at(args.past_keys, args.keys, args.key_layout, group, args.length, position);
    scores.push_back(score_of(args, query, key, position));
  }
  double highest = *std::max_element(scores.begin(), scores.end()), total = 0;
  for (size_t position = first; position < end; position++) {
    Token value = token_at(args.past_values, args.values, args.value_layout, group, args.length, position);
    double weight = std::exp(scores[position - first] - highest);
    total += weight;
    for (size_t i = 0; i < args.width(); i++) sums[i] += weight * value_of(value, args.value_layout, false, i);
  }
  for (size_t i = 0; i < args.width(); i++) partial[i] = static_cast<float>(sums[i] / total);
  partial[args.width()] = 0;
  partial[args.width() + 1] = 1;
}

}  // namespace

void pack_cache(const PackCacheArgs& args, size_t first, size_t last) {
  const PackedLayout& layout = args.layout;
  const HeadRows& rows = args.rows;
  for (size_t unit = first; unit < last; unit++) {
    size_t head = unit / blocks_of(rows.tokens), start = unit % blocks_of(rows.tokens) * kBlockTokens;
    uint8_t* block = args.codes + unit * layout.block_bytes();
    float* scales = args.scales + unit * layout.block_scales();
    memset(block, 0, layout.block_bytes());
    std::fill(scales, scales + layout.block_scales(), 0.0f);
    for (size_t token = 0; token < kBlockTokens && start + token < rows.tokens; token++) {
      const std::vector<float> row = turned_row(rows, head / rows.heads, head % rows.heads, start + token);
      pack_token(args, row.data(), block, scales, token);
    }
  }
}

/// The first chunk holds it all.
void packed_attention(const PackedAttentionArgs& args, size_t first, size_t last) {
  const size_t chunks = args.chunks(), size = args.partial_size();
  for (size_t unit = first; unit < last; unit++) {
    size_t chunk = unit % chunks, group = unit / chunks / args.row_blocks();
    size_t start = unit / chunks % args.row_blocks() * args.row_block;
    for (size_t repeat = 0; repeat < args.repeats; repeat++) {
      for (size_t row = start; row < std::min(start + args.row_block, args.rows); row++) {
        float* partial = args.partial + (((group * args.repeats + repeat) * args.rows + row) * chunks + chunk) * size;
        std::fill(partial, partial + size, 0.0f);
        partial[args.width()] = -std::numeric_limits<float>::infinity();
        if (chunk == 0) attend(args, group, repeat, row, partial);
      }
    }
  }
}

void merge_attention(const MergeChunksArgs& args, size_t first, size_t last) { merge_chunks(args, first, last); }

}  // namespace spinquant::reference

#include "../../operator/scratch.h"
#include "../../cpu/simd_heads.h"
#include "../../cpu/simd_math.h"
#include "../../cpu/simd_quantize.h"
#include "mix.h"
#include "scores.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

constexpr float kInfinity = __builtin_inff();

// --- Packing ---

struct PackedQuantizer {
  Quantizer quantizer;  // its zero point is that of the codes
  bool is_constant;     // then the scale is the value itself
};

PackedQuantizer packed_quantizer(const PackCacheArgs& args, Range range) {
  const RangeRule rule{args.max_level, args.clip_ratio, args.symmetric, args.include_zero};
  PackedQuantizer packed{{}, false};
  Quantizer& quantizer = packed.quantizer;
  if (!quantizer_of(rule, range, &quantizer)) return {{range.low, -1, 0, 0}, true};
  if (args.symmetric || (quantizer.zero <= kWidestZero && quantizer.zero >= -kWidestZero)) return packed;
  const float low = range.low * args.clip_ratio, high = range.high * args.clip_ratio;
  quantizer.scale = (-low > high ? -low : high) / kWidestZero;
  const float zero = round_even_scalar(-low / quantizer.scale);
  // What is not a number goes with a scale that is none either.
  quantizer.zero = zero >= -kWidestZero ? (zero <= kWidestZero ? zero : kWidestZero) : -kWidestZero;
  return packed;
}

/// These store codes less 128.
struct PutCodes {
  PutBytes bytes;
  Vec shift;

  SPINQUANT_INLINE_MEMBER void vector(size_t i, Vec scale, Vec multiples) const {
    bytes.vector(i, scale, multiples + shift);
  }
  SPINQUANT_INLINE_MEMBER void part(size_t i, size_t count, Vec scale, Vec multiples) const {
    bytes.part(i, count, scale, multiples + shift);
  }
};

/// A word of whole bytes, or of the lower halves of eight bytes, less 128 each: the first one in the lowest bits.
template <size_t Bits>
SPINQUANT_INLINE uint32_t word_of(const int8_t* bytes) {
  uint64_t all = 0;
  memcpy(&all, bytes, kPerWord<Bits>);
  all ^= 0x8080808080808080u;
  if (Bits == 8) return static_cast<uint32_t>(all);
  all &= 0x0f0f0f0f0f0f0f0fu;
  all = (all | all >> 4) & 0x00ff00ff00ff00ffu;
  all = (all | all >> 8) & 0x0000ffff0000ffffu;
  return static_cast<uint32_t>(all | all >> 16);
}

/// Codes of one byte each become words. `step` bytes lie between the words of a token.
template <size_t Bits>
void write_words(size_t count, const int8_t* bytes, uint8_t* words, size_t step) {
  constexpr size_t per_word = kPerWord<Bits>;
  size_t i = 0;
  for (; i + per_word <= count; i += per_word, words += step) {
    const uint32_t word = word_of<Bits>(bytes + i);
    memcpy(words, &word, sizeof word);
  }
  if (i == count) return;
  // Words are padded with code 0.
  int8_t rest[per_word];
  memset(rest, -128, per_word);
  memcpy(rest, bytes + i, count - i);
  const uint32_t word = word_of<Bits>(rest);
  memcpy(words, &word, sizeof word);
}

void pack_group(const PackCacheArgs& args, const float* x, uint8_t* block, float* scales, size_t token, size_t group,
                int8_t* bytes) {
  const PackedLayout& layout = args.layout;
  const Range range = range_of(x, layout.group);
  const PackedQuantizer packed = packed_quantizer(args, range);
  const Quantizer& quantizer = packed.quantizer;
  const float zero = args.symmetric ? static_cast<float>(layout.middle()) : quantizer.zero;
  if (packed.is_constant) {
    memset(bytes, -128, layout.group);
  } else {
    quantize(quantizer, args.symmetric, range, x, PutCodes{{bytes}, splat(zero - 128)}, layout.group);
  }
  const size_t word = group * layout.group_words();
  const size_t place = args.is_keys ? word * kBlockTokens + token : token * layout.words() + word;
  const size_t step = args.is_keys ? 4 * kBlockTokens : 4;
  layout.bits == 4 ? write_words<4>(layout.group, bytes, block + 4 * place, step)
                   : write_words<8>(layout.group, bytes, block + 4 * place, step);
  scales[group * kBlockTokens + token] = quantizer.scale;
  if (!layout.has_zeros) return;
  const int16_t stored = static_cast<int16_t>(zero);
  memcpy(block + layout.code_bytes() + 2 * (group * kBlockTokens + token), &stored, sizeof stored);
}

// --- Attention ---

/// Blocks whose scores are computed before their values are summed. Their codes stay in the first-level cache.
constexpr size_t kStepBlocks = 16;
constexpr size_t kStepTokens = kStepBlocks * kBlockTokens;

/// The queries of a unit, with their memory.
struct Queries {
  size_t group, first_row, rows, count;
  ScoredQueries scored;
  MixedValues mixed;
  float *scores, *weights;  // [count, kStepTokens]
  float *highest, *totals;  // [count]

  static size_t floats(const PackedAttentionArgs& args) {
    const PackedLayout &keys = args.key_layout, &values = args.value_layout;
    const size_t one = keys.words() * keys.per_word() + keys.groups() + MixedValues::stride_of(values) +
                       values.groups() + 2 * kStepTokens + 2;
    return args.repeats * args.row_block * one;
  }

  size_t row_of(size_t query) const { return first_row + query % rows; }
  size_t index_of(const PackedAttentionArgs& args, size_t query) const {
    return (group * args.repeats + query / rows) * args.rows + row_of(query);
  }
};

Queries queries_of(const PackedAttentionArgs& args, size_t group, size_t first_row, float* memory) {
  const PackedLayout &keys = args.key_layout, &values = args.value_layout;
  const size_t left = args.rows - first_row, rows = left < args.row_block ? left : args.row_block;
  const size_t count = args.repeats * rows, depth = keys.words() * keys.per_word();
  Queries queries{group, first_row, rows, count, {}, {}, nullptr, nullptr, nullptr, nullptr};
  auto take = [&](size_t floats) { return (memory += floats) - floats; };
  // What vectors read comes first: it is aligned where the memory is.
  queries.scores = take(count * kStepTokens);
  queries.weights = take(count * kStepTokens);
  const size_t stride = MixedValues::stride_of(values);
  queries.mixed = {take(count * stride), take(count * values.groups()), stride, values.groups(),
                   MixedValues::vectors_of(values)};
  queries.scored = {take(count * depth), take(count * keys.groups()), depth, keys.groups()};
  queries.highest = take(count);
  queries.totals = take(count);
  fill_zero(queries.mixed.sums, count * stride);
  fill_zero(queries.mixed.shifts, count * values.groups());
  fill_zero(queries.totals, count);
  for (size_t i = 0; i < count; i++) {
    queries.highest[i] = -kInfinity;
    const float* q = args.q + queries.index_of(args, i) * args.width();
    keys.bits == 4 ? write_query<4>(keys, q, args.scale, queries.scored, i)
                   : write_query<8>(keys, q, args.scale, queries.scored, i);
  }
  return queries;
}

/// A run of blocks with the positions of its tokens.
struct Step {
  BlockRun keys, values;
  size_t position;  // of the first token
  size_t tokens;    // that are there

  /// Tokens of the step before a position.
  size_t before(size_t end) const {
    const size_t count = end > position ? end - position : 0;
    return count < tokens ? count : tokens;
  }
};

/// Blocks from `block` that lie one after the other, at most up to `end`.
Step step_at(const PackedAttentionArgs& args, size_t group, size_t block, size_t end) {
  const size_t past = args.past_count();
  const bool is_past = block < past;
  const size_t first = is_past ? block : block - past, last = is_past && past < end ? past : end;
  const size_t count = last - block < kStepBlocks ? last - block : kStepBlocks;
  const PackedTokens &keys = is_past ? args.past_keys : args.keys, &values = is_past ? args.past_values : args.values;
  const size_t start = first * kBlockTokens, all = is_past ? args.length : args.rows;
  const size_t tokens = all - start < count * kBlockTokens ? all - start : count * kBlockTokens;
  return {{keys, args.key_layout, group * keys.blocks + first, count},
          {values, args.value_layout, group * values.blocks + first, count},
          is_past ? start : args.length + start,
          tokens};
}

/// Scores become e^(score - highest) from `first` to `end`, and 0 elsewhere. What was summed is brought to the new
/// highest score.
void advance(const Queries& queries, size_t query, size_t first, size_t end, size_t tokens) {
  float* scores = queries.scores + query * kStepTokens;
  const float highest = maximum(scores + first, end - first);
  if (highest > queries.highest[query]) {
    // Nothing is brought where nothing was summed: infinity less infinity is not a number.
    if (queries.totals[query] > 0) {
      const Vec factor = exp(splat(queries.highest[query] - highest));
      float* sums = queries.mixed.sums + query * queries.mixed.stride;
      float* shifts = queries.mixed.shifts + query * queries.mixed.groups;
      map(sums, sums, queries.mixed.stride, [&](Vec sum) { return sum * factor; });
      map(shifts, shifts, queries.mixed.groups, [&](Vec shift) { return shift * factor; });
      queries.totals[query] *= factor[0];
    }
    queries.highest[query] = highest;
  }
  const Vec top = splat(queries.highest[query]);
  Vec total = splat(0);
  size_t i = first;
  for (; i + kLanes <= end; i += kLanes) {
    const Vec e = exp(load(scores + i) - top);
    store(scores + i, e);
    total += e;
  }
  if (i < end) {
    // Lanes that do not exist are so low that their exponential is 0.
    const Vec e = exp(load_part(scores + i, end - i, -kInfinity) - top);
    store_part(scores + i, end - i, e);
    total += e;
  }
  fill_zero(scores, first);
  fill_zero(scores + end, tokens - end);
  queries.totals[query] += sum(total);
}

/// Adds what the constant part of the keys gives.
void add_constant_part(const PackedAttentionArgs& args, const Queries& queries, size_t query, const Step& step,
                       size_t first, size_t end) {
  const float* coefficients = args.coefficients + queries.index_of(args, query) * args.terms;
  float* scores = queries.scores + query * kStepTokens;
  for (size_t i = first; i < end; i++) {
    scores[i] += dot(coefficients, args.table + (step.position + i) * args.terms, args.terms);
  }
}

void attend(const PackedAttentionArgs& args, const Queries& queries, const Step& step) {
  const size_t blocks = step.keys.count, tokens = blocks * kBlockTokens;
  args.key_layout.bits == 4 ? score_blocks<4>(step.keys, queries.scored, queries.count, queries.scores, kStepTokens)
                            : score_blocks<8>(step.keys, queries.scored, queries.count, queries.scores, kStepTokens);
  auto visible = [&](size_t query, size_t* first, size_t* end) {
    const size_t row = queries.row_of(query);
    *first = step.before(args.first_position(row));
    *end = step.before(args.length + row + 1);
  };
  size_t first = 0, end = 0;
  for (size_t i = 0; i < queries.count; i++) {
    visible(i, &first, &end);
    if (first == end) {
      fill_zero(queries.scores + i * kStepTokens, tokens);
      continue;
    }
    if (args.table) add_constant_part(args, queries, i, step, first, end);
    advance(queries, i, first, end, tokens);
  }
  for (size_t g = 0; g < args.value_layout.groups(); g++) {
    for (size_t i = 0; i < queries.count; i++) {
      visible(i, &first, &end);
      queries.mixed.shifts[i * queries.mixed.groups + g] += weigh(
          step.values, g, queries.scores + i * kStepTokens, first, end, queries.weights + i * kStepTokens);
    }
    args.value_layout.bits == 4
        ? mix_codes<4>(step.values, g, step.tokens, queries.weights, kStepTokens, queries.mixed, queries.count)
        : mix_codes<8>(step.values, g, step.tokens, queries.weights, kStepTokens, queries.mixed, queries.count);
  }
}

void write_partial(const PackedAttentionArgs& args, const Queries& queries, size_t chunk) {
  const size_t width = args.width();
  for (size_t i = 0; i < queries.count; i++) {
    float* partial = args.partial + (queries.index_of(args, i) * args.chunks() + chunk) * args.partial_size();
    args.value_layout.bits == 4 ? write_mixed<4>(args.value_layout, queries.mixed, i, partial)
                                : write_mixed<8>(args.value_layout, queries.mixed, i, partial);
    partial[width] = queries.highest[i];
    partial[width + 1] = queries.totals[i];
  }
}

}  // namespace

void pack_cache(const PackCacheArgs& args, size_t first, size_t last) {
  const PackedLayout& layout = args.layout;
  const HeadRows& rows = args.rows;
  const size_t blocks = blocks_of(rows.tokens);
  const Scratch bytes(layout.group), own(rows.are_plain() ? 0 : layout.width * sizeof(float));
  const Scratch memory(turning_memory(rows));
  for (size_t unit = first; unit < last; unit++) {
    const size_t sequence = unit / blocks / rows.heads, head = unit / blocks % rows.heads;
    const size_t start = unit % blocks * kBlockTokens;
    uint8_t* block = args.codes + unit * layout.block_bytes();
    float* scales = args.scales + unit * layout.block_scales();
    memset(block, 0, layout.block_bytes());
    fill_zero(scales, layout.block_scales());
    for (size_t token = 0; token < kBlockTokens && start + token < rows.tokens; token++) {
      const float* x = turned_row(rows, sequence, head, start + token, own.floats(), memory.bytes());
      for (size_t g = 0; g < layout.groups(); g++, x += layout.group) {
        pack_group(args, x, block, scales, token, g, static_cast<int8_t*>(bytes.bytes()));
      }
    }
  }
}

void packed_attention(const PackedAttentionArgs& args, size_t first, size_t last) {
  const Scratch scratch(Queries::floats(args) * sizeof(float));
  const size_t chunks = args.chunks(), row_blocks = args.row_blocks();
  for (size_t unit = first; unit < last; unit++) {
    const size_t chunk = unit % chunks, group = unit / chunks / row_blocks;
    const Queries queries = queries_of(args, group, unit / chunks % row_blocks * args.row_block, scratch.floats());
    const size_t seen = args.block_of(args.first_position(queries.first_row));
    const size_t seen_end = args.block_of(args.length + queries.first_row + queries.rows - 1) + 1;
    const size_t start = chunk * args.chunk_blocks, chunk_end = start + args.chunk_blocks;
    const size_t end = chunk_end < seen_end ? chunk_end : seen_end;
    for (size_t block = start > seen ? start : seen; block < end;) {
      const Step step = step_at(args, group, block, end);
      block += step.keys.count;
      attend(args, queries, step);
    }
    write_partial(args, queries, chunk);
  }
}

void merge_attention(const MergeAttentionArgs& args, size_t first, size_t last) {
  const size_t width = args.width, size = width + 2;
  for (size_t query = first; query < last; query++) {
    const float* partial = args.partial + query * args.chunks * size;
    float* o = args.o_of(query);
    float highest = -kInfinity, total = 0;
    for (size_t c = 0; c < args.chunks; c++) {
      const float own = partial[c * size + width];
      if (own > highest) highest = own;
    }
    fill_zero(o, width);
    for (size_t c = 0; c < args.chunks; c++) {
      const float* part = partial + c * size;
      const float own = part[width];
      if (part[width + 1] == 0) continue;
      const Vec factor = own == highest ? splat(1) : exp(splat(own - highest));
      total += part[width + 1] * factor[0];
      map2(part, o, o, width, [&](Vec sum, Vec so_far) { return fma(sum, factor, so_far); });
    }
    const Vec inverse = splat(1.0f / total);
    map(o, o, width, [&](Vec sum) { return sum * inverse; });
  }
}

}  // namespace spinquant::SPINQUANT_ISA

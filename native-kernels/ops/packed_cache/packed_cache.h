// Keys and values of a cache as codes of 4 or 8 bits, and attention that reads them. README.md shows the layout.
#pragma once
#include <cstdint>
#include "../../cpu/head_rows.h"
#include "../../cpu/merge_chunks.h"
#include "../../cpu/variants.h"

namespace spinquant {

/// Tokens whose codes lie together: as many as the widest vector has lanes.
constexpr size_t kBlockTokens = 16;
/// Zero points are stored in 16 bits.
constexpr float kWidestZero = 32767;

/// How a head's tokens lie in memory: blocks of kBlockTokens, each with the codes, then the zero points if there are
/// any. Scales lie apart, [blocks, groups, 16]. A channel's value is scale·(code - zero).
struct PackedLayout {
  size_t width, group;  // channels of a head, and of those that share a scale
  size_t bits;          // of a stored code: 4 or 8
  bool has_zeros;       // else the zero point is the middle of the codes

  size_t groups() const { return width / group; }
  /// Codes in a word of 32 bits. Groups begin with a word of their own.
  size_t per_word() const { return 32 / bits; }
  size_t group_words() const { return (group + per_word() - 1) / per_word(); }
  size_t words() const { return groups() * group_words(); }
  size_t code_bytes() const { return kBlockTokens * words() * 4; }
  size_t block_bytes() const { return code_bytes() + (has_zeros ? groups() * kBlockTokens * 2 : 0); }
  size_t block_scales() const { return groups() * kBlockTokens; }
  /// The zero point where none are stored.
  int middle() const { return 1 << (bits - 1); }
};

inline size_t blocks_of(size_t tokens) { return (tokens + kBlockTokens - 1) / kBlockTokens; }

/// Quantizes rows of heads, with RoPE and a transform where these are given, by the rules of ops/fake_quantize. The result stands for the same numbers with
/// two exceptions. A group of one value c is stored as code 0, scale c and zero point -1: exact. A range so narrow that
/// the zero point would not fit 16 bits gets the finest scale with which it does, max|x| / 32767.
/// Unit: one block of a head. Tokens that do not exist are 0 in every field.
struct PackCacheArgs {
  HeadRows rows;
  uint8_t* codes;  // [sequences, heads, blocks, block_bytes]
  float* scales;   // [sequences, heads, blocks, groups, 16]
  PackedLayout layout;
  float max_level, clip_ratio, lower_ratio;
  bool symmetric, include_zero;
  bool is_keys;  // words [words, 16 tokens], else [16 tokens, words]
};

/// Packed tokens of all heads, with room for `blocks` blocks in each.
struct PackedTokens {
  const uint8_t* codes;
  const float* scales;
  size_t blocks;
};

/// Grouped-query attention of q [groups, repeats, rows, width] over packed tokens: `length` of a cache, then `rows` new
/// ones. Row r is at position length + r and sees the positions up to its own, the last `window` of them where that is
/// not 0. With k̂ = s_k (c - z_k): scores are scale·s_k (q·c - z_k Σq) + coefficients·table[position], where there is a
/// table, and o = Σ p s_v (c - z_v) with p = softmax(scores), in float32 with the online form.
///
/// Unit: the blocks of tokens of a chunk, for `row_block` rows of a group with all query heads of it. A unit leaves o
/// with the highest score m and Σ e^(score - m), which `merge_attention` brings together.
struct PackedAttentionArgs {
  const float* q;
  PackedTokens keys, values, past_keys, past_values;
  PackedLayout key_layout, value_layout;
  const float *coefficients, *table;  // [groups, repeats, rows, terms] and [positions, terms]; null where there are none
  size_t terms;
  float* partial;  // [groups, repeats, rows, chunks, width + 2]: Σ e^(score - m)·v̂, then m and Σ e^(score - m)
  size_t repeats, rows, length, window;
  size_t row_block, chunk_blocks;
  float scale;

  size_t width() const { return key_layout.width; }
  /// Blocks of the cache, then of new tokens: both begin with a block of their own.
  size_t past_count() const { return blocks_of(length); }
  size_t block_count() const { return past_count() + blocks_of(rows); }
  size_t chunks() const { return (block_count() + chunk_blocks - 1) / chunk_blocks; }
  size_t row_blocks() const { return (rows + row_block - 1) / row_block; }
  size_t partial_size() const { return width() + 2; }
  /// The block that holds a position.
  size_t block_of(size_t position) const {
    return position < length ? position / kBlockTokens : past_count() + (position - length) / kBlockTokens;
  }
  /// First position that a row sees.
  size_t first_position(size_t row) const {
    return window > 0 && length + row + 1 > window ? length + row + 1 - window : 0;
  }
};

SPINQUANT_DECLARE_KERNEL(pack_cache, PackCacheArgs)
SPINQUANT_DECLARE_KERNEL(packed_attention, PackedAttentionArgs)
SPINQUANT_DECLARE_KERNEL(merge_attention, MergeChunksArgs)

namespace avx512_vnni {
void packed_attention(const PackedAttentionArgs&, size_t first, size_t last);
/// For many rows: `row_block` is kLaneRows, there are one chunk and no constant part.
void packed_attention_rows(const PackedAttentionArgs&, size_t first, size_t last);
}

/// Rows of a unit of `packed_attention_rows`.
constexpr size_t kLaneRows = 32;

}  // namespace spinquant

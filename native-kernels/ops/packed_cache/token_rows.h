// Packed tokens as rows of bytes, one after the other: a cache that grows by whole tokens, as exported models keep it.
#pragma once
#include "packed_cache.h"

namespace spinquant {

/// A token of a head as a row: the words of its codes, its zero points (int16) if there are any, its scales (float32),
/// then zeros up to `bytes`. The words of keys lie apart in blocks, those of values together.
struct TokenRows {
  PackedLayout layout;
  bool is_keys;
  size_t bytes;

  size_t word_bytes() const { return layout.words() * 4; }
  size_t zero_bytes() const { return layout.has_zeros ? layout.groups() * 2 : 0; }
  size_t scale_bytes() const { return layout.groups() * 4; }
  /// The bytes that a row needs at least.
  size_t needed() const { return word_bytes() + zero_bytes() + scale_bytes(); }
};

/// Reads the token at `place` of a head's blocks into a row.
void read_token(const TokenRows& form, const uint8_t* codes, const float* scales, size_t place, uint8_t* row);

/// Writes a row to `place` of a head's blocks.
void write_token(const TokenRows& form, const uint8_t* row, size_t place, uint8_t* codes, float* scales);

}  // namespace spinquant

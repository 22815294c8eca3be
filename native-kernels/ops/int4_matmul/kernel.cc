#include "../../cpu/hadamard_blocks.h"
#include "../../cpu/simd_quantize.h"
#include "../../cpu/simd_rows.h"
#include "../../operator/scratch.h"
#include "products.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

/// These store what the scale is multiplied with, less a shift that makes it fit a byte.
struct PutShifted {
  PutBytes bytes;
  Vec shift;

  SPINQUANT_INLINE_MEMBER void vector(size_t i, Vec scale, Vec multiples) const {
    bytes.vector(i, scale, multiples - shift);
  }
  SPINQUANT_INLINE_MEMBER void part(size_t i, size_t count, Vec scale, Vec multiples) const {
    bytes.part(i, count, scale, multiples - shift);
  }
};

int32_t sum_of(const int8_t* codes, size_t count) {
  int32_t sum = 0;
  for (size_t i = 0; i < count; i++) sum += codes[i];
  return sum;
}

/// Memory for one row and for its transform.
struct RowMemory {
  Scratch scratch;
  float* row;
  void* blocks;

  RowMemory(const Int4Rows& rows, size_t columns)
      : scratch(rows.are_plain() ? 0 : row_bytes(columns) + hadamard_memory(rows.blocks.order)),
        row(scratch.floats()),
        blocks(rows.are_plain() ? nullptr : static_cast<char*>(scratch.bytes()) + row_bytes(columns)) {}

  /// A whole number of cache lines, so that what follows begins with one.
  static size_t row_bytes(size_t columns) { return (columns * sizeof(float) + 63) / 64 * 64; }
};

/// The row that is quantized.
const float* row_of(const Int4Rows& rows, size_t token, size_t columns, const RowMemory& memory) {
  const float* x = rows.x + token * columns;
  if (rows.up) {
    swiglu_values(x, rows.up + token * columns, memory.row, columns);
    x = memory.row;
  }
  if (rows.norm) {
    rms_norm_row(x, memory.row, columns, rows.epsilon);
    x = memory.row;
  }
  if (rows.blocks.block == 0) return x;
  HadamardArgs blocks = rows.blocks;
  blocks.x = x;
  blocks.y = memory.row;
  hadamard_blocks(blocks, 0, columns / blocks.block, memory.blocks);
  return memory.row;
}

/// @param span counted over all tokens: spans of one token lie behind one another, and so do their groups.
void quantize_span(const Int4ActivationArgs& args, size_t span, const float* x) {
  const Int4Layout& layout = args.layout;
  const size_t group = layout.group, padded = layout.padded_group(), groups = layout.span / group;
  const RangeRule rule{args.max_level, args.clip_ratio, args.symmetric, args.include_zero};
  int8_t* codes = args.codes + span * groups * padded;
  const Range range = range_of(x, layout.span);
  Quantizer quantizer{};
  const bool has_scale = quantizer_of(rule, range, &quantizer);
  // Zeros need no shift, and without one their products are 0 to the last bit.
  const bool is_zero = range.low == 0 && range.high == 0;
  const float shift = args.shifted && !is_zero ? args.base - quantizer.zero : 0;
  // Where all are one value, that is the scale, and their codes are all 0 + 1.
  args.scales[span] = has_scale ? quantizer.scale : x[0];
  args.shifts[span] = has_scale ? shift : 1;
  for (size_t g = 0; g < groups; g++, x += group, codes += padded) {
    const size_t filled = has_scale ? group : 0;
    if (filled < padded) memset(codes + filled, 0, padded - filled);
    if (has_scale) quantize(quantizer, args.symmetric, range, x, PutShifted{{codes}, splat(shift)}, group);
    args.sums[span * groups + g] = sum_of(codes, group);
  }
}

}  // namespace

void int4_activations(const Int4ActivationArgs& args, size_t first, size_t last) {
  const Int4Layout& layout = args.layout;
  const RowMemory memory(args.rows, layout.columns);
  for (size_t token = first; token < last; token++) {
    const float* x = row_of(args.rows, token, layout.columns, memory);
    for (size_t s = 0; s < layout.spans(); s++) quantize_span(args, token * layout.spans() + s, x + s * layout.span);
  }
}

}  // namespace spinquant::SPINQUANT_ISA

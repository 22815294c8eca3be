#include "../../cpu/hadamard_blocks.h"
#include "../../cpu/kronecker_rows.h"
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

/// Memory for one row and for its transforms.
struct RowMemory {
  Scratch scratch;
  float* row;
  void* blocks;
  KroneckerMemory map;

  RowMemory(const Int4Rows& rows, size_t columns)
      : scratch(rows.are_plain() ? 0 : row_bytes(columns) + blocks_bytes(rows) + map_bytes(rows)),
        row(scratch.floats()),
        blocks(rows.are_plain() ? nullptr : static_cast<char*>(scratch.bytes()) + row_bytes(columns)),
        map(rows.map, rows.map.rows == 0 ? nullptr : static_cast<char*>(blocks) + blocks_bytes(rows)) {
    if (rows.map.rows > 0) kronecker_prepare(rows.map, map);
  }

  /// Whole numbers of cache lines, so that what follows begins with one.
  static size_t lines(size_t bytes) { return (bytes + 63) / 64 * 64; }
  static size_t row_bytes(size_t columns) { return lines(columns * sizeof(float)); }
  static size_t blocks_bytes(const Int4Rows& rows) { return lines(hadamard_memory(rows.blocks.order)); }
  static size_t map_bytes(const Int4Rows& rows) { return rows.map.rows == 0 ? 0 : KroneckerMemory::bytes(rows.map); }
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
  if (rows.map.rows > 0) {
    kronecker_row(rows.map, x, memory.row, memory.map);
    x = memory.row;
  }
  if (rows.blocks.block == 0) return x;
  HadamardArgs blocks = rows.blocks;
  blocks.x = x;
  blocks.y = memory.row;
  hadamard_blocks(blocks, 0, columns / blocks.block, memory.blocks);
  return memory.row;
}

/// Parts of a span lie behind one another. @returns true where its codes are shifted.
bool quantize_span(const Int4ActivationArgs& args, size_t token, size_t span, const float* x) {
  const Int4Layout& layout = args.layout;
  const size_t place = span * args.tokens + token;
  const size_t part = layout.part(), padded = layout.padded_part(), parts = layout.span / part;
  const RangeRule rule{args.max_level, args.clip_ratio, args.lower_ratio, args.symmetric, args.include_zero};
  int8_t* codes = args.codes + token * layout.depth() + span * parts * padded;
  const Range range = range_of(x, layout.span);
  Quantizer quantizer{};
  const bool has_scale = quantizer_of(rule, range, &quantizer);
  // Zeros need no shift, and without one their products are 0 to the last bit.
  const bool is_zero = range.low == 0 && range.high == 0;
  const float shift = args.symmetric || is_zero ? 0 : int4_shift(args, quantizer.zero);
  // Where all are one value, that is the scale, and their codes are all 0 + 1.
  args.scales[place] = has_scale ? quantizer.scale : x[0];
  args.shifts[place] = has_scale ? shift : 1;
  for (size_t p = 0; p < parts; p++, x += part, codes += padded) {
    const size_t filled = has_scale ? part : 0;
    if (filled < padded) memset(codes + filled, 0, padded - filled);
    if (has_scale) quantize(quantizer, args.symmetric, range, x, PutShifted{{codes}, splat(shift)}, part);
    args.sums[(span * parts + p) * args.tokens + token] = layout.taken_off(sum_of(codes, part));
  }
  return args.shifts[place] != 0;
}

}  // namespace

void int4_activations(const Int4ActivationArgs& args, size_t first, size_t last) {
  const Int4Layout& layout = args.layout;
  const RowMemory memory(args.rows, layout.columns);
  for (size_t token = first; token < last; token++) {
    const float* x = row_of(args.rows, token, layout.columns, memory);
    args.shifted[token] = 0;
    for (size_t s = 0; s < layout.spans(); s++) {
      args.shifted[token] += quantize_span(args, token, s, x + s * layout.span);
    }
  }
}

}  // namespace spinquant::SPINQUANT_ISA

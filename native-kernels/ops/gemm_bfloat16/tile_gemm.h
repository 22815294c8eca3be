// The products of packed panels; included by the sources that are compiled for products of bfloat16.
#pragma once
#include <immintrin.h>
#include "../../operator/scratch.h"
#include "../../cpu/byte_blocks.h"
#include "../../cpu/byte_pack.h"
#include "../../cpu/tile_pack.h"
#include "../../cpu/tile_products.h"
#include "../../cpu/whole_pack.h"
#include "../../cpu/whole_products.h"
#include "gemm_bfloat16.h"

namespace spinquant::SPINQUANT_ISA {

namespace {

/// So much a thread packs for itself at a time.
constexpr size_t kOwnBytes = 640 * 1024;

inline void pack_block(const TileOperand& operand, const PackedBlock& block, size_t first, size_t last) {
  switch (block.packed_as) {
    case PackedAs::pieces: return pack_panels(operand, block, first, last);
    case PackedAs::shorts: return pack_whole_panels(operand, block, first, last);
    case PackedAs::bytes: return pack_byte_panels(operand, block, first, last);
  }
}

/// So many panels of the operand, from one on, packed into `tiles`.
PackedBlock own_panels(const GemmMultiplyArgs& args, size_t first, size_t count, uint16_t* tiles) {
  PackedBlock block = args.part;
  block.first_row += first * kPanel;
  block.rows = at_most(args.part.rows - first * kPanel, count * kPanel);
  block.tiles = tiles;
  if (args.operand.takes_units()) block.units = reinterpret_cast<float*>(tiles + block.size());
  pack_block(args.operand, block, 0, block.panels());
  return block;
}

/// The products that gemm_bfloat16.h lists, by the pieces of the operands: sums + A·Bᵀ.
inline void multiply_pieces(const PackedBlock& a, size_t row, const PackedBlock& b, size_t column, const float* sums,
                            float* c, size_t stride) {
  if (a.packed_as == PackedAs::bytes) {
    const size_t rows = row * kPanel, columns = column * kPanel;
    return multiply_bytes(a.panel(row), b.panel(column), a.steps(), a.units + rows, b.units + columns,
                          b.starts() + columns, sums, c, stride);
  }
  if (a.packed_as == PackedAs::shorts) {
    const float* row_units = a.units ? a.units + row * kPanel : nullptr;
    const float* column_units = b.units ? b.units + column * kPanel : nullptr;
    return multiply_whole(a.panel(row), b.panel(column), a.steps(), row_units, column_units, sums, c, stride);
  }
  using Multiply = void (*)(const uint16_t*, size_t, const uint16_t*, size_t, size_t, const float*, float*, size_t);
  static constexpr Multiply kMultiply[3][3] = {{multiply_block<1, 1>, multiply_block<1, 2>, multiply_block<1, 3>},
                                               {multiply_block<2, 1>, multiply_block<2, 2>, nullptr},
                                               {multiply_block<3, 1>, nullptr, nullptr}};
  kMultiply[a.pieces - 1][b.pieces - 1](a.panel(row), a.plane(), b.panel(column), b.plane(), a.steps(), sums, c, stride);
}

/// Factors of rows and columns, or null.
struct Factors {
  const float *rows, *columns;
};

inline void copy_corner(const float* from, size_t from_stride, float* to, size_t to_stride, size_t rows, size_t columns,
                        const Factors& factors) {
  for (size_t i = 0; i < rows; i++, from += from_stride, to += to_stride) {
    const __m512 row = _mm512_set1_ps(factors.rows ? factors.rows[i] : 1.0f);
    for (size_t j = 0; j < columns; j += 16) {
      const __mmask16 there = lanes16(columns - j);
      __m512 values = _mm512_mul_ps(_mm512_maskz_loadu_ps(there, from + j), row);
      if (factors.columns) values = _mm512_mul_ps(values, _mm512_maskz_loadu_ps(there, factors.columns + j));
      _mm512_mask_storeu_ps(to + j, there, values);
    }
  }
}

/// The block of C is fetched while its products are computed.
inline void prefetch_for_writing(float* c, size_t stride) {
  for (size_t i = 0; i < kPanel; i++, c += stride) {
    __builtin_prefetch(c, 1);
    __builtin_prefetch(c + 16, 1);
  }
}

/// One 32 × 32 block of C; at the edges, and where it is scaled, by way of a block of its own.
void multiply_panels(const GemmMultiplyArgs& args, const PackedBlock& a, size_t row, const PackedBlock& b,
                     size_t column) {
  size_t rows = at_most(a.rows - row * kPanel, kPanel), columns = at_most(b.rows - column * kPanel, kPanel);
  size_t first_row = a.first_row + row * kPanel, first_column = b.first_row + column * kPanel;
  const Factors factors{args.row_scale ? args.row_scale + first_row : nullptr,
                        args.column_scale ? args.column_scale + first_column : nullptr};
  bool direct = rows == kPanel && columns == kPanel && !factors.rows && !factors.columns;
  alignas(64) float corner[kPanel * kPanel];
  size_t place = first_row * args.c_stride + first_column;
  float* c = direct ? args.c + place : corner;
  size_t stride = direct ? args.c_stride : kPanel;
  const float* sums = args.sums ? args.sums + place : nullptr;
  if (sums && !direct) copy_corner(sums, args.c_stride, corner, kPanel, rows, columns, {});
  if (direct && sums != c) prefetch_for_writing(c, stride);
  multiply_pieces(a, row, b, column, sums && !direct ? corner : sums, c, stride);
  if (!direct) copy_corner(corner, kPanel, args.c + place, args.c_stride, rows, columns, factors);
}

/// So much of the packed operand is multiplied with all of a thread's own panels before the next part of it.
constexpr size_t kCachedBytes = 640 * 1024;

/// Counts the panels that fit into so many bytes; the count is at least one.
size_t panels_in(size_t bytes, const PackedBlock& block) {
  size_t count = bytes / (block.panel_size() * sizeof(uint16_t));
  return count > 0 ? count : 1;
}

void multiply_own(const GemmMultiplyArgs& args, const PackedBlock& own, size_t panel, size_t other) {
  if (args.operand.is_a) {
    multiply_panels(args, own, panel, args.packed, other);
  } else {
    multiply_panels(args, args.packed, other, own, panel);
  }
}

}  // namespace

void gemm_pack(const GemmPackArgs& args, size_t first, size_t last) {
  pack_block(args.operand, args.packed, first, last);
}

void gemm_multiply(const GemmMultiplyArgs& args, size_t first, size_t last) {
  TileScope tiles;
  const size_t block = panels_in(kCachedBytes, args.packed), group = panels_in(kOwnBytes, args.part);
  const size_t own = at_most(last - first, group);
  const Scratch own_tiles(own * (args.part.panel_size() * sizeof(uint16_t) + PackedBlock::kRowBytes));
  for (size_t unit = first; unit < last; unit += group) {
    PackedBlock own = own_panels(args, unit, at_most(last - unit, group), static_cast<uint16_t*>(own_tiles.bytes()));
    for (size_t start = 0; start < args.packed.panels(); start += block) {
      size_t end = at_most(args.packed.panels(), start + block);
      for (size_t panel = 0; panel < own.panels(); panel++) {
        for (size_t other = start; other < end; other++) multiply_own(args, own, panel, other);
      }
    }
  }
}

void gemm_parts(const GemmPartsArgs& args, size_t first, size_t last) {
  TileScope tiles;
  const TileOperand &a = args.a, &b = args.b;
  PackedBlock a_block{nullptr, a.pieces, 0, a.rows, 0, args.block_depth};
  PackedBlock b_block{nullptr, b.pieces, 0, b.rows, 0, args.block_depth};
  const Scratch own_tiles((a_block.size() + b_block.size()) * sizeof(uint16_t));
  a_block.tiles = static_cast<uint16_t*>(own_tiles.bytes());
  b_block.tiles = a_block.tiles + a_block.size();
  for (size_t part = first; part < last; part++) {
    float* sum = args.partial + part * args.result_size();
    const size_t start = part * args.part_depth, end = at_most(a.depth, start + args.part_depth);
    for (size_t depth = start; depth < end; depth += args.block_depth) {
      a_block.first_depth = b_block.first_depth = depth;
      a_block.depth = b_block.depth = at_most(end - depth, args.block_depth);
      pack_all(a, a_block);
      pack_all(b, b_block);
      const GemmMultiplyArgs block{a, {}, {}, sum, b.rows, depth > start ? sum : nullptr, nullptr, nullptr};
      for (size_t row = 0; row < a_block.panels(); row++) {
        for (size_t column = 0; column < b_block.panels(); column++) multiply_panels(block, a_block, row, b_block, column);
      }
    }
  }
}

}  // namespace spinquant::SPINQUANT_ISA

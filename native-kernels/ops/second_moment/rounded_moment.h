// Second moments of rows in bfloat16; included by the sources that are compiled for products of these.
#pragma once
#include <immintrin.h>
#include "../../cpu/tile_pack.h"
#include "../../cpu/tile_products.h"
#include "../../operator/scratch.h"
#include "tiles.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

/// Columns of X at some depths, as rows of a factor that lie across memory.
inline TileOperand columns_of(const SecondMomentArgs& args, bool is_left) {
  return {args.x, args.n, args.rows, 1, args.n, is_left, 1};
}

inline void copy_block(const float* from, size_t from_stride, float* to, size_t to_stride, size_t rows, size_t columns) {
  for (size_t i = 0; i < rows; i++, from += from_stride, to += to_stride) memcpy(to, from, columns * sizeof(float));
}

/// 32 × 32 of the result += products of the packed rows; by way of a block of its own at the edges.
inline void add_block(const SecondMomentArgs& args, const PackedBlock& left, size_t row, const PackedBlock& right,
                      size_t column) {
  const size_t height = at_most(left.rows - row * kPanel, kPanel), width = at_most(right.rows - column * kPanel, kPanel);
  float* c = args.next + (left.first_row + row * kPanel) * args.n + right.first_row + column * kPanel;
  const uint16_t *a = left.panel(row), *b = right.panel(column);
  if (height == kPanel && width == kPanel) {
    multiply_block<1, 1>(a, left.plane(), b, right.plane(), left.steps(), c, c, args.n);
    return;
  }
  alignas(64) float corner[kPanel * kPanel] = {};
  copy_block(c, args.n, corner, kPanel, height, width);
  multiply_block<1, 1>(a, left.plane(), b, right.plane(), left.steps(), corner, corner, kPanel);
  copy_block(corner, kPanel, c, args.n, height, width);
}

/// Adds the products of `left.depth` rows of X. @param left, right where the tile's sides are packed.
inline void add_rounded_rows(const SecondMomentArgs& args, const MomentTile& tile, const PackedBlock& left,
                             const PackedBlock& right) {
  pack_all(columns_of(args, true), left);
  pack_all(columns_of(args, false), right);
  for (size_t row = 0; row < left.panels(); row++) {
    // Above the diagonal nothing is computed, but within its blocks.
    const size_t end = tile.is_diagonal() ? row + 1 : right.panels();
    for (size_t column = 0; column < end; column++) add_block(args, left, row, right, column);
  }
}

}  // namespace

void rounded_moment(const SecondMomentArgs& args, size_t first, size_t last) {
  TileScope tiles;
  const size_t side = divided_up(args.side, kPanel) * kPanel * kRoundedDepth;
  const Scratch scratch(2 * side * sizeof(uint16_t));
  uint16_t* packed = static_cast<uint16_t*>(scratch.bytes());
  for (size_t unit = first; unit < last; unit++) {
    const MomentTile tile(args, unit);
    start_sums(args, tile);
    for (size_t row = 0; row < args.rows; row += kRoundedDepth) {
      const size_t depth = at_most(args.rows - row, kRoundedDepth);
      const PackedBlock left{packed, 1, tile.rows.start, tile.rows.count, row, depth};
      const PackedBlock right{packed + side, 1, tile.columns.start, tile.columns.count, row, depth};
      add_rounded_rows(args, tile, left, right);
    }
    mirror(args, tile);
  }
}

}  // namespace spinquant::SPINQUANT_ISA

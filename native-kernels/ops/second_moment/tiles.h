// The tiles of a symmetric result that are computed, and their mirror images.
#pragma once
#include <cstring>
#include "second_moment.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

/// Elements of a side that are turned around at once.
constexpr size_t kTurned = 16;

inline size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

/// Some columns of X, or rows of the result.
struct Span {
  size_t start, count;
};

inline Span span_of(const SecondMomentArgs& args, size_t tile) {
  const size_t start = tile * args.side;
  return {start, smaller(args.side, args.n - start)};
}

/// A tile on or below the diagonal.
struct MomentTile {
  Span rows, columns;

  MomentTile(const SecondMomentArgs& args, size_t unit) {
    size_t row = 0;
    while (unit > row) unit -= ++row;
    rows = span_of(args, row);
    columns = span_of(args, unit);
  }

  bool is_diagonal() const { return rows.start == columns.start; }
};

/// A tile of the sum, where the result is written elsewhere.
inline void start_sums(const SecondMomentArgs& args, const MomentTile& tile) {
  if (args.next == args.sum) return;
  for (size_t r = tile.rows.start; r < tile.rows.start + tile.rows.count; r++) {
    const size_t at = r * args.n + tile.columns.start;
    memcpy(args.next + at, args.sum + at, tile.columns.count * sizeof(float));
  }
}

/// The elements on the other side of the diagonal; within a tile on it, of those above it.
inline void mirror(const SecondMomentArgs& args, const MomentTile& tile) {
  const auto& [rows, columns] = tile;
  float block[kTurned][kTurned];
  for (size_t r = 0; r < rows.count; r += kTurned) {
    const size_t height = smaller(kTurned, rows.count - r), end = tile.is_diagonal() ? r + 1 : columns.count;
    for (size_t c = 0; c < end; c += kTurned) {
      const size_t width = smaller(kTurned, columns.count - c), row = rows.start + r, column = columns.start + c;
      for (size_t i = 0; i < height; i++) memcpy(block[i], args.next + (row + i) * args.n + column, width * sizeof(float));
      for (size_t j = 0; j < width; j++) {
        float* to = args.next + (column + j) * args.n + row;
        for (size_t i = row == column ? j + 1 : 0; i < height; i++) to[i] = block[i][j];
      }
    }
  }
}

}  // namespace
}  // namespace spinquant::SPINQUANT_ISA

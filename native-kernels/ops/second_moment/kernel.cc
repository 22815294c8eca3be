#include "../../cpu/simd_tile.h"
#include "../../operator/scratch.h"
#include "tiles.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

constexpr size_t kPanelVectors = 3, kPanelColumns = kPanelVectors * kLanes;
/// Rows that are packed at once.
constexpr size_t kPackedRows = 16;

/// Columns of some rows of X in panels [depth, Panel] one after the other, filled up with zeros. A few rows at a time:
/// each of them lies in a page of its own.
template <size_t Panel>
SPINQUANT_INLINE void pack(const float* from, size_t stride, size_t depth, size_t width, float* to) {
  for (size_t first = 0; first < depth; first += kPackedRows) {
    const size_t rows = smaller(kPackedRows, depth - first);
    for (size_t start = 0; start < width; start += Panel) {
      const size_t count = smaller(Panel, width - start);
      const float* row = from + first * stride + start;
      float* panel = to + start * depth + first * Panel;
      for (size_t k = 0; k < rows; k++, row += stride, panel += Panel) {
        if (count == Panel) {
          for (size_t e = 0; e < Panel; e++) panel[e] = row[e];
        } else {
          for (size_t e = 0; e < Panel; e++) panel[e] = e < count ? row[e] : 0;
        }
      }
    }
  }
}

/// to [rows, columns] += products [kTileRows, kPanelColumns].
SPINQUANT_INLINE void add_products(const float* products, float* to, size_t stride, size_t rows, size_t columns) {
  for (size_t r = 0; r < rows; r++, to += stride, products += kPanelColumns) {
    if (columns == kPanelColumns) {
      SPINQUANT_UNROLL for (size_t v = 0; v < kPanelColumns; v += kLanes)
        store(to + v, load(to + v) + load(products + v));
    } else {
      for (size_t c = 0; c < columns; c++) to[c] += products[c];
    }
  }
}

/// Adds the products of some rows of X. @param left, right memory for kMomentDepth rows of a side and of a panel.
void add_rows(const SecondMomentArgs& args, const MomentTile& tile, size_t row, float* left, float* right) {
  const auto& [rows, columns] = tile;
  const size_t depth = smaller(kMomentDepth, args.rows - row);
  const float* x = args.x + row * args.n;
  pack<kTileRows>(x + rows.start, args.n, depth, rows.count, left);
  float products[kTileRows * kPanelColumns];
  for (size_t c = 0; c < columns.count; c += kPanelColumns) {
    const size_t width = smaller(kPanelColumns, columns.count - c);
    pack<kPanelColumns>(x + columns.start + c, args.n, depth, width, right);
    // Above the diagonal nothing is computed, but within the last panel.
    const size_t from = tile.is_diagonal() ? c / kTileRows * kTileRows : 0;
    for (size_t r = from; r < rows.count; r += kTileRows) {
      spinquant::SPINQUANT_ISA::tile<kPanelVectors, false>(left + r * depth, 1, kTileRows, right, kPanelColumns, depth,
                                                           products, kPanelColumns);
      add_products(products, args.next + (rows.start + r) * args.n + columns.start + c, args.n,
                   smaller(kTileRows, rows.count - r), width);
    }
  }
}

}  // namespace

void second_moment(const SecondMomentArgs& args, size_t first, size_t last) {
  const size_t side = (args.side + kTileRows - 1) / kTileRows * kTileRows;
  const Scratch scratch((side + kPanelColumns) * kMomentDepth * sizeof(float));
  float *left = scratch.floats(), *right = left + side * kMomentDepth;
  for (size_t unit = first; unit < last; unit++) {
    const MomentTile tile(args, unit);
    start_sums(args, tile);
    for (size_t row = 0; row < args.rows; row += kMomentDepth) add_rows(args, tile, row, left, right);
    mirror(args, tile);
  }
}

}  // namespace spinquant::SPINQUANT_ISA

#include <cstring>
#include "int4_matmul.h"

namespace spinquant {
namespace {

/// Where the codes of a row and column go: a byte, and the half of it.
struct Place {
  size_t byte;
  int shift;
};

/// @param column of the padded depth.
Place place_of(size_t row_of_panel, size_t column) {
  const size_t block = column / kBlockColumns, within = column % kBlockColumns;
  return {block * kBlockBytes + row_of_panel * 4 + within % 4, within < 4 ? 0 : 4};
}

/// Packs a row, with its sums of scale·(code - zero) over each span.
void pack_row(const PackInt4Args& args, size_t row, uint8_t* packed, float* grid) {
  const Int4Layout& layout = args.layout;
  const size_t in_panel = row % kPanelRows, groups = layout.groups(), group = layout.group;
  const size_t groups_of_span = layout.span / group;
  float* sums = grid;
  grid += layout.spans() * kPanelRows;
  double span_sum = 0;
  for (size_t g = 0; g < groups; g++) {
    const int8_t* codes = args.codes + row * layout.columns + g * group;
    const float scale = args.scales[row * groups + g];
    const float zero = args.zeros ? args.zeros[row * groups + g] : 0;
    double sum = 0;
    for (size_t i = 0; i < group; i++) {
      const Place place = place_of(in_panel, g * layout.padded_group() + i);
      const int nibble = args.zeros ? codes[i] : codes[i] + kSignedZero;
      packed[place.byte] = static_cast<uint8_t>(packed[place.byte] | ((nibble & 15) << place.shift));
      sum += static_cast<double>(codes[i]) - zero;
    }
    span_sum += scale * sum;
    if ((g + 1) % groups_of_span == 0) {
      *sums = static_cast<float>(span_sum);
      sums += kPanelRows;
      span_sum = 0;
    }
    *grid = scale;
    grid += kPanelRows;
    if (!args.zeros) continue;
    *grid = zero;
    grid += kPanelRows;
  }
}

}  // namespace

void pack_int4(const PackInt4Args& args, size_t first, size_t last) {
  const Int4Layout& layout = args.layout;
  for (size_t panel = first; panel < last; panel++) {
    uint8_t* packed = args.packed + panel * layout.panel_bytes();
    float* grid = args.grid + panel * layout.panel_grid();
    memset(packed, 0, layout.panel_bytes());
    memset(grid, 0, layout.panel_grid() * sizeof(float));
    for (size_t i = 0; i < kPanelRows && panel * kPanelRows + i < layout.rows; i++) {
      pack_row(args, panel * kPanelRows + i, packed, grid + i);
    }
  }
}

}  // namespace spinquant

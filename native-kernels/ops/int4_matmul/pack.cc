#include <cmath>
#include <cstring>
#include "int4_matmul.h"

namespace spinquant {
namespace {

/// Packs the codes of a group, which begins with a block, into the blocks of a row. @param base added to each code.
void pack_group(const int8_t* codes, size_t group, int base, uint8_t* packed) {
  size_t i = 0;
  for (; i + kBlockColumns <= group; i += kBlockColumns, packed += kBlockBytes) {
    for (size_t k = 0; k < 4; k++) {
      const int low = (codes[i + k] + base) & 15, high = (codes[i + k + 4] + base) & 15;
      packed[k] = static_cast<uint8_t>(low | high << 4);
    }
  }
  // What is behind the last code of a block stays 0, as the caller left it.
  for (size_t k = 0; i < group; i++, k++) {
    const int nibble = (codes[i] + base) & 15;
    packed[k % 4] = static_cast<uint8_t>(packed[k % 4] | nibble << (k < 4 ? 0 : 4));
  }
}

/// The sum of codes less the zero point. Whole numbers are summed as such, with the same result.
double group_sum(const int8_t* codes, size_t group, float zero) {
  if (zero != std::nearbyint(zero)) {
    double sum = 0;
    for (size_t i = 0; i < group; i++) sum += static_cast<double>(codes[i]) - zero;
    return sum;
  }
  // No group has so many columns that this overflows (kMostColumns).
  int32_t sum = 0;
  for (size_t i = 0; i < group; i++) sum += codes[i];
  return static_cast<double>(sum) - static_cast<double>(zero) * static_cast<double>(group);
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
    uint8_t* blocks = packed + g * layout.padded_group() / kBlockColumns * kBlockBytes + in_panel * 4;
    pack_group(codes, group, args.zeros ? 0 : kSignedZero, blocks);
    span_sum += scale * group_sum(codes, group, zero);
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

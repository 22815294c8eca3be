#include <cstring>
#include "int4_matmul.h"

namespace spinquant {
namespace {

/// Four codes as stored, 0 … 15, in the lower halves of four bytes. Adding 8 to the lower half of a signed code and
/// leaving out what is carried changes its highest bit alone.
uint32_t four_halves(const int8_t* codes, bool is_signed) {
  uint32_t four;
  memcpy(&four, codes, sizeof four);
  return (four ^ (is_signed ? 0x08080808u : 0u)) & 0x0f0f0f0fu;
}

/// Packs eight columns of a row. @param to where the row's bytes lie in their block.
void pack_block(const int8_t* codes, bool is_signed, uint8_t* to) {
  const uint32_t bytes = four_halves(codes, is_signed) | four_halves(codes + 4, is_signed) << 4;
  memcpy(to, &bytes, sizeof bytes);
}

/// Packs the columns of a part, and returns the sum of their codes.
int32_t pack_part(const int8_t* codes, size_t columns, bool is_signed, uint8_t* to) {
  int32_t sum = 0;
  for (size_t i = 0; i < columns; i++) sum += codes[i];
  size_t i = 0;
  for (; i + kBlockColumns <= columns; i += kBlockColumns, to += kBlockBytes) pack_block(codes + i, is_signed, to);
  if (i == columns) return sum;
  // Columns that pad a part are stored as 0.
  int8_t rest[kBlockColumns];
  memset(rest, is_signed ? -kSignedZero : 0, sizeof rest);
  memcpy(rest, codes + i, columns - i);
  pack_block(rest, is_signed, to);
  return sum;
}

/// Packs a row, with its sums of scale·(code - zero) over each span.
void pack_row(const PackInt4Args& args, size_t row, uint8_t* packed, float* grid) {
  const Int4Layout& layout = args.layout;
  const size_t groups = layout.groups(), part = layout.part();
  const size_t part_bytes = layout.padded_part() / kBlockColumns * kBlockBytes;
  const float* scales = args.scales + row * groups;
  const float* zeros = args.zeros ? args.zeros + row * groups : nullptr;
  const int8_t* codes = args.codes + row * layout.columns;
  double span_sum = 0;
  for (size_t p = 0; p < layout.parts(); p++) {
    const size_t g = p * part / layout.group;
    const int32_t sum = pack_part(codes + p * part, part, !zeros, packed + p * part_bytes);
    span_sum += scales[g] * (sum - static_cast<double>(part) * (zeros ? zeros[g] : 0));
    if ((p + 1) * part % layout.span != 0) continue;
    *grid = static_cast<float>(span_sum);
    grid += kPanelRows;
    span_sum = 0;
  }
  for (size_t g = 0; g < groups; g++) {
    *grid = scales[g];
    grid += kPanelRows;
    if (!zeros) continue;
    *grid = zeros[g];
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
      pack_row(args, panel * kPanelRows + i, packed + 4 * i, grid + i);
    }
  }
}

}  // namespace spinquant

#include <algorithm>
#include <cmath>
#include "../../cpu/nearest_byte.h"
#include "int4_matmul.h"

// Quantization is float32 here too: its definition is a sequence of float32 operations.
namespace spinquant::reference {
namespace {

/// The scale is 0 where there is nothing to quantize.
struct RowQuantizer {
  float scale, zero, low, high;
};

RowQuantizer quantizer_of(const Int4ActivationArgs& args, const float* x) {
  float low = 0, high = 0;
  for (size_t i = 0; i < args.layout.columns; i++) {
    low = std::min(low, x[i]);
    high = std::max(high, x[i]);
  }
  if (args.symmetric) {
    float scale = args.clip_ratio * std::max(-low, high) / args.max_level;
    return {scale == 0 ? 1 : scale, 0, -args.max_level - 1, args.max_level};
  }
  low *= args.clip_ratio;
  high *= args.clip_ratio;
  if (low == 0 && high == 0) {
    low = -1;
    high = 1;
  }
  float scale = (high - low) / args.max_level;
  return {scale, scale == 0 ? 0 : std::nearbyint(-low / scale), 0, args.max_level};
}

int8_t code_of(const RowQuantizer& q, float x, float shift) {
  if (q.scale == 0) return 0;
  float level = std::nearbyint(x / q.scale) + q.zero;
  return nearest_byte(std::min(std::max(level, q.low), q.high) - q.zero - shift);
}

/// Of a row of the weight: its number in 0 … 15 at a column of the padded depth.
int nibble(const Int4ProductArgs& args, size_t row, size_t column) {
  const uint8_t* block = args.packed + row / kPanelRows * args.layout.panel_bytes() + column / 8 * kBlockBytes;
  int byte = block[row % kPanelRows * 4 + column % 4];
  return column % 8 < 4 ? byte & 15 : byte >> 4;
}

double element(const Int4ProductArgs& args, size_t token, size_t row) {
  const Int4Layout& layout = args.layout;
  const int8_t* codes = args.codes + token * layout.depth();
  const float* grid = args.grid + row / kPanelRows * layout.panel_grid() + row % kPanelRows;
  const size_t parts = layout.has_zeros ? 2 : 1;
  double sum = 0;
  for (size_t g = 0; g < layout.groups(); g++) {
    const double scale = grid[(1 + g * parts) * kPanelRows];
    const double zero = layout.has_zeros ? grid[(2 + g * parts) * kPanelRows] : kSignedZero;
    double of_group = 0;
    for (size_t i = 0; i < layout.group; i++) {
      const size_t column = g * layout.padded_group() + i;
      of_group += (static_cast<double>(codes[column]) + args.shifts[token]) * (nibble(args, row, column) - zero);
    }
    sum += scale * of_group;
  }
  return args.scales[token] * sum;
}

}  // namespace

void int4_activations(const Int4ActivationArgs& args, size_t first, size_t last) {
  const Int4Layout& layout = args.layout;
  for (size_t token = first; token < last; token++) {
    const float* x = args.x + token * layout.columns;
    const RowQuantizer q = quantizer_of(args, x);
    args.scales[token] = q.scale;
    const bool is_zero = std::all_of(x, x + layout.columns, [](float value) { return value == 0; });
    args.shifts[token] = args.shifted && q.scale != 0 && !is_zero ? 128 - q.zero : 0;
    int8_t* codes = args.codes + token * layout.depth();
    for (size_t g = 0; g < layout.groups(); g++) {
      int32_t& sum = args.sums[token * layout.groups() + g];
      sum = 0;
      for (size_t i = 0; i < layout.padded_group(); i++) {
        bool is_padding = i >= layout.group;
        int8_t code = is_padding ? 0 : code_of(q, x[g * layout.group + i], args.shifts[token]);
        codes[g * layout.padded_group() + i] = code;
        sum += code;
      }
    }
  }
}

void int4_products(const Int4ProductArgs& args, size_t first, size_t last) {
  const Int4Layout& layout = args.layout;
  const size_t end = std::min(last * kPanelRows, layout.rows);
  for (size_t token = 0; token < args.tokens; token++) {
    for (size_t row = first * kPanelRows; row < end; row++) {
      args.y[token * layout.rows + row] = static_cast<float>(element(args, token, row));
    }
  }
}

}  // namespace spinquant::reference

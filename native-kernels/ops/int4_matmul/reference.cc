#include <algorithm>
#include <cmath>
#include "../../cpu/nearest_byte.h"
#include "../../cpu/row_loops.h"
#include "int4_matmul.h"

// Quantization is float32 here too: its definition is a sequence of float32 operations.
namespace spinquant::reference {
namespace {

/// The scale is 0 where there is nothing to quantize.
struct RowQuantizer {
  float scale, zero, low, high;
};

RowQuantizer quantizer_of(const Int4ActivationArgs& args, const float* x) {
  const auto [smallest, largest] = std::minmax_element(x, x + args.layout.span);
  float low = *smallest, high = *largest;
  if (args.symmetric || args.include_zero) {
    low = std::min(low, 0.0f);
    high = std::max(high, 0.0f);
  }
  if (args.symmetric) {
    float scale = args.clip_ratio * std::max(-low, high) / args.max_level;
    return {scale == 0 ? 1 : scale, 0, -args.max_level - 1, args.max_level};
  }
  // An end beyond 0 is cut as the other one.
  const float low_ratio = low > 0 ? args.clip_ratio : args.lower_ratio;
  high *= high < 0 ? args.lower_ratio : args.clip_ratio;
  low *= low_ratio;
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
  const size_t lines = layout.has_zeros ? 2 : 1, part = layout.part();
  double sum = 0;
  for (size_t p = 0; p < layout.parts(); p++) {
    const float* own = grid + (layout.spans() + p * part / layout.group * lines) * kPanelRows;
    const double scale = *own;
    const double zero = layout.has_zeros ? own[kPanelRows] : kSignedZero;
    const size_t span = p * part / layout.span * args.tokens + token;
    double of_part = 0;
    for (size_t i = 0; i < part; i++) {
      const size_t column = p * layout.padded_part() + i;
      of_part += (static_cast<double>(codes[column]) + args.shifts[span]) * (nibble(args, row, column) - zero);
    }
    sum += args.scales[span] * scale * of_part;
  }
  return sum;
}

/// In double, rounded once at the end.
std::vector<float> row_of(const Int4Rows& rows, size_t token, size_t columns) {
  const float* x = rows.x + token * columns;
  std::vector<double> row(x, x + columns);
  for (size_t i = 0; rows.up && i < columns; i++) {
    row[i] = row[i] / (1 + std::exp(-row[i])) * rows.up[token * columns + i];
  }
  if (rows.norm) {
    double sum = 0;
    for (double value : row) sum += value * value;
    for (double& value : row) value /= std::sqrt(sum / static_cast<double>(columns) + rows.epsilon);
  }
  const std::vector<double> mixed = transformed(rows.blocks, times_kronecker(rows.map, row));
  return {mixed.begin(), mixed.end()};
}

}  // namespace

void int4_activations(const Int4ActivationArgs& args, size_t first, size_t last) {
  const Int4Layout& layout = args.layout;
  const size_t part = layout.part(), padded = layout.padded_part(), parts_of_span = layout.span / part;
  std::vector<float> row;
  // Spans of one token lie behind one another, and so do their parts.
  for (size_t i = first * layout.spans(); i < last * layout.spans(); i++) {
    const size_t at = i % layout.spans(), token = i / layout.spans(), span = at * args.tokens + token;
    if (at == 0) {
      row = row_of(args.rows, token, layout.columns);
      args.shifted[token] = 0;
    }
    const float* x = &row[at * layout.span];
    const RowQuantizer q = quantizer_of(args, x);
    const bool is_zero = std::all_of(x, x + layout.span, [](float value) { return value == 0; });
    // Where all are one value, that is the scale, and their codes are all 0 + 1.
    args.scales[span] = q.scale == 0 ? x[0] : q.scale;
    args.shifts[span] = q.scale == 0 ? 1 : args.symmetric || is_zero ? 0 : int4_shift(args, q.zero);
    args.shifted[token] += args.shifts[span] != 0;
    int8_t* codes = args.codes + token * layout.depth() + at * parts_of_span * padded;
    for (size_t p = 0; p < parts_of_span; p++) {
      int32_t sum = 0;
      for (size_t column = 0; column < padded; column++) {
        int8_t code = column >= part ? 0 : code_of(q, x[p * part + column], args.shifts[span]);
        codes[p * padded + column] = code;
        sum += code;
      }
      args.sums[(at * parts_of_span + p) * args.tokens + token] = layout.taken_off(sum);
    }
  }
}

void int4_products(const Int4ProductArgs& args, size_t first, size_t last) {
  const Int4Layout& layout = args.layout;
  const size_t end = std::min(last * kPanelRows, layout.rows);
  for (size_t token = 0; token < args.tokens; token++) {
    for (size_t row = first * kPanelRows; row < end; row++) {
      const size_t at = token * layout.rows + row;
      args.y[at] = static_cast<float>(element(args, token, row) + (args.addend ? args.addend[at] : 0));
    }
  }
}

}  // namespace spinquant::reference

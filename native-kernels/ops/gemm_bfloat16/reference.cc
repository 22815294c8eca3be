#include <cstring>
#include "gemm_bfloat16.h"

namespace spinquant::reference {
namespace {

double widened(uint16_t bits) {
  uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float value;
  std::memcpy(&value, &wide, sizeof value);
  return value;
}

double element(const TileOperand& operand, size_t row, size_t depth) {
  size_t index = row * operand.row_stride + depth * operand.depth_stride;
  if (operand.type == TileData::bfloat16) return widened(static_cast<const uint16_t*>(operand.data)[index]);
  if (operand.type == TileData::int8) {
    double unit = operand.units[operand.lies_in_rows() ? row : depth];
    return unit * static_cast<const int8_t*>(operand.data)[index];
  }
  double value = static_cast<const float*>(operand.data)[index];
  return operand.depth_scale ? value * operand.depth_scale[depth] : value;
}

}  // namespace

void gemm_bfloat16(const GemmArgs& args, size_t first, size_t last) {
  const TileOperand &a = args.a, &b = args.b;
  for (size_t m = first; m < last; m++) {
    for (size_t n = 0; n < b.rows; n++) {
      double sum = 0;
      for (size_t k = 0; k < a.depth; k++) sum += element(a, m, k) * element(b, n, k);
      if (args.column_scale) sum *= args.column_scale[n];
      if (args.addend) sum += args.addend[m * b.rows + n];
      args.c[m * b.rows + n] = static_cast<float>(sum);
    }
  }
}

}  // namespace spinquant::reference

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

}  // namespace

void gemm_bfloat16(const GemmArgs& args, size_t first, size_t last) {
  const GemmOperand &a = args.a, &b = args.b;
  const float* a_data = static_cast<const float*>(a.data);
  const uint16_t* b_data = static_cast<const uint16_t*>(b.data);
  for (size_t m = first; m < last; m++) {
    for (size_t n = 0; n < b.rows; n++) {
      double sum = 0;
      for (size_t k = 0; k < a.depth; k++) {
        double scale = a.depth_scale ? a.depth_scale[k] : 1;
        sum += scale * a_data[m * a.row_stride + k] * widened(b_data[n * b.row_stride + k * b.depth_stride]);
      }
      args.c[m * b.rows + n] = static_cast<float>(args.column_scale ? sum * args.column_scale[n] : sum);
    }
  }
}

}  // namespace spinquant::reference

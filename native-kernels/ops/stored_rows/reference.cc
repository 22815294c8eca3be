#include <cstring>
#include "stored_rows.h"

namespace spinquant::reference {
namespace {

double widened(uint16_t bits) {
  uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float value;
  std::memcpy(&value, &wide, sizeof value);
  return value;
}

}  // namespace

void stored_rows(const StoredRowsArgs& args, size_t first, size_t last) {
  for (size_t n = first; n < last; n++) {
    for (size_t t = 0; t < args.rows; t++) {
      double sum = 0;
      for (size_t k = 0; k < args.depth; k++) sum += args.x[t * args.depth + k] * widened(args.w[n * args.depth + k]);
      args.y[t * args.width + n] = static_cast<float>(sum);
    }
  }
}

}  // namespace spinquant::reference

#include "rotary.h"

namespace spinquant::reference {

void rotary(const RotaryArgs& args, size_t first, size_t last) {
  for (size_t row = first; row < last; row++) {
    const float* x = args.x + row * 2 * args.half;
    float* y = args.y + row * 2 * args.half;
    size_t table = row % args.positions * args.half;
    for (size_t i = 0; i < args.half; i++) {
      double c = args.cos[table + i], s = static_cast<double>(args.sign) * args.sin[table + i];
      double a = x[i], b = x[args.half + i];
      y[i] = static_cast<float>(a * c - b * s);
      y[args.half + i] = static_cast<float>(b * c + a * s);
    }
  }
}

}  // namespace spinquant::reference

#include <vector>
#include "hadamard.h"

namespace spinquant::reference {
namespace {

/// z · H for a power-of-two number of entries, by the recursion H_2n = [H_n H_n; H_n -H_n].
void sylvester(double* z, size_t n) {
  for (size_t half = 1; half < n; half *= 2) {
    for (size_t i = 0; i < n; i++) {
      if (i & half) continue;
      double a = z[i], b = z[i + half];
      z[i] = a + b;
      z[i + half] = a - b;
    }
  }
}

void transform(const HadamardArgs& args, const float* x, float* y) {
  size_t order = args.order, columns = args.block / order;
  std::vector<double> z(x, x + args.block);
  for (size_t k = 0; k < order; k++) sylvester(&z[k * columns], columns);
  for (size_t i = 0; i < order; i++) {
    for (size_t c = 0; c < columns; c++) {
      double total = 0;
      for (size_t j = 0; j < order; j++) {
        double entry = !args.m ? 1.0 : args.transpose ? args.m[j * order + i] : args.m[i * order + j];
        total += entry * z[j * columns + c];
      }
      y[i * columns + c] = static_cast<float>(args.scale * total);
    }
  }
}

}  // namespace

void hadamard(const HadamardArgs& args, size_t first, size_t last) {
  for (size_t u = first; u < last; u++) transform(args, args.x + u * args.block, args.y + u * args.block);
}

}  // namespace spinquant::reference

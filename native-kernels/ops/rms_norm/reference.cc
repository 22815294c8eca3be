#include <cmath>
#include "rms_norm.h"

namespace spinquant::reference {
namespace {

double dot(const float* a, const float* b, size_t n) {
  double total = 0;
  for (size_t i = 0; i < n; i++) total += static_cast<double>(a[i]) * b[i];
  return total;
}

}  // namespace

void rms_norm(const RmsNormArgs& args, size_t first, size_t last) {
  for (size_t row = first; row < last; row++) {
    const float* x = args.x + row * args.n;
    double r = 1 / std::sqrt(dot(x, x, args.n) / static_cast<double>(args.n) + args.epsilon);
    for (size_t i = 0; i < args.n; i++) args.y[row * args.n + i] = static_cast<float>(r * x[i]);
  }
}

void rms_norm_grad(const RmsNormGradArgs& args, size_t first, size_t last) {
  double n = static_cast<double>(args.n);
  for (size_t row = first; row < last; row++) {
    const float* x = args.x + row * args.n;
    const float* dy = args.dy + row * args.n;
    double r = 1 / std::sqrt(dot(x, x, args.n) / n + args.epsilon);
    double along = r * r / n * dot(dy, x, args.n);
    for (size_t i = 0; i < args.n; i++) args.dx[row * args.n + i] = static_cast<float>(r * (dy[i] - x[i] * along));
  }
}

}  // namespace spinquant::reference

#include "../../cpu/simd_rows.h"
#include "rms_norm.h"

namespace spinquant::SPINQUANT_ISA {

void rms_norm(const RmsNormArgs& args, size_t first, size_t last) {
  for (size_t row = first; row < last; row++) {
    rms_norm_row(args.x + row * args.n, args.y + row * args.n, args.n, args.epsilon);
  }
}

void rms_norm_grad(const RmsNormGradArgs& args, size_t first, size_t last) {
  for (size_t row = first; row < last; row++) {
    const float* x = args.x + row * args.n;
    const float* dy = args.dy + row * args.n;
    float scalar = inverse_rms(x, args.n, args.epsilon);
    const Vec r = splat(scalar);
    const Vec along = splat(-(scalar * scalar / static_cast<float>(args.n) * dot(dy, x, args.n)));
    map2(x, dy, args.dx + row * args.n, args.n, [&](Vec v, Vec d) { return r * fma(v, along, d); });
  }
}

}  // namespace spinquant::SPINQUANT_ISA

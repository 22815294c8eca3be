#include <cmath>
#include "swiglu.h"

namespace spinquant::reference {

void swiglu(const SwigluArgs& args, size_t first, size_t last) {
  for (size_t i = first * kSwigluUnit; i < swiglu_end(last, args.count); i++) {
    double gate = args.gate[i];
    args.y[i] = static_cast<float>(gate / (1 + std::exp(-gate)) * args.up[i]);
  }
}

void swiglu_grad(const SwigluGradArgs& args, size_t first, size_t last) {
  for (size_t i = first * kSwigluUnit; i < swiglu_end(last, args.count); i++) {
    double gate = args.gate[i], up = args.up[i], dy = args.dy[i];
    double sigmoid = 1 / (1 + std::exp(-gate));
    args.d_gate[i] = static_cast<float>(dy * up * sigmoid * (1 + gate * (1 - sigmoid)));
    args.d_up[i] = static_cast<float>(dy * gate * sigmoid);
  }
}

}  // namespace spinquant::reference

#include "../core/scratch.h"
#include "../core/simd.h"
#include "hadamard.h"

namespace spinquant::SPINQUANT_ISA {
namespace {

/// z · H in place, one stage at a time.
void sylvester(float* z, size_t n) {
  for (size_t half = 1; half < n; half *= 2) {
    for (size_t i = 0; i < n; i += 2 * half) {
      float* a = z + i;
      float* b = z + i + half;
      for (size_t j = 0; j < half; j++) {
        float p = a[j], q = b[j];
        a[j] = p + q;
        b[j] = p - q;
      }
    }
  }
}

/// y = scale · (M × z), z and y as [order, columns].
void mix(const HadamardArgs& args, const float* z, float* y) {
  size_t order = args.order, columns = args.block / order;
  for (size_t i = 0; i < order; i++) {
    float* out = y + i * columns;
    for (size_t c = 0; c < columns; c++) out[c] = 0;
    for (size_t j = 0; j < order; j++) {
      float entry = args.transpose ? args.m[j * order + i] : args.m[i * order + j];
      for (size_t c = 0; c < columns; c++) out[c] += entry * z[j * columns + c];
    }
    for (size_t c = 0; c < columns; c++) out[c] *= args.scale;
  }
}

void transform(const HadamardArgs& args, const float* x, float* y, float* z) {
  size_t columns = args.block / args.order;
  memcpy(z, x, args.block * sizeof(float));
  for (size_t k = 0; k < args.order; k++) sylvester(z + k * columns, columns);
  if (args.order > 1) return mix(args, z, y);
  for (size_t i = 0; i < args.block; i++) y[i] = args.scale * z[i];
}

}  // namespace

void hadamard(const HadamardArgs& args, size_t first, size_t last) {
  Scratch scratch(args.block * sizeof(float));
  for (size_t u = first; u < last; u++) {
    transform(args, args.x + u * args.block, args.y + u * args.block, scratch.floats());
  }
}

}  // namespace spinquant::SPINQUANT_ISA

#include <algorithm>
#include <cmath>
#include <vector>
#include "../../cpu/nearest_byte.h"
#include "gptq.h"

namespace spinquant::reference {
namespace {

double damped(const ReverseCholeskyArgs& args, size_t j, size_t k) {
  return args.h[j * args.n + k] + (j == k ? *args.shift : 0);
}

void finish_row(const ReverseCholeskyArgs& args, size_t j) {
  const size_t n = args.n;
  for (size_t k = j + 1; k-- > 0;) {
    double s = damped(args, j, k);
    for (size_t i = j + 1; i < n; i++) s -= static_cast<double>(args.t[i * n + j]) * args.t[i * n + k];
    const double value = k == j ? std::sqrt(std::max(s, *args.shift)) : s / args.t[j * n + j];
    args.t[j * n + k] = static_cast<float>(value);
  }
}

/// One row of W; e has n elements.
void round_row(const GptqRoundArgs& args, size_t row, std::vector<double>& e) {
  const size_t n = args.n;
  for (size_t j = 0; j < n; j++) {
    const float* t = args.t + j * n;
    const size_t group = row * args.groups + args.group_of(j), at = row * n + args.column(j);
    const float s = args.scale[group], z = args.zero[group], w = args.w[at];
    double sum = 0;
    for (size_t k = 0; k < j; k++) sum += e[k] * t[k];
    const double wanted = w + sum / t[j];
    const double level = std::nearbyint(wanted / s) + z;
    const float code = static_cast<float>(level > args.low ? std::min<double>(level, args.high) : args.low);
    const float q = s * (code - z);
    e[j] = static_cast<double>(w) - q;
    args.codes[at] = nearest_byte(code);
  }
}

}  // namespace

void reverse_cholesky_start(const ReverseCholeskyArgs& args, size_t first, size_t last) {
  std::fill(args.t + first * args.n, args.t + last * args.n, 0.0f);
  if (first != 0) return;
  double mean = 0;
  for (size_t j = 0; j < args.n; j++) mean += args.h[j * args.n + j] / static_cast<double>(args.n);
  *args.shift = mean == 0 ? 1 : args.damping * mean;
}

/// Rows are computed whole, in one go.
void reverse_cholesky_sums(const ReverseCholeskyArgs&, size_t, size_t) {}

void reverse_cholesky_solve(const ReverseCholeskyArgs& args, size_t first, size_t) {
  if (first != 0) return;
  for (size_t j = args.end(); j-- > args.begin;) finish_row(args, j);
}

void gptq_round(const GptqRoundArgs& args, size_t first, size_t last) {
  std::vector<double> e(args.n);
  for (size_t row = first * kRowsPerUnit; row < std::min(last * kRowsPerUnit, args.m); row++)
    round_row(args, row, e);
}

}  // namespace spinquant::reference

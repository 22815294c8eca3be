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

/// One row of W; a and latent have n elements, for a and w'.
void round_row(const GptqRoundArgs& args, size_t row, std::vector<double>& a, std::vector<double>& latent) {
  const size_t n = args.n;
  const double keep = 1 - static_cast<double>(args.beta);
  for (size_t j = 0; j < n; j++) {
    const float *t = args.t + j * n, *drift = args.drift ? args.drift + j * n : nullptr;
    const size_t group = row * args.groups + args.group_of(j), at = row * n + args.column(j);
    const float s = args.scale[group], z = args.zero[group], w = args.w[at];
    double sum = 0;
    for (size_t k = 0; k < j; k++) sum += a[k] * t[k] + (drift ? keep * latent[k] * drift[k] : 0);
    const double moved = sum / t[j], wanted = w + moved;
    const double level = std::nearbyint(wanted / s) + z;
    const float code = static_cast<float>(level > args.low ? std::min<double>(level, args.high) : args.low);
    const float q = s * (code - z);
    a[j] = keep * (static_cast<double>(w) - q) - (1 - keep * keep) * moved;
    latent[j] = wanted;
    args.codes[at] = nearest_byte(code);
  }
}

/// Looks at all columns of a row again; e holds w - q. Says whether a code changed.
bool sweep_row(const GptqSweepArgs& args, size_t row, std::vector<double>& e) {
  bool changed = false;
  for (size_t j = 0; j < args.n; j++) {
    const float* h = args.h + j * args.n;
    const size_t group = row * args.groups + args.group_of(j), at = row * args.n + j;
    const float s = args.scale[group], z = args.zero[group], w = args.w[at];
    double sum = 0;
    for (size_t k = 0; k < args.n; k++) sum += k == j ? 0 : e[k] * h[k];
    const double level = std::nearbyint((w + sum / (h[j] + args.shift)) / s) + z;
    const float code = static_cast<float>(level > args.low ? std::min<double>(level, args.high) : args.low);
    const float q = s * (code - z);
    e[j] = static_cast<double>(w) - q;
    changed |= args.codes[at] != nearest_byte(code);
    args.codes[at] = nearest_byte(code);
  }
  return changed;
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
  std::vector<double> a(args.n), latent(args.n);
  for (size_t row = first * kRowsPerUnit; row < std::min(last * kRowsPerUnit, args.m); row++)
    round_row(args, row, a, latent);
}

void gptq_sweep(const GptqSweepArgs& args, size_t first, size_t last) {
  const size_t n = args.n;
  std::vector<double> e(n);
  for (size_t row = first * kRowsPerUnit; row < std::min(last * kRowsPerUnit, args.m); row++) {
    for (size_t at = row * n, j = 0; j < n; j++, at++) {
      const size_t group = row * args.groups + args.group_of(j);
      const float q = args.scale[group] * (static_cast<float>(args.given[at]) - args.zero[group]);
      e[j] = static_cast<double>(args.w[at]) - q;
      args.codes[at] = args.given[at];
    }
    for (size_t sweep = 0; sweep < args.sweeps && sweep_row(args, row, e); sweep++) {
    }
  }
}

}  // namespace spinquant::reference

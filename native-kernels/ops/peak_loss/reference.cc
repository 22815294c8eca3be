#include <algorithm>
#include <cmath>
#include <vector>
#include "peak_loss.h"

namespace spinquant::reference {
namespace {

struct Row {
  std::vector<double> deviation, score;
  double mean = 0, square = 0;  // Σ (score∘deviation)²
};

Row row_of(const float* y, size_t n, double temperature) {
  Row row{std::vector<double>(n), std::vector<double>(n)};
  for (size_t i = 0; i < n; i++) row.mean += y[i] / static_cast<double>(n);
  for (size_t i = 0; i < n; i++) row.deviation[i] = std::abs(y[i] - row.mean);
  double top = *std::max_element(row.deviation.begin(), row.deviation.end()), total = 0;
  for (size_t i = 0; i < n; i++) total += row.score[i] = std::exp((row.deviation[i] - top) / temperature);
  for (size_t i = 0; i < n; i++) {
    row.score[i] /= total;
    row.square += std::pow(row.score[i] * row.deviation[i], 2);
  }
  return row;
}

}  // namespace

void peak_loss(const PeakLossArgs& args, size_t first, size_t last) {
  for (size_t u = first; u < last; u++) {
    Row row = row_of(args.y + u * args.n, args.n, args.temperature);
    args.loss[u] = static_cast<float>(std::sqrt(row.square + args.epsilon));
  }
}

void peak_loss_grad(const PeakLossGradArgs& args, size_t first, size_t last) {
  for (size_t u = first; u < last; u++) {
    const float* y = args.y + u * args.n;
    Row row = row_of(y, args.n, args.temperature);
    double loss = std::sqrt(row.square + args.epsilon), mean = 0;
    std::vector<double> d(args.n);
    for (size_t i = 0; i < args.n; i++) {
      double w = row.score[i] * row.deviation[i], g = w / loss;
      double slope = g * row.score[i] + (g * w - row.score[i] * row.square / loss) / args.temperature;
      double sign = y[i] > row.mean ? 1 : y[i] < row.mean ? -1 : 0;
      d[i] = args.dloss[u] * sign * slope;
      mean += d[i] / static_cast<double>(args.n);
    }
    for (size_t i = 0; i < args.n; i++) args.dy[u * args.n + i] = static_cast<float>(d[i] - mean);
  }
}

}  // namespace spinquant::reference

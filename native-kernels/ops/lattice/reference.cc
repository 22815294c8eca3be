#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>
#include "lattice.h"

// Points are found by trying all of a book, written down from its definition.
namespace spinquant::reference {
namespace {

using Point = std::array<double, kBlock>;

double norm(const Point& p) {
  double sum = 0;
  for (double value : p) sum += value * value;
  return sum;
}

/// Calls `use` with every vector of numbers out of `values`.
template <class Use>
void each_word(const std::vector<double>& values, const Use& use) {
  std::array<size_t, kBlock> digits{};
  for (;;) {
    Point word;
    for (size_t i = 0; i < kBlock; i++) word[i] = values[digits[i]];
    use(word);
    size_t i = 0;
    while (i < kBlock && ++digits[i] == values.size()) digits[i++] = 0;
    if (i == kBlock) return;
  }
}

bool is_listed(const Point& magnitudes) {
  if (norm(magnitudes) <= 10) return true;
  for (const auto& halves : kTripleTable.halves) {
    Point pattern;
    pattern.fill(1.5);
    for (uint8_t i : halves) pattern[i] = 0.5;
    if (magnitudes == pattern) return true;
  }
  return false;
}

/// The 256 patterns of E8P, without signs.
std::vector<Point> patterns() {
  std::vector<Point> found;
  each_word({0.5, 1.5, 2.5}, [&](const Point& word) {
    if (norm(word) <= 12 && is_listed(word)) found.push_back(word);
  });
  return found;
}

std::vector<Point> one_bit_book() {
  std::vector<Point> found;
  each_word({0, 1, -1}, [&](const Point& word) {
    if (norm(word) == 0 || norm(word) == 2) found.push_back(word);
  });
  each_word({0.5, -0.5}, [&](const Point& word) {
    double sum = 0;
    for (double value : word) sum += value;
    if (std::fmod(sum, 2) == 0) found.push_back(word);
  });
  for (size_t i = 0; i < 2 * kBlock - 1; i++) {
    Point word{};
    word[i / 2] = i % 2 == 0 ? 2 : -2;
    found.push_back(word);
  }
  return found;
}

double distance(const Point& x, const Point& p) {
  double sum = 0;
  for (size_t i = 0; i < kBlock; i++) sum += (x[i] - p[i]) * (x[i] - p[i]);
  return sum;
}

/// A pattern with the signs of y; one is turned where the sum is odd, the one that costs least.
Point with_signs(const Point& pattern, const Point& y) {
  Point p;
  double sum = 0;
  size_t turned = 0;
  for (size_t i = 0; i < kBlock; i++) {
    p[i] = y[i] < 0 ? -pattern[i] : pattern[i];
    sum += p[i];
    if (std::abs(y[i]) * pattern[i] <= std::abs(y[turned]) * pattern[turned]) turned = i;
  }
  if (std::fmod(sum, 2) != 0) p[turned] = -p[turned];
  return p;
}

Point nearest_e8p(const Point& x) {
  static const std::vector<Point> all = patterns();
  Point best{};
  double least = std::numeric_limits<double>::infinity();
  for (double shift : {0.25, -0.25}) {
    Point y;
    for (size_t i = 0; i < kBlock; i++) y[i] = x[i] - shift;
    for (const Point& pattern : all) {
      Point p = with_signs(pattern, y);
      for (double& value : p) value += shift;
      const double own = distance(x, p);
      if (own < least) least = own, best = p;
    }
  }
  return best;
}

Point nearest_one_bit(const Point& x) {
  static const std::vector<Point> all = one_bit_book();
  return *std::min_element(all.begin(), all.end(),
                           [&](const Point& a, const Point& b) { return distance(x, a) < distance(x, b); });
}

/// One row of W, block by block; e has n elements. Returns whether an error changed.
bool pass_row(const LatticeRoundArgs& args, size_t row, bool is_first, std::vector<float>& e) {
  const size_t n = args.n;
  bool changed = is_first;
  for (size_t start = n; start > 0;) {
    start -= kBlock;
    const float* factors = (is_first ? args.feedback : args.gain) + start * n;
    Point wanted, rest{};
    for (size_t c = 0; c < kBlock; c++) {
      double sum = 0;
      for (size_t j = 0; j < n; j++) {
        if (j >= start + kBlock || (!is_first && j < start)) sum += static_cast<double>(e[j]) * factors[j * kBlock + c];
      }
      wanted[c] = static_cast<float>(args.w[row * n + start + c] + sum);
    }
    const Point first = nearest_e8p(wanted);
    const float scale = args.residual_scale();
    if (args.bits > 2) {
      for (size_t c = 0; c < kBlock; c++) rest[c] = static_cast<float>(wanted[c] - first[c]) * scale;
      rest = args.bits == 4 ? nearest_e8p(rest) : nearest_one_bit(rest);
    }
    for (size_t c = 0; c < kBlock; c++) {
      const size_t at = row * n + start + c;
      args.first[at] = static_cast<int8_t>(4 * first[c]);
      args.second[at] = static_cast<int8_t>(4 * rest[c]);
      const float q = static_cast<float>(first[c]) + static_cast<float>(rest[c]) * (1 / scale);
      const float error = args.w[at] - q;
      changed |= error != e[start + c];
      e[start + c] = error;
    }
  }
  return changed;
}

}  // namespace

void lattice_round(const LatticeRoundArgs& args, size_t first, size_t last) {
  for (size_t row = first * kLatticeRows; row < std::min(last * kLatticeRows, args.m); row++) {
    std::vector<float> e(args.n);
    for (size_t sweep = 0; sweep <= args.sweeps; sweep++)
      if (!pass_row(args, row, sweep == 0, e)) break;
  }
}

}  // namespace spinquant::reference

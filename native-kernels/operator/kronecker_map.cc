#include "kronecker_map.h"

namespace spinquant {

void KroneckerMap::require_fit(const Tensor& x, const Tensor& numbers) const {
  if (x.shape.empty()) reject("X must have at least one dimension");
  const size_t width = x.width();
  if (width % left() != 0) {
    reject("the last dimension must be a multiple of left " + std::to_string(left_) + ", found " + text(x));
  }
  const size_t right = width / left(), wanted = width + left() * left() + right * right;
  if (numbers.shape.size() == 1 && numbers.count() >= wanted) return;
  reject("a map of " + std::to_string(width) + " channels has at least " + std::to_string(wanted) +
         " numbers, found " + text(numbers));
}

KroneckerArgs KroneckerMap::make(size_t width, const Tensor& numbers) const {
  const float* gain = numbers.floats();
  return {nullptr, nullptr, gain, gain + width, gain + width + left() * left(), left(), width / left()};
}

}  // namespace spinquant

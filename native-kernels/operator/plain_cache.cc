#include "plain_cache.h"

namespace spinquant {
namespace {

/// The shape of q with another number of rows.
Shape with_rows(const Tensor& q, int64_t rows) {
  Shape shape = q.shape;
  shape[shape.size() - 2] = rows;
  return shape;
}

}  // namespace

void require_plain_cache(const std::vector<Tensor>& inputs, const StackedRows& stacked) {
  const Tensor &q = inputs[0], &k = inputs[1], &past = inputs[3], &length = inputs[5];
  require_same_shape("K", k, "V", inputs[2]);
  require_same_shape("past K", past, "past V", inputs[4]);
  const int64_t rows = static_cast<int64_t>(stacked.of(q));
  if (k.shape != with_rows(q, rows) || past.shape.size() != q.shape.size() ||
      past.shape != with_rows(q, past.shape[past.shape.size() - 2])) {
    reject("Q must be [..., repeats * " + std::to_string(rows) + ", h], K and V [..., " + std::to_string(rows) +
           ", h] and past K and V [..., capacity, h], found " + text(q.shape) + ", " + text(k.shape) + " and " +
           text(past.shape));
  }
  if (length.shape != Shape{1}) reject("length must be [1], found " + text(length.shape));
  const int64_t tokens = length.integers()[0], capacity = past.shape[past.shape.size() - 2];
  if (tokens < 0 || tokens > capacity) {
    reject("length must be from 0 to the capacity " + std::to_string(capacity) + ", found " + std::to_string(tokens));
  }
}

}  // namespace spinquant

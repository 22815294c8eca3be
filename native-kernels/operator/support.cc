#include "support.h"

namespace spinquant {

std::string text(const Shape& shape) {
  std::string result = "[";
  for (size_t i = 0; i < shape.size(); i++) result += (i ? ", " : "") + std::to_string(shape[i]);
  return result + "]";
}

std::string text(const Tensor& tensor) { return tensor.data ? text(tensor.shape) : "nothing"; }

void require_same_shape(const char* a_name, const Tensor& a, const char* b_name, const Tensor& b) {
  if (a.shape == b.shape) return;
  reject(std::string(a_name) + " and " + b_name + " must have the same shape, found " + text(a.shape) + " and " +
         text(b.shape));
}

int64_t integer_between(const Attributes& attributes, const char* name, int64_t fallback, int64_t low, int64_t high) {
  int64_t value = attributes.integer(name, fallback);
  if (value >= low && value <= high) return value;
  reject(std::string("attribute ") + name + " must be in [" + std::to_string(low) + ", " + std::to_string(high) +
         "], found " + std::to_string(value));
}

}  // namespace spinquant

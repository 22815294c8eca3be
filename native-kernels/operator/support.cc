#include "support.h"
#include <cmath>

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

bool flag(const Attributes& attributes, const char* name, bool fallback) {
  return integer_between(attributes, name, fallback ? 1 : 0, 0, 1) == 1;
}

float finite_number(const Attributes& attributes, const char* name, float fallback) {
  float value = attributes.number(name, fallback);
  if (std::isfinite(value)) return value;
  reject(std::string("attribute ") + name + " must be finite, found " + std::to_string(value));
}

float positive_number(const Attributes& attributes, const char* name, float fallback) {
  float value = finite_number(attributes, name, fallback);
  if (value > 0) return value;
  reject(std::string("attribute ") + name + " must be above 0, found " + std::to_string(value));
}

float epsilon_of(const Attributes& attributes, float fallback) {
  float value = finite_number(attributes, "epsilon", fallback);
  if (value >= 0) return value;
  reject("attribute epsilon must be at least 0, found " + std::to_string(value));
}

StackedRows::StackedRows(const Attributes& attributes)
    : rows_(integer_between(attributes, "rows", 1, 1, INT32_MAX)),
      repeats_(integer_between(attributes, "repeats", 0, 0, INT32_MAX)) {}

size_t StackedRows::of(const Tensor& q) const {
  const int64_t divisor = repeats_ > 0 ? repeats_ : rows_;
  if (q.count() == 0 || q.shape.size() < 2 || q.shape[q.shape.size() - 2] % divisor != 0) {
    const std::string factors = repeats_ > 0 ? std::to_string(repeats_) + " * rows" : "repeats * " + std::to_string(rows_);
    reject("Q must be [..., " + factors + ", h], found " + text(q.shape));
  }
  return static_cast<size_t>(repeats_ > 0 ? q.shape[q.shape.size() - 2] / repeats_ : rows_);
}

void* empty_address() {
  // The end of an object: a sanitizer reports whoever reads there.
  alignas(64) static char object[64];
  return object + sizeof object;
}

void require_inputs(const OperatorType& type, const std::vector<Tensor>& inputs) {
  for (size_t i = 0; i < inputs.size(); i++) {
    if (!inputs[i].data && !type.inputs[i].optional) reject("input " + std::to_string(i) + " is missing");
  }
}

}  // namespace spinquant

// An operator as we write it: independent of ONNX Runtime, so that tests and benchmarks call it directly.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>
#include "variants.h"

namespace spinquant {

using Shape = std::vector<int64_t>;

inline size_t element_count(const Shape& shape) {
  size_t count = 1;
  for (int64_t dim : shape) count *= static_cast<size_t>(dim);
  return count;
}

/// Dense row-major; data is null for an optional input that is absent.
struct Tensor {
  void* data = nullptr;
  Shape shape;

  const float* floats() const { return static_cast<const float*>(data); }
  float* mutable_floats() const { return static_cast<float*>(data); }
  const int8_t* bytes() const { return static_cast<const int8_t*>(data); }
  int8_t* mutable_bytes() const { return static_cast<int8_t*>(data); }
  const int64_t* integers() const { return static_cast<const int64_t*>(data); }
  size_t count() const { return element_count(shape); }
  /// Size of the last dimension; 1 for a scalar.
  size_t width() const { return shape.empty() ? 1 : static_cast<size_t>(shape.back()); }
};

/// Where an operator's attributes come from: an ONNX node or a test.
class Attributes {
 public:
  virtual ~Attributes() = default;
  virtual int64_t integer(const char* name, int64_t fallback) const = 0;
  virtual float number(const char* name, float fallback) const = 0;
};

/// Independent units that any number of threads may share out in any way without changing the result.
struct Work {
  size_t units = 0;
  /// Rough cost of one unit in elementary steps, to decide how finely to share out.
  size_t unit_cost = 1;
  std::function<void(size_t first, size_t last)> run;
  /// What follows when all units are done, if anything.
  std::shared_ptr<Work> next;
};

/// One node: attributes read and checked.
class Operator {
 public:
  virtual ~Operator() = default;
  /// Shapes of the outputs. Throws std::invalid_argument when the inputs do not fit.
  virtual std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const = 0;
  /// The computation. Tensors must stay valid until it has run.
  virtual Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const = 0;
};

enum class ElementType { float32, int64, bfloat16, int8 };

struct InputSpec {
  ElementType type = ElementType::float32;
  bool optional = false;
};

struct OperatorType {
  const char* name;
  std::vector<InputSpec> inputs;
  size_t output_count;
  /// The input whose memory output 0 may take over, or -1.
  int inplace_input;
  std::unique_ptr<Operator> (*create)(const Attributes&);
  /// Of output 0; the others are float32.
  ElementType result = ElementType::float32;
};

/// Every operator of the domain `spinquant`.
const std::vector<OperatorType>& operator_types();

[[noreturn]] inline void reject(const std::string& message) { throw std::invalid_argument(message); }

}  // namespace spinquant

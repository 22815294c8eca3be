// An operator as we write it: independent of ONNX Runtime, so that tests and benchmarks call it directly.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>
#include "../cpu/variants.h"

namespace spinquant {

using Shape = std::vector<int64_t>;

inline size_t element_count(const Shape& shape) {
  size_t count = 1;
  for (int64_t dim : shape) count *= static_cast<size_t>(dim);
  return count;
}

/// Dense row-major; data is null for an optional input that is absent, and for nothing else.
struct Tensor {
  void* data = nullptr;
  Shape shape;

  const float* floats() const { return static_cast<const float*>(data); }
  float* mutable_floats() const { return static_cast<float*>(data); }
  const int8_t* bytes() const { return static_cast<const int8_t*>(data); }
  const uint16_t* halves() const { return static_cast<const uint16_t*>(data); }
  uint16_t* mutable_halves() const { return static_cast<uint16_t*>(data); }
  int8_t* mutable_bytes() const { return static_cast<int8_t*>(data); }
  const int64_t* integers() const { return static_cast<const int64_t*>(data); }
  size_t count() const { return element_count(shape); }
  /// Size of the last dimension; 1 for a scalar.
  size_t width() const { return shape.empty() ? 1 : static_cast<size_t>(shape.back()); }
};

/// Tensors without elements have this address, so that none is taken for an absent one. Nothing may be read there.
void* empty_address();

/// An operator's attributes come from an ONNX node or a test.
class Attributes {
 public:
  virtual ~Attributes() = default;
  /// Both throw std::invalid_argument where the attribute has another type.
  virtual int64_t integer(const char* name, int64_t fallback) const = 0;
  virtual float number(const char* name, float fallback) const = 0;
};

/// Independent units that any number of threads may share out in any way without changing the result.
struct Work {
  size_t units = 0;
  /// Rough cost of one unit in elementary steps, to decide how finely to share out.
  size_t unit_cost = 1;
  std::function<void(size_t first, size_t last)> run;
  /// This work, if any, follows when all units are done.
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

enum class ElementType { float32, int64, float16, bfloat16, int8 };

/// Bytes of one element.
constexpr size_t element_size(ElementType type) {
  switch (type) {
    case ElementType::int64: return 8;
    case ElementType::float16:
    case ElementType::bfloat16: return 2;
    case ElementType::int8: return 1;
    case ElementType::float32: break;
  }
  return 4;
}

struct InputSpec {
  ElementType type = ElementType::float32;
  bool optional = false;
};

/// A graph may leave out any output but the first one.
struct OutputSpec {
  ElementType type = ElementType::float32;
  /// Names the input whose memory this output may take over; -1 is none.
  int may_reuse = -1;
};

/// Describes a float32 output that may take over the memory of an input.
constexpr OutputSpec reusing(int input) { return {ElementType::float32, input}; }

struct OperatorType {
  const char* name;
  std::vector<InputSpec> inputs;
  std::vector<OutputSpec> outputs;
  std::unique_ptr<Operator> (*create)(const Attributes&);
};

/// Throws std::invalid_argument where an input is absent that is not optional.
void require_inputs(const OperatorType& type, const std::vector<Tensor>& inputs);

/// Lists every operator of the domain `spinquant`, in a fixed order.
const std::vector<OperatorType>& operator_types();

[[noreturn]] inline void reject(const std::string& message) { throw std::invalid_argument(message); }

}  // namespace spinquant

// The two middle axes of [A, B, C, D] change places, with rows of D floats copied whole: what splits tokens into heads
// and joins them again. ONNX Runtime's Transpose does it on one thread.
#include <cstring>
#include "../../operator/support.h"

namespace spinquant {
namespace {

class SwapAxes final : public Operator {
 public:
  explicit SwapAxes(const Attributes&) {}

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    const Shape& x = inputs[0].shape;
    if (x.size() != 4) reject("X must be [A, B, C, D], found " + text(x));
    return {{x[0], x[2], x[1], x[3]}};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa) const override {
    const Tensor& x = inputs[0];
    size_t b = static_cast<size_t>(x.shape[1]), c = static_cast<size_t>(x.shape[2]), width = x.width();
    const float* from = x.floats();
    float* to = outputs[0].mutable_floats();
    // Unit: one row of the result, [a, c, b].
    auto copy = [=](size_t first, size_t last) {
      for (size_t row = first; row < last; row++) {
        size_t source = (row / (b * c) * b + row % b) * c + row / b % c;
        std::memcpy(to + row * width, from + source * width, width * sizeof(float));
      }
    };
    return {x.count() / (width ? width : 1), width / 4 + 1, copy, nullptr};
  }
};

}  // namespace

OperatorType swap_axes_type() { return {"SwapAxes", {{}}, {{}}, make_operator<SwapAxes>}; }

}  // namespace spinquant

// bfloat16 numbers as float32, exactly: the bits move into the upper half. ONNX Runtime's Cast does it on one thread.
#include <cstring>
#include "../../operator/support.h"

namespace spinquant {
namespace {

class Widen final : public Operator {
 public:
  explicit Widen(const Attributes&) {}

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override { return {inputs[0].shape}; }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa) const override {
    const size_t width = inputs[0].width();
    const uint16_t* from = static_cast<const uint16_t*>(inputs[0].data);
    float* to = outputs[0].mutable_floats();
    // Unit: one row.
    auto widen = [=](size_t first, size_t last) {
      for (size_t i = first * width; i < last * width; i++) {
        const uint32_t bits = static_cast<uint32_t>(from[i]) << 16;
        std::memcpy(to + i, &bits, sizeof bits);
      }
    };
    return {inputs[0].count() / (width ? width : 1), width / 4 + 1, widen, nullptr};
  }
};

}  // namespace

OperatorType widen_type() { return {"Widen", {{ElementType::bfloat16}}, {{}}, make_operator<Widen>}; }

}  // namespace spinquant

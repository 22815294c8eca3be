#include "../../operator/support.h"
#include "swiglu.h"

namespace spinquant {
namespace {

const Variants<SwigluArgs> kSwiglu = SPINQUANT_VARIANTS(swiglu, SwigluArgs);
const Variants<SwigluGradArgs> kSwigluGrad = SPINQUANT_VARIANTS(swiglu_grad, SwigluGradArgs);

size_t unit_count(size_t elements) { return (elements + kSwigluUnit - 1) / kSwigluUnit; }

class SwiGlu final : public Operator {
 public:
  explicit SwiGlu(const Attributes&) {}

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    require_same_shape("gate", inputs[0], "up", inputs[1]);
    return {inputs[0].shape};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    size_t count = inputs[0].count();
    SwigluArgs args{inputs[0].floats(), inputs[1].floats(), outputs[0].mutable_floats(), count};
    return kernel_work(kSwiglu, isa, args, unit_count(count), 4 * kSwigluUnit);
  }
};

class SwiGluGrad final : public Operator {
 public:
  explicit SwiGluGrad(const Attributes&) {}

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    require_same_shape("gate", inputs[0], "up", inputs[1]);
    require_same_shape("gate", inputs[0], "dY", inputs[2]);
    return {inputs[0].shape, inputs[0].shape};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    size_t count = inputs[0].count();
    SwigluGradArgs args{inputs[0].floats(),          inputs[1].floats(),          inputs[2].floats(),
                        outputs[0].mutable_floats(), outputs[1].mutable_floats(), count};
    return kernel_work(kSwigluGrad, isa, args, unit_count(count), 6 * kSwigluUnit);
  }
};

}  // namespace

OperatorType swiglu_type() { return {"SwiGlu", {{}, {}}, {reusing(0)}, make_operator<SwiGlu>}; }

OperatorType swiglu_grad_type() {
  return {"SwiGluGrad", {{}, {}, {}}, {reusing(0), reusing(1)}, make_operator<SwiGluGrad>};
}

}  // namespace spinquant

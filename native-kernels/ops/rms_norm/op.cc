#include "../../operator/support.h"
#include "rms_norm.h"

namespace spinquant {
namespace {

const Variants<RmsNormArgs> kRmsNorm = SPINQUANT_VARIANTS(rms_norm, RmsNormArgs);
const Variants<RmsNormGradArgs> kRmsNormGrad = SPINQUANT_VARIANTS(rms_norm_grad, RmsNormGradArgs);

class RmsNorm final : public Operator {
 public:
  explicit RmsNorm(const Attributes& attributes) : epsilon_(epsilon_of(attributes, 1e-5f)) {}

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override { return {inputs[0].shape}; }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    const Tensor& x = inputs[0];
    RmsNormArgs args{x.floats(), outputs[0].mutable_floats(), x.width(), epsilon_};
    return kernel_work(kRmsNorm, isa, args, row_count(x), x.width());
  }

 private:
  float epsilon_;
};

class RmsNormGrad final : public Operator {
 public:
  explicit RmsNormGrad(const Attributes& attributes) : epsilon_(epsilon_of(attributes, 1e-5f)) {}

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    require_same_shape("X", inputs[0], "dY", inputs[1]);
    return {inputs[0].shape};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    const Tensor& x = inputs[0];
    RmsNormGradArgs args{x.floats(), inputs[1].floats(), outputs[0].mutable_floats(), x.width(), epsilon_};
    return kernel_work(kRmsNormGrad, isa, args, row_count(x), 2 * x.width());
  }

 private:
  float epsilon_;
};

}  // namespace

OperatorType rms_norm_type() { return {"RmsNorm", {{}}, {reusing(0)}, make_operator<RmsNorm>}; }

OperatorType rms_norm_grad_type() { return {"RmsNormGrad", {{}, {}}, {reusing(1)}, make_operator<RmsNormGrad>}; }

}  // namespace spinquant

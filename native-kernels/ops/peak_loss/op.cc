#include "../../operator/support.h"
#include "peak_loss.h"

namespace spinquant {
namespace {

const Variants<PeakLossArgs> kPeakLoss = SPINQUANT_VARIANTS(peak_loss, PeakLossArgs);
const Variants<PeakLossGradArgs> kPeakLossGrad = SPINQUANT_VARIANTS(peak_loss_grad, PeakLossGradArgs);

class PeakBase : public Operator {
 public:
  explicit PeakBase(const Attributes& attributes)
      : temperature_(positive_number(attributes, "temperature", 1.0f)), epsilon_(epsilon_of(attributes, 0.0f)) {}

 protected:
  /// [..., n] → [..., 1].
  static Shape losses_of(const Tensor& y) {
    if (y.shape.empty() || y.width() == 0) reject("Y must have a last dimension, found " + text(y.shape));
    Shape shape = y.shape;
    shape.back() = 1;
    return shape;
  }

  float temperature_, epsilon_;
};

class PeakLoss final : public PeakBase {
 public:
  using PeakBase::PeakBase;

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override { return {losses_of(inputs[0])}; }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    const Tensor& y = inputs[0];
    PeakLossArgs args{y.floats(), outputs[0].mutable_floats(), y.width(), temperature_, epsilon_};
    return kernel_work(kPeakLoss, isa, args, row_count(y), 4 * y.width());
  }
};

class PeakLossGrad final : public PeakBase {
 public:
  using PeakBase::PeakBase;

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    if (inputs[1].shape != losses_of(inputs[0])) {
      reject("dLoss must be " + text(losses_of(inputs[0])) + ", found " + text(inputs[1].shape));
    }
    return {inputs[0].shape};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    const Tensor& y = inputs[0];
    PeakLossGradArgs args{y.floats(), inputs[1].floats(), outputs[0].mutable_floats(), y.width(), temperature_, epsilon_};
    return kernel_work(kPeakLossGrad, isa, args, row_count(y), 6 * y.width());
  }
};

}  // namespace

OperatorType peak_loss_type() { return {"PeakLoss", {{}}, {{}}, make_operator<PeakLoss>}; }

OperatorType peak_loss_grad_type() { return {"PeakLossGrad", {{}, {}}, {{}}, make_operator<PeakLossGrad>}; }

}  // namespace spinquant

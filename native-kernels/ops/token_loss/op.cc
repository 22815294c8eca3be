#include "../../operator/support.h"
#include "token_loss.h"

namespace spinquant {
namespace {

const Variants<TokenLossArgs> kTokenLoss = SPINQUANT_VARIANTS(token_loss, TokenLossArgs);
const Variants<TokenLossGradArgs> kTokenLossGrad = SPINQUANT_VARIANTS(token_loss_grad, TokenLossGradArgs);

/// Throws unless logits are [T, V], labels [T] and every label is below V.
void require_labels(const Tensor& logits, const Tensor& labels) {
  if (logits.shape.size() != 2 || labels.shape != Shape{logits.shape[0]}) {
    reject("logits must be [T, V] and labels [T], found " + text(logits.shape) + " and " + text(labels.shape));
  }
  for (size_t i = 0; i < labels.count(); i++) {
    if (labels.integers()[i] < logits.shape[1]) continue;
    reject("label " + std::to_string(i) + " is " + std::to_string(labels.integers()[i]) + ", the vocabulary has " +
           std::to_string(logits.shape[1]) + " entries");
  }
}

class TokenLoss final : public Operator {
 public:
  explicit TokenLoss(const Attributes&) {}

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    require_labels(inputs[0], inputs[1]);
    return {inputs[1].shape};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    const Tensor& logits = inputs[0];
    TokenLossArgs args{logits.floats(), inputs[1].integers(), outputs[0].mutable_floats(), logits.width()};
    return kernel_work(kTokenLoss, isa, args, inputs[1].count(), 3 * logits.width());
  }
};

class TokenLossGrad final : public Operator {
 public:
  explicit TokenLossGrad(const Attributes&) {}

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    require_labels(inputs[0], inputs[1]);
    require_same_shape("labels", inputs[1], "dnll", inputs[2]);
    return {inputs[0].shape, inputs[1].shape};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    const Tensor& logits = inputs[0];
    TokenLossGradArgs args{logits.floats(), inputs[1].integers(), inputs[2].floats(), outputs[0].mutable_floats(),
                           outputs[1].mutable_floats(), logits.width()};
    return kernel_work(kTokenLossGrad, isa, args, inputs[1].count(), 6 * logits.width());
  }
};

constexpr InputSpec kLabels{ElementType::int64, false};

}  // namespace

OperatorType token_loss_type() { return {"TokenLoss", {{}, kLabels}, {{}}, make_operator<TokenLoss>}; }

OperatorType token_loss_grad_type() {
  return {"TokenLossGrad", {{}, kLabels, {}}, {reusing(0), {}}, make_operator<TokenLossGrad>};
}

}  // namespace spinquant

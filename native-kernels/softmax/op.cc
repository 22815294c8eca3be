#include "../core/families.h"
#include "softmax.h"

namespace spinquant {
namespace {

const Variants<CausalSoftmaxArgs> kCausalSoftmax = SPINQUANT_VARIANTS(causal_softmax, CausalSoftmaxArgs);
const Variants<CausalSoftmaxGradArgs> kCausalSoftmaxGrad =
    SPINQUANT_VARIANTS(causal_softmax_grad, CausalSoftmaxGradArgs);

class CausalBase : public Operator {
 public:
  explicit CausalBase(const Attributes& attributes)
      : scale_(attributes.number("scale", 1.0f)),
        window_(integer_between(attributes, "window", 0, 0, INT64_MAX)),
        rows_(integer_between(attributes, "rows", 0, 0, INT64_MAX)) {}

 protected:
  /// `rows` = 0: the second last dimension.
  size_t query_rows(const Tensor& scores) const {
    if (rows_ > 0) return static_cast<size_t>(rows_);
    return scores.shape.size() < 2 ? 1 : static_cast<size_t>(scores.shape[scores.shape.size() - 2]);
  }

  void require_fit(const Tensor& scores) const {
    size_t rows = query_rows(scores);
    if (rows <= scores.width() && (rows == 0 || row_count(scores) % rows == 0)) return;
    reject("rows must divide the number of rows and not exceed the keys, found rows " + std::to_string(rows) +
           ", scores " + text(scores.shape));
  }

  CausalMask mask(const Tensor& scores) const {
    return {scores.width(), query_rows(scores), static_cast<size_t>(window_)};
  }

  float scale_;

 private:
  int64_t window_, rows_;
};

class CausalSoftmax final : public CausalBase {
 public:
  using CausalBase::CausalBase;

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    require_fit(inputs[0]);
    return {inputs[0].shape};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    const Tensor& scores = inputs[0];
    CausalSoftmaxArgs args{scores.floats(), outputs[0].mutable_floats(), mask(scores), scale_};
    return kernel_work(kCausalSoftmax, isa, args, row_count(scores), 4 * scores.width());
  }
};

class CausalSoftmaxGrad final : public CausalBase {
 public:
  using CausalBase::CausalBase;

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    require_same_shape("P", inputs[0], "dP", inputs[1]);
    require_fit(inputs[0]);
    return {inputs[1].shape};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    const Tensor& p = inputs[0];
    CausalSoftmaxGradArgs args{p.floats(), inputs[1].floats(), outputs[0].mutable_floats(), mask(p), scale_};
    return kernel_work(kCausalSoftmaxGrad, isa, args, row_count(p), 2 * p.width());
  }
};

}  // namespace

OperatorType causal_softmax_type() { return {"CausalSoftmax", {{}}, 1, 0, make_operator<CausalSoftmax>}; }

OperatorType causal_softmax_grad_type() {
  return {"CausalSoftmaxGrad", {{}, {}}, 1, 1, make_operator<CausalSoftmaxGrad>};
}

}  // namespace spinquant

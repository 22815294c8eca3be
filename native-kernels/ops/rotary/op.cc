#include "../../operator/support.h"
#include "rotary.h"

namespace spinquant {
namespace {

const Variants<RotaryArgs> kRotary = SPINQUANT_VARIANTS(rotary, RotaryArgs);

class RotaryEmbedding final : public Operator {
 public:
  explicit RotaryEmbedding(const Attributes& attributes)
      : sign_(flag(attributes, "inverse") ? -1.0f : 1.0f) {}

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    const Tensor &x = inputs[0], &cos = inputs[1], &sin = inputs[2];
    require_same_shape("cos", cos, "sin", sin);
    if (x.shape.size() < 2 || x.width() % 2 != 0) reject("X must be [..., S, h] with even h, found " + text(x.shape));
    Shape wanted{x.shape[x.shape.size() - 2], x.shape.back() / 2};
    if (cos.shape != wanted) {
      reject("cos and sin must be " + text(wanted) + " for X " + text(x.shape) + ", found " + text(cos.shape));
    }
    return {x.shape};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    const Tensor& x = inputs[0];
    size_t positions = static_cast<size_t>(x.shape[x.shape.size() - 2]);
    RotaryArgs args{x.floats(),      inputs[1].floats(), inputs[2].floats(), outputs[0].mutable_floats(),
                    x.width() / 2, positions,          sign_};
    return kernel_work(kRotary, isa, args, row_count(x), x.width());
  }

 private:
  float sign_;
};

}  // namespace

OperatorType rotary_embedding_type() {
  return {"RotaryEmbedding", {{}, {}, {}}, {reusing(0)}, make_operator<RotaryEmbedding>};
}

}  // namespace spinquant

#include "../core/families.h"
#include "fake_quantize.h"

namespace spinquant {
namespace {

const Variants<FakeQuantizeArgs> kFakeQuantize = SPINQUANT_VARIANTS(fake_quantize, FakeQuantizeArgs);

class FakeQuantize final : public Operator {
 public:
  explicit FakeQuantize(const Attributes& attributes)
      : bits_(integer_between(attributes, "bits", 4, 2, 8)),
        group_(integer_between(attributes, "group", 0, 0, INT64_MAX)),
        symmetric_(attributes.integer("symmetric", 0) != 0),
        include_zero_(attributes.integer("include_zero", 0) != 0),
        clip_ratio_(attributes.number("clip_ratio", 1.0f)) {
    if (!(clip_ratio_ > 0)) reject("attribute clip_ratio must be above 0, found " + std::to_string(clip_ratio_));
  }

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    const Tensor& x = inputs[0];
    if (group_ > 0 && x.width() % static_cast<size_t>(group_) != 0) {
      reject("the last dimension must be a multiple of group " + std::to_string(group_) + ", found " + text(x.shape));
    }
    return {x.shape};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    const Tensor& x = inputs[0];
    size_t group = group_ > 0 ? static_cast<size_t>(group_) : x.width();
    float max_level = static_cast<float>(symmetric_ ? (1 << (bits_ - 1)) - 1 : (1 << bits_) - 1);
    FakeQuantizeArgs args{x.floats(),  outputs[0].mutable_floats(), group,        max_level,
                          clip_ratio_, symmetric_,                  include_zero_};
    return kernel_work(kFakeQuantize, isa, args, group ? x.count() / group : 0, 2 * group);
  }

 private:
  int64_t bits_, group_;
  bool symmetric_, include_zero_;
  float clip_ratio_;
};

}  // namespace

OperatorType fake_quantize_type() { return {"FakeQuantize", {{}}, 1, 0, make_operator<FakeQuantize>}; }

}  // namespace spinquant

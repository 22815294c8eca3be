#include "../../operator/head_rows.h"
#include "../../operator/support.h"
#include "rotary.h"

namespace spinquant {
namespace {

const Variants<RotaryArgs> kRotary = SPINQUANT_VARIANTS(rotary, RotaryArgs);
const Variants<RotaryHeadsArgs> kRotaryHeads = SPINQUANT_VARIANTS(rotary_heads, RotaryHeadsArgs);

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

/// Inputs: x [sequences · tokens, heads · h], cos and sin [tokens, h / 2], and the matrix of Hadamard. The result is
/// [sequences, groups, heads / groups · tokens, h].
class RotaryHeads final : public Operator {
 public:
  explicit RotaryHeads(const Attributes& attributes)
      : reader_(attributes), groups_(integer_between(attributes, "groups", 1, 1, INT32_MAX)) {
    if (attributes.integer("heads", 0) % groups_ != 0 || attributes.integer("heads", 0) == 0) {
      reject("attribute heads must be a multiple of groups");
    }
  }

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    reader_.require_fit(inputs[0], inputs[1], inputs[2], inputs[3]);
    const HeadRows rows = reader_.shape_of(inputs[0]);
    const auto size = [](size_t value) { return static_cast<int64_t>(value); };
    return {{size(rows.sequences), groups_, size(rows.heads * rows.tokens) / groups_, size(rows.width)}};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    const HeadRowsReader::Made made = reader_.read(inputs[0], inputs[1], inputs[2], inputs[3]);
    const RotaryHeadsArgs args{made.rows, outputs[0].mutable_floats()};
    const Kernel<RotaryHeadsArgs> kernel = kRotaryHeads.pick(isa);
    return {args.rows.sequences * args.rows.tokens, inputs[0].width() * reader_.cost(),
            [args, kernel, keep = made.keep](size_t first, size_t last) { kernel(args, first, last); }, nullptr};
  }

 private:
  HeadRowsReader reader_;
  int64_t groups_;
};

}  // namespace

OperatorType rotary_heads_type() {
  return {"RotaryHeads", {{}, {}, {}, {ElementType::float32, true}}, {{}}, make_operator<RotaryHeads>};
}

OperatorType rotary_embedding_type() {
  return {"RotaryEmbedding", {{}, {}, {}}, {reusing(0)}, make_operator<RotaryEmbedding>};
}

}  // namespace spinquant

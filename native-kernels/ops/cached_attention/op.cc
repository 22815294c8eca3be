#include <algorithm>
#include "../../operator/plain_cache.h"
#include "../../operator/support.h"
#include "cached_attention.h"

namespace spinquant {
namespace {

const Variants<CachedAttentionArgs> kCachedAttention = SPINQUANT_VARIANTS(cached_attention, CachedAttentionArgs);

/// Inputs: q [..., repeats·rows, h]; k, v [..., rows, h]; past k, past v [..., capacity, h]; length [1].
class CachedAttention final : public Operator {
 public:
  explicit CachedAttention(const Attributes& attributes)
      : scale_(positive_number(attributes, "scale", 1.0f)),
        window_(integer_between(attributes, "window", 0, 0, INT64_MAX)),
        stacked_(attributes) {}

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    require_plain_cache(inputs, stacked_);
    return {inputs[0].shape};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    const Tensor &q = inputs[0], &past = inputs[3];
    size_t stacked = static_cast<size_t>(q.shape[q.shape.size() - 2]), rows = stacked_.of(q);
    CachedAttentionArgs args{inputs[0].floats(),
                             inputs[1].floats(),
                             inputs[2].floats(),
                             past.floats(),
                             inputs[4].floats(),
                             outputs[0].mutable_floats(),
                             stacked / rows,
                             rows,
                             q.width(),
                             static_cast<size_t>(past.shape[past.shape.size() - 2]),
                             static_cast<size_t>(inputs[5].integers()[0]),
                             static_cast<size_t>(window_),
                             scale_};
    size_t groups = q.count() / (stacked * q.width());
    size_t cost = args.repeats * (args.length + rows) * (args.width / 4 + 8);
    return kernel_work(kCachedAttention, isa, args, groups * rows, cost);
  }

 private:
  float scale_;
  int64_t window_;
  StackedRows stacked_;
};

constexpr InputSpec kLength{ElementType::int64, false};

}  // namespace

OperatorType cached_attention_type() {
  return {"CachedAttention", {{}, {}, {}, {}, {}, kLength}, {{}}, make_operator<CachedAttention>};
}

}  // namespace spinquant

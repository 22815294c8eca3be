#include <algorithm>
#include "../core/families.h"
#include "../core/scratch.h"
#include "attention.h"

namespace spinquant {
namespace {

const Variants<CausalAttentionArgs> kCausalAttention = SPINQUANT_VARIANTS(causal_attention, CausalAttentionArgs);
const Variants<CausalAttentionGradArgs> kCausalAttentionGrad =
    SPINQUANT_VARIANTS(causal_attention_grad, CausalAttentionGradArgs);
const Variants<AttentionPartialSumArgs> kPartialSum =
    SPINQUANT_VARIANTS(attention_partial_sum, AttentionPartialSumArgs);

/// Units wanted of the backward pass, whatever the number of threads, so that results do not depend on it.
constexpr size_t kGradientUnits = 16;
/// Shorter chunks cost more in zeroing and summing their dk and dv than they gain.
constexpr size_t kSmallestChunk = 512;
/// Keys are padded to this, the block of the kernels, and channels to the widest vector.
constexpr size_t kKeyBlock = 64, kWidestVector = 16;

size_t round_up(size_t n, size_t step) { return (n + step - 1) / step * step; }

class AttentionBase : public Operator {
 public:
  explicit AttentionBase(const Attributes& attributes)
      : scale_(attributes.number("scale", 1.0f)),
        window_(integer_between(attributes, "window", 0, 0, INT64_MAX)),
        rows_(integer_between(attributes, "rows", 1, 1, INT64_MAX)) {
    if (!(scale_ > 0)) reject("scale must be positive, found " + std::to_string(scale_));
  }

 protected:
  /// q [..., repeats·rows, width], k and v [..., keys, width].
  AttentionShape shape_of(const Tensor& q, const Tensor& k, const Tensor& v) const {
    require_same_shape("K", k, "V", v);
    size_t rank = q.shape.size(), rows = static_cast<size_t>(rows_);
    bool fits = rank >= 2 && k.shape.size() == rank && q.count() > 0 && q.shape.back() == k.shape.back() &&
                std::equal(q.shape.begin(), q.shape.end() - 2, k.shape.begin());
    size_t stacked = fits ? static_cast<size_t>(q.shape[rank - 2]) : 0;
    size_t keys = fits ? static_cast<size_t>(k.shape[rank - 2]) : 0;
    if (!fits || stacked % rows != 0 || rows > keys) {
      reject("Q must be [..., repeats * " + std::to_string(rows_) + ", h] and K, V [..., keys, h], found " +
             text(q.shape) + " and " + text(k.shape));
    }
    size_t groups = q.count() / (stacked * q.width());
    return {groups, stacked / rows, rows, keys, q.width(), static_cast<size_t>(window_), scale_};
  }

 private:
  float scale_;
  int64_t window_, rows_;
};

class CausalAttention final : public AttentionBase {
 public:
  using AttentionBase::AttentionBase;

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    shape_of(inputs[0], inputs[1], inputs[2]);
    const Shape& q = inputs[0].shape;
    return {q, Shape(q.begin(), q.end() - 1)};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    AttentionShape shape = shape_of(inputs[0], inputs[1], inputs[2]);
    CausalAttentionArgs args{inputs[0].floats(),          inputs[1].floats(),          inputs[2].floats(),
                             outputs[0].mutable_floats(), outputs[1].mutable_floats(), shape};
    size_t cost = kQueriesPerUnit * shape.keys * shape.width / 16;
    return kernel_work(kCausalAttention, isa, args, shape.query_heads() * args.units_per_head(), cost);
  }
};

class CausalAttentionGrad final : public AttentionBase {
 public:
  using AttentionBase::AttentionBase;

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    shape_of(inputs[0], inputs[1], inputs[2]);
    require_same_shape("Q", inputs[0], "O", inputs[3]);
    require_same_shape("Q", inputs[0], "dO", inputs[5]);
    if (inputs[4].count() * inputs[0].width() != inputs[0].count()) {
      reject("lse must have one entry per row of Q, found " + text(inputs[4].shape));
    }
    return {inputs[0].shape, inputs[1].shape, inputs[2].shape};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    AttentionShape shape = shape_of(inputs[0], inputs[1], inputs[2]);
    size_t wanted = (kGradientUnits + shape.query_heads() - 1) / shape.query_heads();
    size_t chunks = std::max<size_t>(1, std::min(wanted, shape.rows / kSmallestChunk));
    size_t chunk_rows = round_up((shape.rows + chunks - 1) / chunks, kQueriesPerUnit);
    chunks = (shape.rows + chunk_rows - 1) / chunk_rows;
    CausalAttentionGradArgs args{inputs[0].floats(), inputs[1].floats(), inputs[2].floats(),
                                 inputs[3].floats(), inputs[4].floats(), inputs[5].floats(),
                                 outputs[0].mutable_floats(), nullptr, shape, chunks, chunk_rows,
                                 round_up(shape.keys, kKeyBlock), round_up(shape.width, kWidestVector)};
    size_t units = shape.query_heads() * chunks;
    auto partial = std::make_shared<Scratch>(units * 2 * args.partial_size() * sizeof(float));
    args.partial = partial->floats();
    Work work = kernel_work(kCausalAttentionGrad, isa, args, units, chunk_rows * shape.keys * shape.width / 8);
    AttentionPartialSumArgs sums{args.partial, outputs[1].mutable_floats(), outputs[2].mutable_floats(), shape,
                                 chunks,       args.keys_padded,            args.width_padded};
    Kernel<AttentionPartialSumArgs> sum = kPartialSum.pick(isa);
    size_t sum_cost = 2 * shape.repeats * chunks * shape.width;
    work.next = std::make_shared<Work>(Work{shape.groups * shape.keys, sum_cost,
                                            [sums, sum, partial](size_t a, size_t b) { sum(sums, a, b); }, nullptr});
    return work;
  }
};

}  // namespace

OperatorType causal_attention_type() {
  return {"CausalAttention", {{}, {}, {}}, 2, -1, make_operator<CausalAttention>};
}

OperatorType causal_attention_grad_type() {
  return {"CausalAttentionGrad", {{}, {}, {}, {}, {}, {}}, 3, -1, make_operator<CausalAttentionGrad>};
}

}  // namespace spinquant

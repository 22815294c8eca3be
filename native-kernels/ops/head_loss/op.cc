#include <algorithm>
#include "../../operator/scratch.h"
#include "../../operator/support.h"
#include "head_loss.h"

namespace spinquant {
namespace {

const Variants<HeadLossArgs> kColumns = SPINQUANT_VARIANTS(head_loss_columns, HeadLossArgs);
const Variants<HeadLossArgs> kHeadLoss = SPINQUANT_VARIANTS(head_loss, HeadLossArgs);
const Variants<HeadLossArgs> kMerge = SPINQUANT_VARIANTS(head_loss_merge, HeadLossArgs);

/// Rows of a slice; more slices than threads are wanted, whatever their number, so that results do not depend on it.
constexpr size_t kSliceRows = 768;

/// Inputs: x [T, d], the output layer [V, d] in bfloat16, labels [T]. Output: nll [T].
class HeadLoss final : public Operator {
 public:
  explicit HeadLoss(const Attributes&) {}

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    const Shape &x = inputs[0].shape, &w = inputs[1].shape;
    if (x.size() != 2 || w.size() != 2 || x[1] != w[1] || w[0] == 0 || inputs[2].shape != Shape{x[0]}) {
      reject("HeadLoss takes X [T, K], W [N, K] and labels [T], found " + text(x) + ", " + text(w) + " and " +
             text(inputs[2].shape));
    }
    for (size_t i = 0; i < inputs[2].count(); i++) {
      if (inputs[2].integers()[i] < w[0]) continue;
      reject("label " + std::to_string(i) + " is " + std::to_string(inputs[2].integers()[i]) +
             ", the vocabulary has " + std::to_string(w[0]) + " entries");
    }
    return {inputs[2].shape};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    const Tensor &x = inputs[0], &w = inputs[1];
    const size_t tokens = inputs[2].count(), vocabulary = static_cast<size_t>(w.shape[0]);
    HeadLossArgs args{x.floats(), static_cast<const uint16_t*>(w.data), inputs[2].integers(), outputs[0].mutable_floats(),
                      nullptr,    nullptr, nullptr, tokens, x.width(), vocabulary,
                      (vocabulary + kSliceRows - 1) / kSliceRows};
    const size_t blocks = (tokens + kHeadLossTokens - 1) / kHeadLossTokens, padded = blocks * kHeadLossTokens;
    auto memory = std::make_shared<Scratch>(padded * (args.depth + 2 * args.slices + 1) * sizeof(float));
    args.columns = memory->floats();
    args.partial = args.columns + padded * args.depth;
    args.picked = args.partial + 2 * args.slices * padded;
    Work work = kernel_work(kColumns, isa, args, blocks, kHeadLossTokens * args.depth);
    work.next = std::make_shared<Work>(
        kernel_work(kHeadLoss, isa, args, args.slices, std::min(vocabulary, kSliceRows) * padded * (args.depth / 8 + 4)));
    Work merge = kernel_work(kMerge, isa, args, tokens, isa == Isa::reference ? vocabulary * args.depth : 16 * args.slices);
    merge.run = [run = merge.run, memory](size_t first, size_t last) { run(first, last); };
    work.next->next = std::make_shared<Work>(std::move(merge));
    return work;
  }
};

}  // namespace

OperatorType head_loss_type() {
  return {"HeadLoss",
          {{}, {ElementType::bfloat16}, {ElementType::int64}},
          {{}},
          make_operator<HeadLoss>};
}

}  // namespace spinquant

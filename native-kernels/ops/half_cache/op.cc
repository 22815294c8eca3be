#include <algorithm>
#include "../../operator/scratch.h"
#include "../../operator/plain_cache.h"
#include "../../operator/support.h"
#include "half_cache.h"

namespace spinquant {
namespace {

const Variants<RoundHalvesArgs> kRoundHalves = SPINQUANT_VARIANTS(round_halves, RoundHalvesArgs);
const Variants<HalfAttentionArgs> kHalfAttention = SPINQUANT_VARIANTS(half_attention, HalfAttentionArgs);
const Variants<MergeChunksArgs> kMerge = SPINQUANT_VARIANTS(merge_half_chunks, MergeChunksArgs);

/// Queries of a unit, if there are so many: they share a pass over the tokens, and what is made of these first.
constexpr size_t kQueriesPerUnit = 48;
/// With so few rows, tokens are shared out among threads as well, a chunk each. The number of threads does not decide
/// it, so that results do not depend on it.
constexpr size_t kFewRows = 4, kChunk = 512;

/// Inputs: q [..., repeats·rows, h]; k, v [..., rows, h]; halves past k, past v [..., capacity, h]; length [1].
/// Outputs: o as q; k and v as halves, which attention reads.
class HalfAttention final : public Operator {
 public:
  explicit HalfAttention(const Attributes& attributes)
      : scale_(positive_number(attributes, "scale", 1.0f)),
        window_(integer_between(attributes, "window", 0, 0, INT64_MAX)),
        stacked_(attributes) {}

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    require_plain_cache(inputs, stacked_);
    return {inputs[0].shape, inputs[1].shape, inputs[1].shape};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    const Tensor &q = inputs[0], &past = inputs[3];
    const size_t stacked = static_cast<size_t>(q.shape[q.shape.size() - 2]), rows = stacked_.of(q);
    const size_t repeats = stacked / rows, groups = q.width() == 0 ? 0 : q.count() / (stacked * q.width());
    HalfAttentionArgs args{q.floats(),
                           outputs[1].halves(),
                           outputs[2].halves(),
                           past.halves(),
                           inputs[4].halves(),
                           nullptr,
                           repeats,
                           rows,
                           q.width(),
                           static_cast<size_t>(past.shape[past.shape.size() - 2]),
                           static_cast<size_t>(inputs[5].integers()[0]),
                           static_cast<size_t>(window_),
                           std::min(rows, std::max<size_t>(kQueriesPerUnit / repeats, 1)),
                           0,
                           scale_};
    args.chunk = rows <= kFewRows ? kChunk : args.positions();
    const size_t queries = groups * stacked;
    auto partial = std::make_shared<Scratch>(queries * args.chunks() * args.partial_size() * sizeof(float));
    args.partial = partial->floats();
    const MergeChunksArgs merge{args.partial, outputs[0].mutable_floats(), args.chunks(), q.width(), 1, rows};
    auto merging = std::make_shared<Work>(kernel_work(kMerge, isa, merge, queries, args.chunks() * q.width()));
    merging->run = [run = merging->run, partial](size_t first, size_t last) { run(first, last); };
    const size_t cost = repeats * args.row_block * std::min(args.positions(), args.chunk) * (q.width() / 8 + 4);
    auto attending = std::make_shared<Work>(
        kernel_work(kHalfAttention, isa, args, groups * args.row_blocks() * args.chunks(), cost));
    attending->next = std::move(merging);
    const RoundHalvesArgs round{inputs[1].floats(), inputs[2].floats(), outputs[1].mutable_halves(),
                                outputs[2].mutable_halves(), q.width()};
    Work rounding = kernel_work(kRoundHalves, isa, round, groups * rows, q.width() / 2 + 1);
    rounding.next = std::move(attending);
    return rounding;
  }

 private:
  float scale_;
  int64_t window_;
  StackedRows stacked_;
};

constexpr InputSpec kHalves{ElementType::float16, false}, kLength{ElementType::int64, false};

}  // namespace

OperatorType half_attention_type() {
  return {"HalfAttention",
          {{}, {}, {}, kHalves, kHalves, kLength},
          {{}, {ElementType::float16}, {ElementType::float16}},
          make_operator<HalfAttention>};
}

}  // namespace spinquant

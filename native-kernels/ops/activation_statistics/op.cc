#include <algorithm>
#include "../../operator/support.h"
#include "activation_statistics.h"

namespace spinquant {
namespace {

const Variants<ActivationStatisticsArgs> kActivationStatistics =
    SPINQUANT_VARIANTS(activation_statistics, ActivationStatisticsArgs);

class ActivationStatistics final : public Operator {
 public:
  explicit ActivationStatistics(const Attributes& attributes)
      : block_rows_(integer_between(attributes, "block_rows", 1, 1, INT64_MAX)),
        group_(integer_between(attributes, "group", 0, 0, INT64_MAX)),
        bins_(integer_between(attributes, "bins", 128, 2, kMostBins)) {
    if (bins_ % 2 != 0) reject("attribute bins must be even, found " + std::to_string(bins_));
  }

  std::vector<Shape> output_shapes(const std::vector<Tensor>& inputs) const override {
    require_same_shape("X", inputs[0], "Y", inputs[1]);
    const Shape& shape = inputs[0].shape;
    if (shape.size() != 2 || shape[1] == 0) reject("X must be [rows, channels], found " + text(shape));
    if (group_ > 0 && shape[1] % group_ != 0) {
      reject("the last dimension must be a multiple of group " + std::to_string(group_) + ", found " + text(shape));
    }
    const Shape groups{shape[0], group_ > 0 ? shape[1] / group_ : 1};
    const int64_t blocks = shape[0] / block_rows_ + (shape[0] % block_rows_ != 0);
    return {{blocks, static_cast<int64_t>(kBlockSums)}, {blocks, shape[1]}, {blocks, bins_}, groups, groups};
  }

  Work plan(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, Isa isa) const override {
    const Tensor& x = inputs[0];
    ActivationStatisticsArgs args{x.floats(),
                                  inputs[1].floats(),
                                  outputs[0].mutable_floats(),
                                  outputs[1].mutable_floats(),
                                  outputs[2].mutable_floats(),
                                  outputs[3].mutable_floats(),
                                  outputs[4].mutable_floats(),
                                  row_count(x),
                                  x.width(),
                                  static_cast<size_t>(std::min(block_rows_, std::max<int64_t>(x.shape[0], 1))),
                                  group_ > 0 ? static_cast<size_t>(group_) : x.width(),
                                  static_cast<size_t>(bins_)};
    const size_t blocks = static_cast<size_t>(outputs[0].shape[0]);
    return kernel_work(kActivationStatistics, isa, args, blocks, 4 * args.block_rows * args.channels);
  }

 private:
  int64_t block_rows_, group_, bins_;
};

}  // namespace

OperatorType activation_statistics_type() {
  return {"ActivationStatistics", {{}, {}}, {{}, {}, {}, {}, {}}, make_operator<ActivationStatistics>};
}

}  // namespace spinquant

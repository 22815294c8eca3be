#include "hadamard_blocks.h"
#include "support.h"

namespace spinquant {
namespace {

bool is_power_of_two(size_t n) { return n > 0 && (n & (n - 1)) == 0; }

}  // namespace

HadamardBlocks::HadamardBlocks(const Attributes& attributes, bool may_be_none)
    : block_(attributes.integer("block", 0)),
      order_(attributes.integer("order", 1)),
      scale_(finite_number(attributes, "scale", 1.0f)),
      transpose_(flag(attributes, "transpose")) {
  if (may_be_none && block_ == 0) return;
  if (block_ < 1) reject("attribute block must be at least 1, found " + std::to_string(block_));
  if (order_ < 1 || block_ % order_ != 0 || !is_power_of_two(static_cast<size_t>(block_ / order_))) {
    reject("block must be order times a power of two, found block " + std::to_string(block_) + ", order " +
           std::to_string(order_));
  }
}

size_t HadamardBlocks::cost() const {
  return is_none() ? 0 : order_ == 1 ? 1 : 1 + static_cast<size_t>(order_) / kMixGroup / 4;
}

void HadamardBlocks::require_fit(const Shape& x, size_t width, const Tensor& m) const {
  if (is_none()) return;
  if (width % block() != 0) {
    reject("the last dimension must be a multiple of block " + std::to_string(block_) + ", found " + text(x));
  }
  // For order 1 it may be left out, but one that is given is read as any other.
  if (m.data ? m.shape != Shape{order_, order_} : order_ > 1) {
    reject("input M must be [" + std::to_string(order_) + ", " + std::to_string(order_) + "], found " + text(m));
  }
}

HadamardBlocks::Made HadamardBlocks::make(const Tensor& m) const {
  HadamardArgs args{};
  if (is_none()) return {args, nullptr};
  args.block = block();
  args.order = static_cast<size_t>(order_);
  args.scale = scale_;
  args.transpose = transpose_;
  if (order_ == 1) {
    if (m.data) args.scale *= m.floats()[0];
    return {args, nullptr};
  }
  args.m = m.floats();
  auto mix = std::make_shared<const MixMatrix>(prepare_mix(args.m, args.order, transpose_));
  args.codes = mix->codes.empty() ? nullptr : mix->codes.data();
  args.entries = mix->entries.data();
  return {args, mix};
}

}  // namespace spinquant

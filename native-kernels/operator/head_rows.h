// How operators read rows of heads (cpu/head_rows.h) from their inputs and attributes.
#pragma once
#include "../cpu/head_rows.h"
#include "hadamard_blocks.h"

namespace spinquant {

/// Attributes `heads` and `tokens`: x is [sequences · tokens, heads · width], as a product gives it; without them it is
/// [..., tokens, width]. Attributes of a transform of blocks may follow. Inputs beside x: cos and sin [tokens, width / 2],
/// and the matrix of the transform. They may be left out.
class HeadRowsReader {
 public:
  struct Made {
    HeadRows rows;
    std::shared_ptr<const void> keep;
  };

  explicit HeadRowsReader(const Attributes& attributes);

  /// Sequences or, without `heads`, whatever stands before the last two dimensions.
  Shape lead(const Tensor& x) const;
  size_t cost() const { return 1 + blocks_.cost(); }

  /// Throws where they do not fit.
  HeadRows shape_of(const Tensor& x) const;
  void require_fit(const Tensor& x, const Tensor& cos, const Tensor& sin, const Tensor& m) const;
  Made read(const Tensor& x, const Tensor& cos, const Tensor& sin, const Tensor& m) const;

 private:
  int64_t heads_, tokens_;
  HadamardBlocks blocks_;
};

}  // namespace spinquant

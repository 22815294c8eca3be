// The attributes of a transform of blocks, for the operators that contain one.
#pragma once
#include "../cpu/hadamard.h"
#include "operator.h"

namespace spinquant {

/// Blocks of `block` = `order` · 2^k elements are multiplied by scale · (M × · × H), as cpu/hadamard.h says. The matrix M
/// may be left out for order 1.
class HadamardBlocks {
 public:
  /// A transform with what it reads. Without M it is valid for order 1.
  struct Made {
    HadamardArgs args;
    std::shared_ptr<const void> keep;
  };

  /// @param may_be_none block 0 stands for no transform then.
  HadamardBlocks(const Attributes& attributes, bool may_be_none);

  bool is_none() const { return block_ == 0; }
  size_t block() const { return static_cast<size_t>(block_); }
  /// Steps for an element.
  size_t cost() const;

  /// Throws unless rows of this width, and M, fit.
  void require_fit(const Shape& x, size_t width, const Tensor& m) const;

  /// All but x and y; block 0 where there is no transform.
  Made make(const Tensor& m) const;

 private:
  int64_t block_, order_;
  float scale_;
  bool transpose_;
};

}  // namespace spinquant

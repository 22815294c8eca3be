// The attributes and numbers of a Kronecker product, for the operators that contain one.
#pragma once
#include "../cpu/kronecker.h"
#include "support.h"

namespace spinquant {

/// diag(s) (L ⊗ R), L [left, left], on rows of n channels. Numbers begin with s, L and R; what follows is not read.
class KroneckerMap {
 public:
  explicit KroneckerMap(const Attributes& attributes) : left_(integer_between(attributes, "left", 1, 1, INT32_MAX)) {}

  /// Steps for an element of a row: eight products are one.
  size_t cost(size_t width) const { return (left() + width / left()) / 8; }

  /// Throws unless rows of x, and the numbers, fit.
  void require_fit(const Tensor& x, const Tensor& numbers) const;

  /// All but x and y, for rows of this width.
  KroneckerArgs make(size_t width, const Tensor& numbers) const;

 private:
  size_t left() const { return static_cast<size_t>(left_); }

  int64_t left_;
};

}  // namespace spinquant

#include "head_rows.h"
#include "support.h"

namespace spinquant {

HeadRowsReader::HeadRowsReader(const Attributes& attributes)
    : heads_(integer_between(attributes, "heads", 0, 0, INT32_MAX)),
      tokens_(integer_between(attributes, "tokens", heads_ > 0 ? 1 : 0, heads_ > 0 ? 1 : 0, INT32_MAX)),
      blocks_(attributes, true) {}

HeadRows HeadRowsReader::shape_of(const Tensor& x) const {
  const size_t rank = x.shape.size();
  HeadRows rows{};
  rows.x = x.floats();
  if (heads_ == 0) {
    if (rank < 2) reject("X must be [..., tokens, h], found " + text(x.shape));
    rows.tokens = static_cast<size_t>(x.shape[rank - 2]);
    rows.heads = 1;
    rows.width = x.width();
    rows.sequences = element_count(lead(x));
    return rows;
  }
  if (rank != 2 || x.shape[0] % tokens_ != 0 || x.shape[1] % heads_ != 0) {
    reject("X must be [sequences * " + std::to_string(tokens_) + ", " + std::to_string(heads_) + " * h], found " +
           text(x.shape));
  }
  rows.tokens = static_cast<size_t>(tokens_);
  rows.heads = static_cast<size_t>(heads_);
  rows.width = static_cast<size_t>(x.shape[1] / heads_);
  rows.sequences = static_cast<size_t>(x.shape[0] / tokens_);
  return rows;
}

Shape HeadRowsReader::lead(const Tensor& x) const {
  if (heads_ > 0) return {x.shape[0] / tokens_, heads_};
  return Shape(x.shape.begin(), x.shape.end() - 2);
}

void HeadRowsReader::require_fit(const Tensor& x, const Tensor& cos, const Tensor& sin, const Tensor& m) const {
  const HeadRows rows = shape_of(x);
  blocks_.require_fit(x.shape, rows.width, m);
  if (!cos.data && !sin.data) return;
  const Shape wanted{static_cast<int64_t>(rows.tokens), static_cast<int64_t>(rows.width / 2)};
  if (cos.data && sin.data && rows.width % 2 == 0 && cos.shape == wanted && sin.shape == wanted) return;
  reject("cos and sin must be " + text(wanted) + ", and a head have an even number of channels, for X " +
         text(x.shape) + ", found " + text(cos) + " and " + text(sin));
}

HeadRowsReader::Made HeadRowsReader::read(const Tensor& x, const Tensor& cos, const Tensor& sin,
                                          const Tensor& m) const {
  const HadamardBlocks::Made blocks = blocks_.make(m);
  HeadRows rows = shape_of(x);
  rows.cos = cos.floats();
  rows.sin = sin.floats();
  rows.blocks = blocks.args;
  return {rows, blocks.keep};
}

}  // namespace spinquant

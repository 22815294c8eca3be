// Helpers that the op.cc of several families use.
#pragma once
#include "operator.h"

namespace spinquant {

template <class T>
std::unique_ptr<Operator> make_operator(const Attributes& attributes) {
  return std::make_unique<T>(attributes);
}

/// Writes `[2, 3]`, for messages.
std::string text(const Shape& shape);
/// Writes the shape, or `nothing` for an absent input.
std::string text(const Tensor& tensor);

/// Throws unless both have the same shape.
void require_same_shape(const char* a_name, const Tensor& a, const char* b_name, const Tensor& b);

/// Reads an attribute. Throws unless it is in [low, high].
int64_t integer_between(const Attributes& attributes, const char* name, int64_t fallback, int64_t low, int64_t high);

/// Counts the rows of a tensor seen as [rows, width]; an empty one has 0.
inline size_t row_count(const Tensor& tensor) { return tensor.width() == 0 ? 0 : tensor.count() / tensor.width(); }

/// Reads an attribute that is 0 or 1. Throws for any other value.
bool flag(const Attributes& attributes, const char* name, bool fallback = false);

/// Reads an attribute. Throws unless it is finite.
float finite_number(const Attributes& attributes, const char* name, float fallback);
/// Reads an attribute. Throws unless it is finite and above 0.
float positive_number(const Attributes& attributes, const char* name, float fallback);
/// Reads what is added to a square before its root is taken. Throws unless it is finite and at least 0.
float epsilon_of(const Attributes& attributes, float fallback);

/// How the rows of stacked queries [..., repeats·rows, h] are told: by their number (attribute `rows`), or by that of the
/// query heads of a key/value head (`repeats`), for graphs that know the number of tokens at run time only.
class StackedRows {
 public:
  explicit StackedRows(const Attributes& attributes);
  /// Rows of these queries. Throws unless there are some, and they are whole.
  size_t of(const Tensor& q) const;

 private:
  int64_t rows_, repeats_;
};

/// Makes the work of a kernel, chosen by instruction set.
template <class Args>
Work kernel_work(const Variants<Args>& variants, Isa isa, const Args& args, size_t units, size_t unit_cost) {
  Kernel<Args> kernel = variants.pick(isa);
  return {units, unit_cost, [args, kernel](size_t first, size_t last) { kernel(args, first, last); }, nullptr};
}

}  // namespace spinquant

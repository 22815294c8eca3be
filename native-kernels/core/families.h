// What the op.cc of each operator family shares, and the families there are.
#pragma once
#include "operator.h"

namespace spinquant {

OperatorType hadamard_type();
OperatorType fake_quantize_type();
OperatorType fake_quantize_rows_type();
OperatorType quantize_rows_type();
OperatorType row_multiples_type();
OperatorType fake_quantize_scale_grad_type();
OperatorType fake_quantize_weight_type();
OperatorType causal_attention_type();
OperatorType causal_attention_grad_type();
OperatorType gemm_bfloat16_type();
OperatorType gemm_bfloat16_add_type();
OperatorType split_gemm_type();
OperatorType code_gemm_type();
OperatorType peak_loss_type();
OperatorType peak_loss_grad_type();
OperatorType rms_norm_type();
OperatorType rms_norm_grad_type();
OperatorType swap_axes_type();
OperatorType swiglu_type();
OperatorType swiglu_grad_type();
OperatorType rotary_embedding_type();
OperatorType token_loss_type();
OperatorType token_loss_grad_type();
OperatorType activation_statistics_type();
OperatorType reverse_cholesky_type();
OperatorType gptq_round_type();

template <class T>
std::unique_ptr<Operator> make_operator(const Attributes& attributes) {
  return std::make_unique<T>(attributes);
}

/// `[2, 3]`, for messages.
std::string text(const Shape& shape);
/// The shape, or `nothing` for an absent input.
std::string text(const Tensor& tensor);

/// Throws unless both have the same shape.
void require_same_shape(const char* a_name, const Tensor& a, const char* b_name, const Tensor& b);

/// An attribute in [low, high].
int64_t integer_between(const Attributes& attributes, const char* name, int64_t fallback, int64_t low, int64_t high);

/// Rows of a tensor seen as [rows, width]; 0 when it is empty.
inline size_t row_count(const Tensor& tensor) { return tensor.width() == 0 ? 0 : tensor.count() / tensor.width(); }

/// Work of a kernel that was chosen by instruction set.
template <class Args>
Work kernel_work(const Variants<Args>& variants, Isa isa, const Args& args, size_t units, size_t unit_cost) {
  Kernel<Args> kernel = variants.pick(isa);
  return {units, unit_cost, [args, kernel](size_t first, size_t last) { kernel(args, first, last); }, nullptr};
}

}  // namespace spinquant

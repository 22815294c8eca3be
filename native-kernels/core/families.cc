#include "families.h"

namespace spinquant {

const std::vector<OperatorType>& operator_types() {
  static const std::vector<OperatorType>& types = *new std::vector<OperatorType>{
      hadamard_type(),
      fake_quantize_type(),
      fake_quantize_rows_type(),
      quantize_rows_type(),
      row_multiples_type(),
      fake_quantize_scale_grad_type(),
      fake_quantize_weight_type(),
      causal_attention_type(),
      causal_attention_grad_type(),
      gemm_bfloat16_type(),
      gemm_bfloat16_add_type(),
      split_gemm_type(),
      code_gemm_type(),
      peak_loss_type(),
      peak_loss_grad_type(),
      rms_norm_type(),
      rms_norm_grad_type(),
      swap_axes_type(),
      swiglu_type(),
      swiglu_grad_type(),
      rotary_embedding_type(),
      token_loss_type(),
      token_loss_grad_type(),
      activation_statistics_type(),
      reverse_cholesky_type(),
      gptq_round_type(),
  };
  return types;
}

std::string text(const Shape& shape) {
  std::string result = "[";
  for (size_t i = 0; i < shape.size(); i++) result += (i ? ", " : "") + std::to_string(shape[i]);
  return result + "]";
}

std::string text(const Tensor& tensor) { return tensor.data ? text(tensor.shape) : "nothing"; }

void require_same_shape(const char* a_name, const Tensor& a, const char* b_name, const Tensor& b) {
  if (a.shape == b.shape) return;
  reject(std::string(a_name) + " and " + b_name + " must have the same shape, found " + text(a.shape) + " and " +
         text(b.shape));
}

int64_t integer_between(const Attributes& attributes, const char* name, int64_t fallback, int64_t low, int64_t high) {
  int64_t value = attributes.integer(name, fallback);
  if (value >= low && value <= high) return value;
  reject(std::string("attribute ") + name + " must be in [" + std::to_string(low) + ", " + std::to_string(high) +
         "], found " + std::to_string(value));
}

}  // namespace spinquant

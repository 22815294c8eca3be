// The list of operators. Each op.cc defines the functions that are named here.
#include "../operator/operator.h"

#define SPINQUANT_OPERATORS(X)      \
  X(hadamard_type)                  \
  X(kronecker_type)                 \
  X(head_loss_type)                 \
  X(fake_quantize_type)             \
  X(fake_quantize_rows_type)        \
  X(quantize_rows_type)             \
  X(row_multiples_type)             \
  X(fake_quantize_scale_grad_type)  \
  X(fake_quantize_weight_type)      \
  X(causal_attention_type)          \
  X(causal_attention_grad_type)     \
  X(cached_attention_type)          \
  X(half_attention_type)            \
  X(gemm_bfloat16_type)             \
  X(gemm_bfloat16_add_type)         \
  X(split_gemm_type)                \
  X(code_gemm_type)                 \
  X(peak_loss_type)                 \
  X(peak_loss_grad_type)            \
  X(rms_norm_type)                  \
  X(rms_norm_grad_type)             \
  X(stored_rows_type)               \
  X(swap_axes_type)                 \
  X(widen_type)                     \
  X(swiglu_type)                    \
  X(swiglu_grad_type)               \
  X(rotary_embedding_type)          \
  X(rotary_heads_type)              \
  X(token_loss_type)                \
  X(token_loss_grad_type)           \
  X(activation_statistics_type)     \
  X(reverse_cholesky_type)          \
  X(gptq_round_type)                \
  X(gptq_sweep_type)                \
  X(second_moment_type)             \
  X(lattice_round_type)             \
  X(pack_cache_type)                \
  X(packed_attention_type)          \
  X(append_tokens_type)             \
  X(token_blocks_type)              \
  X(pack_int4_type)                 \
  X(int4_matmul_type)               \
  X(int4_matmul_add_type)           \
  X(kronecker_int4_matmul_type)     \
  X(swiglu_kronecker_int4_matmul_type) \
  X(swiglu_int4_matmul_type)

namespace spinquant {

#define SPINQUANT_DECLARE_TYPE(type) OperatorType type();
SPINQUANT_OPERATORS(SPINQUANT_DECLARE_TYPE)
#undef SPINQUANT_DECLARE_TYPE

const std::vector<OperatorType>& operator_types() {
#define SPINQUANT_MAKE_TYPE(type) type(),
  static const std::vector<OperatorType>& types = *new std::vector<OperatorType>{SPINQUANT_OPERATORS(SPINQUANT_MAKE_TYPE)};
#undef SPINQUANT_MAKE_TYPE
  return types;
}

}  // namespace spinquant

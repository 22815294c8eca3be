// Tells ONNX Runtime which outputs may take over the memory of which inputs.
#pragma once
#include "../abi/ort_abi.h"
#include "operator.h"

namespace spinquant {

/// Throws std::logic_error unless ONNX Runtime can be told what this operator may reuse.
/// @param place where it stands in operator_types().
void require_expressible(const OperatorType& type, size_t place);

/// Sets the functions of `op` that answer for the operator at this place of operator_types().
void declare_reuse(ort::CustomOp& op, size_t place);

}  // namespace spinquant

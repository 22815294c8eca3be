// Benchmarks compare products with the most that a core could do.
#pragma once
#include <node_api.h>
#include <vector>

namespace spinquant {

/// bytePeak(isa): multiplications and additions of bytes per second by the instructions that Int4MatMul has for an
/// instruction set, on one thread; 0 where that is not measured.
napi_value byte_peak(napi_env env, const std::vector<napi_value>& arguments);

}  // namespace spinquant

// Operators called without a session, for tests and benchmarks.
#pragma once
#include <node_api.h>
#include <vector>

namespace spinquant {

/// operatorTypes(): {name, inputs: {type, optional}[], outputs: {type, mayReuse}[]}[]; mayReuse is an input or -1.
napi_value list_operators(napi_env env, const std::vector<napi_value>& arguments);

/// runOperator(name, isa, attributes, inputs: {data, dims}[], outputs: TypedArray[], threads, repeats): seconds[]
/// One call per repeat, on the JavaScript thread and threads - 1 helpers; returns the time of each.
napi_value run_operator(napi_env env, const std::vector<napi_value>& arguments);

/// copyTimes(source, target, threads, repeats): seconds[] of memcpy of all of source.
napi_value copy_times(napi_env env, const std::vector<napi_value>& arguments);

/// readTimes(source, threads, repeats): seconds[] of reading all of source.
napi_value read_times(napi_env env, const std::vector<napi_value>& arguments);

/// clockRate(): cycles per second right now, from a chain of dependent additions.
napi_value clock_rate(napi_env env, const std::vector<napi_value>& arguments);

/// misalignment(view): bytes by which the memory of a typed array lies past a multiple of 64.
napi_value misalignment(napi_env env, const std::vector<napi_value>& arguments);

}  // namespace spinquant

// This is the interface that JavaScript sees; src/engine/runtime/addon.ts declares the same.
#include <node_api.h>
#include "bound.h"
#include "byte_peak.h"
#include "environment.h"
#include "file_map.h"
#include "large_pages.h"
#include "napi_util.h"
#include "probe.h"
#include "session.h"

namespace spinquant {
namespace {

using Arguments = std::vector<napi_value>;

/// instructionSets(): names of those usable here, slowest first.
napi_value instruction_sets(napi_env env, const Arguments&) {
  std::vector<std::string> names;
  for (Isa isa : usable_isas()) names.emplace_back(isa_name(isa));
  return from_strings(env, names);
}

/// open(libraryPath, threads, instructionSet): environment
napi_value open_environment(napi_env env, const Arguments& arguments) {
  int threads = to_int32(env, arguments[1]);
  if (threads < 1) throw ArgumentError("threads must be at least 1");
  Isa isa = parse_isa(to_string(env, arguments[2]));
  return make_handle(env, std::make_shared<Environment>(to_string(env, arguments[0]), threads, isa));
}

napi_value ort_version(napi_env env, const Arguments& arguments) {
  return from_string(env, from_handle<Environment>(env, arguments[0])->version());
}

napi_value session_inputs(napi_env env, const Arguments& arguments) {
  return from_strings(env, from_handle<Session>(env, arguments[0])->inputs());
}

napi_value session_outputs(napi_env env, const Arguments& arguments) {
  return from_strings(env, from_handle<Session>(env, arguments[0])->outputs());
}

napi_value map_file(napi_env env, const Arguments& arguments) {
  return make_handle(env, std::make_shared<FileMap>(to_string(env, arguments[0])));
}

napi_value map_size(napi_env env, const Arguments& arguments) {
  return from_number(env, static_cast<double>(from_handle<FileMap>(env, arguments[0])->size()));
}

napi_value create_token(napi_env env, const Arguments&) { return make_handle(env, std::make_shared<RunToken>()); }

napi_value terminate(napi_env env, const Arguments& arguments) {
  from_handle<RunToken>(env, arguments[0])->terminate();
  return undefined(env);
}

/// Gives up JavaScript's share of a handle; pending runs keep theirs. Twice is fine.
template <class T>
napi_value release(napi_env env, const Arguments& arguments) {
  handle_slot<T>(env, arguments[0]).reset();
  return undefined(env);
}

void define(napi_env env, napi_value exports, const char* name, napi_callback callback) {
  napi_value function;
  check(env, napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function));
  check(env, napi_set_named_property(env, exports, name, function));
}

napi_value initialize(napi_env env, napi_value exports) {
  define(env, exports, "instructionSets", entry<instruction_sets>);
  define(env, exports, "open", entry<open_environment>);
  define(env, exports, "ortVersion", entry<ort_version>);
  define(env, exports, "close", entry<release<Environment>>);
  define(env, exports, "createSession", entry<create_session>);
  define(env, exports, "sessionInputs", entry<session_inputs>);
  define(env, exports, "sessionOutputs", entry<session_outputs>);
  define(env, exports, "releaseSession", entry<release<Session>>);
  define(env, exports, "mapFile", entry<map_file>);
  define(env, exports, "mapSize", entry<map_size>);
  define(env, exports, "unmapFile", entry<release<FileMap>>);
  define(env, exports, "useLargePages", entry<use_large_pages>);
  define(env, exports, "createToken", entry<create_token>);
  define(env, exports, "terminate", entry<terminate>);
  define(env, exports, "run", entry<run_session>);
  define(env, exports, "bind", entry<bind_session>);
  define(env, exports, "runBinding", entry<run_binding>);
  define(env, exports, "releaseBinding", entry<release<Bound>>);
  define(env, exports, "operatorTypes", entry<list_operators>);
  define(env, exports, "runOperator", entry<run_operator>);
  define(env, exports, "copyTimes", entry<copy_times>);
  define(env, exports, "readTimes", entry<read_times>);
  define(env, exports, "clockRate", entry<clock_rate>);
  define(env, exports, "bytePeak", entry<byte_peak>);
  define(env, exports, "misalignment", entry<misalignment>);
  return exports;
}

}  // namespace
}  // namespace spinquant

NAPI_MODULE_INIT() { return spinquant::initialize(env, exports); }

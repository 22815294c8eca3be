// This is the interface that JavaScript sees; src/engine/distributed/addon.ts declares the same.
#include <node_api.h>
#include <unistd.h>
#include <atomic>
#include <chrono>
#include <thread>
#include "../addon/napi_util.h"
#include "fixed_sum.h"
#include "library.h"
#include "queue.h"

namespace spinquant::mpi {
namespace {

using Arguments = std::vector<napi_value>;

/// A process is one rank: what it has is there once, and is never freed, since MPI may be at work when it ends.
Library* g_library = nullptr;
Queue* g_queue = nullptr;
std::atomic<bool> g_interrupted{false};

Library& library() {
  if (!g_library) throw ArgumentError("no MPI library has been loaded");
  return *g_library;
}

/// Work of the queue; a collective waits, asleep, until all ranks are there.
template <class Work>
napi_value queued(napi_env env, const std::vector<napi_value>& kept, Work work) {
  library();
  return g_queue->add(env, kept, [work]() -> double { return work(*g_library); });
}

template <class Work>
napi_value collective(napi_env env, const std::vector<napi_value>& kept, Work work) {
  return queued(env, kept, [work](Library& mpi) -> double {
    mpi.wait_for_all(g_interrupted);
    return work(mpi);
  });
}

/// load(names): { name, family, version } of the first library that is there
napi_value load(napi_env env, const Arguments& arguments) {
  if (g_library) throw ArgumentError("an MPI library has been loaded");
  std::vector<std::string> names;
  for (napi_value name : to_array(env, arguments[0])) names.push_back(to_string(env, name));
  std::string found;
  std::unique_ptr<Library> loaded = load_library(names, &found);
  g_queue = new Queue(env);
  g_library = loaded.release();
  napi_value result;
  check(env, napi_create_object(env, &result));
  check(env, napi_set_named_property(env, result, "name", from_string(env, found)));
  check(env, napi_set_named_property(env, result, "family", from_string(env, g_library->family())));
  check(env, napi_set_named_property(env, result, "version", from_string(env, g_library->version())));
  return result;
}

/// start(): a promise of MPI being initialized
napi_value start(napi_env env, const Arguments&) {
  return queued(env, {}, [](Library& mpi) -> double {
    mpi.initialize();
    return mpi.size();
  });
}

napi_value rank(napi_env env, const Arguments&) { return from_number(env, library().rank()); }
napi_value size(napi_env env, const Arguments&) { return from_number(env, library().size()); }

napi_value barrier(napi_env env, const Arguments&) {
  return collective(env, {}, [](Library&) -> double { return 0; });
}

/// broadcast(array, root): a promise of the array holding what root's held
napi_value broadcast(napi_env env, const Arguments& arguments) {
  Bytes bytes = to_bytes(env, arguments[0]);
  int root = to_int32(env, arguments[1]);
  if (root < 0 || root >= library().size()) throw ArgumentError("there is no such rank");
  return collective(env, {arguments[0]}, [bytes, root](Library& mpi) -> double {
    mpi.broadcast(bytes.data, bytes.size, root);
    return 0;
  });
}

/// allGather(own, all): a promise of `all` holding what every rank's `own` held, in the order of ranks
napi_value all_gather(napi_env env, const Arguments& arguments) {
  Bytes own = to_bytes(env, arguments[0]), all = to_bytes(env, arguments[1]);
  if (all.size != own.size * static_cast<size_t>(library().size())) throw ArgumentError("all must hold own of each rank");
  return collective(env, {arguments[0], arguments[1]}, [own, all](Library& mpi) -> double {
    mpi.all_gather(own.data, all.data, own.size);
    return 0;
  });
}

template <class T>
napi_value sum_of(napi_env env, napi_value array, Bytes bytes) {
  return collective(env, {array}, [bytes](Library& mpi) -> double {
    return fixed_sum(mpi, static_cast<T*>(bytes.data), bytes.size / sizeof(T));
  });
}

/// sum(array): a promise of the bytes that were sent, with the sums over ranks in the array of float32 or float64
napi_value sum(napi_env env, const Arguments& arguments) {
  bool is_array = is_typed_array(env, arguments[0]);
  if (!is_array) throw ArgumentError("expected a typed array");
  napi_typedarray_type type;
  check(env, napi_get_typedarray_info(env, arguments[0], &type, nullptr, nullptr, nullptr, nullptr));
  Bytes bytes = to_bytes(env, arguments[0]);
  if (type == napi_float32_array) return sum_of<float>(env, arguments[0], bytes);
  if (type == napi_float64_array) return sum_of<double>(env, arguments[0], bytes);
  throw ArgumentError("sums are of float32 or float64");
}

/// meet(seconds): a promise of 1 where all ranks came to meet within that time, of 0 where not
napi_value meet(napi_env env, const Arguments& arguments) {
  double seconds = to_number(env, arguments[0]);
  return queued(env, {}, [seconds](Library& mpi) -> double { return mpi.meet(seconds) ? 1 : 0; });
}

napi_value finish(napi_env env, const Arguments&) {
  return queued(env, {}, [](Library& mpi) -> double {
    mpi.finalize();
    return 0;
  });
}

/// interrupt(): waits for other ranks end, and are not begun any more
napi_value interrupt(napi_env env, const Arguments&) {
  g_interrupted = true;
  return undefined(env);
}

/// tellStop(reason): a promise of all other ranks being told that this one stops
napi_value tell_stop(napi_env env, const Arguments& arguments) {
  int reason = to_int32(env, arguments[0]);
  if (reason < 1 || reason > Library::kReasons) throw ArgumentError("there is no such reason");
  return queued(env, {}, [reason](Library& mpi) -> double {
    mpi.tell_stop(reason);
    return 0;
  });
}

/// heardStop(): a promise of the reason that another rank told; of 0 where none stops
napi_value heard_stop(napi_env env, const Arguments&) {
  return queued(env, {}, [](Library& mpi) -> double { return mpi.heard_stop(); });
}

/// abort(code): ends all ranks, and this process in any case
napi_value abort_all(napi_env env, const Arguments& arguments) {
  int code = to_int32(env, arguments[0]);
  // A library that is at work in the other thread may never answer.
  std::thread([code] {
    std::this_thread::sleep_for(std::chrono::seconds(1));
    _exit(code);
  }).detach();
  library().abort(code);
  return undefined(env);
}

void define(napi_env env, napi_value exports, const char* name, napi_callback callback) {
  napi_value function;
  check(env, napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function));
  check(env, napi_set_named_property(env, exports, name, function));
}

napi_value initialize(napi_env env, napi_value exports) {
  define(env, exports, "load", entry<load>);
  define(env, exports, "start", entry<start>);
  define(env, exports, "rank", entry<rank>);
  define(env, exports, "size", entry<size>);
  define(env, exports, "barrier", entry<barrier>);
  define(env, exports, "broadcast", entry<broadcast>);
  define(env, exports, "allGather", entry<all_gather>);
  define(env, exports, "sum", entry<sum>);
  define(env, exports, "meet", entry<meet>);
  define(env, exports, "finish", entry<finish>);
  define(env, exports, "interrupt", entry<interrupt>);
  define(env, exports, "tellStop", entry<tell_stop>);
  define(env, exports, "heardStop", entry<heard_stop>);
  define(env, exports, "abort", entry<abort_all>);
  return exports;
}

}  // namespace
}  // namespace spinquant::mpi

NAPI_MODULE_INIT() { return spinquant::mpi::initialize(env, exports); }

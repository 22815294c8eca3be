#include <cmath>
#include <memory>
#include "../cpu/denormals.h"
#include "../operator/custom_op.h"
#include "file_map.h"
#include "napi_util.h"
#include "session.h"

namespace spinquant {
namespace {

/// Reads the numbers of a layout one after the other.
class LayoutReader {
 public:
  LayoutReader(napi_env env, napi_value layout) {
    Bytes bytes = to_bytes_of(env, layout, napi_float64_array);
    numbers_ = static_cast<const double*>(bytes.data);
    count_ = bytes.size / sizeof(double);
  }

  size_t next() {
    if (position_ == count_) throw ArgumentError("the layout is too short");
    double number = numbers_[position_++];
    if (!(number >= 0 && number <= 9007199254740991.0 && number == std::floor(number))) {
      throw ArgumentError("the layout holds something other than a whole number");
    }
    return static_cast<size_t>(number);
  }

 private:
  const double* numbers_;
  size_t count_;
  size_t position_ = 0;
};

ort::MemoryInfo* cpu_memory() {
  static ort::MemoryInfo* const info = [] {
    ort::MemoryInfo* made = nullptr;
    check(api().CreateCpuMemoryInfo(ort::kDeviceAllocator, ort::kDefaultMemory, &made));
    return made;
  }();
  return info;
}

/// Tensors over memory that they do not own.
class Values {
 public:
  Values() = default;
  ~Values() {
    for (ort::Value* value : values_) api().ReleaseValue(value);
  }
  Values(const Values&) = delete;
  Values& operator=(const Values&) = delete;

  void reserve(size_t count) { values_.reserve(count); }

  void add(Bytes bytes, int type, const std::vector<int64_t>& dims) {
    // Empty arrays have no address, but ONNX Runtime wants one.
    static double nowhere = 0;
    void* data = bytes.data ? bytes.data : &nowhere;
    ort::Value* value = nullptr;
    check(api().CreateTensorWithDataAsOrtValue(cpu_memory(), data, bytes.size, dims.data(), dims.size(), type, &value));
    values_.push_back(value);
  }

  size_t size() const { return values_.size(); }
  ort::Value** data() { return values_.data(); }

 private:
  std::vector<ort::Value*> values_;
};

/// Everything a run needs while it is away from the JavaScript thread. The session and maps are held by shared
/// pointers, the JavaScript arrays by `keep`.
struct RunJob {
  RunJob(napi_env env, napi_value tensors) : keep(env, tensors) {}

  std::shared_ptr<Session> session;
  std::shared_ptr<RunToken> token;
  Keep keep;
  std::vector<std::shared_ptr<FileMap>> maps;
  Values inputs, outputs;
  std::vector<const char*> input_names, output_names;
  std::exception_ptr failure;
  napi_deferred deferred = nullptr;
  napi_async_work work = nullptr;
};

Bytes map_part(const FileMap& map, size_t offset, size_t length) {
  if (offset > map.size() || length > map.size() - offset) {
    throw ArgumentError("a tensor reaches past the end of its file");
  }
  return {map.data() + offset, length};
}

/// Memory of one tensor: a typed array, or a part of a file map (inputs only).
Bytes tensor_bytes(napi_env env, napi_value source, size_t offset, size_t length, bool writable, RunJob& job) {
  if (is_typed_array(env, source)) return to_bytes(env, source);
  if (writable) throw ArgumentError("an output must be a typed array");
  job.maps.push_back(from_handle<FileMap>(env, source));
  return map_part(*job.maps.back(), offset, length);
}

void add_tensor(napi_env env, napi_value source, LayoutReader& layout, bool writable, RunJob& job) {
  int type = static_cast<int>(layout.next());
  size_t offset = layout.next(), length = layout.next(), rank = layout.next();
  std::vector<int64_t> dims(rank);
  for (int64_t& dim : dims) dim = static_cast<int64_t>(layout.next());
  Bytes bytes = tensor_bytes(env, source, offset, length, writable, job);
  (writable ? job.outputs : job.inputs).add(bytes, type, dims);
}

void add_tensors(napi_env env, const std::vector<napi_value>& tensors, LayoutReader layout, RunJob& job) {
  size_t inputs = layout.next(), outputs = layout.next();
  const Session& session = *job.session;
  if (inputs != session.inputs().size() || tensors.size() != inputs + outputs) {
    throw ArgumentError("the number of tensors does not fit the session");
  }
  job.inputs.reserve(inputs);
  for (size_t i = 0; i < inputs; i++) {
    job.input_names.push_back(session.inputs()[i].c_str());
    add_tensor(env, tensors[i], layout, false, job);
  }
  job.outputs.reserve(outputs);
  for (size_t i = 0; i < outputs; i++) {
    job.output_names.push_back(session.outputs().at(layout.next()).c_str());
    add_tensor(env, tensors[inputs + i], layout, true, job);
  }
}

void execute(napi_env, void* data) {
  RunJob& job = *static_cast<RunJob*>(data);
  DenormalsAreZero scope;
  StopScope stop(job.token ? &job.token->stopped() : nullptr);
  try {
    check(api().Run(job.session->get(), job.token ? job.token->get() : nullptr, job.input_names.data(),
                    job.inputs.data(), job.inputs.size(), job.output_names.data(), job.outputs.size(),
                    job.outputs.data()));
  } catch (...) {
    job.failure = std::current_exception();
  }
}

void settle(napi_env env, RunJob& job) {
  try {
    if (job.failure) std::rethrow_exception(job.failure);
    napi_resolve_deferred(env, job.deferred, undefined(env));
  } catch (...) {
    napi_reject_deferred(env, job.deferred, current_error(env));
  }
}

void complete(napi_env env, napi_status, void* data) {
  std::unique_ptr<RunJob> job(static_cast<RunJob*>(data));
  job->keep.release(env);
  napi_delete_async_work(env, job->work);
  settle(env, *job);
}

void start(napi_env env, RunJob& job, napi_value* promise) {
  check(env, napi_create_promise(env, &job.deferred, promise));
  napi_value name = from_string(env, "spinquant.run");
  check(env, napi_create_async_work(env, nullptr, name, execute, complete, &job, &job.work));
  check(env, napi_queue_async_work(env, job.work));
}

}  // namespace

napi_value run_session(napi_env env, const std::vector<napi_value>& arguments) {
  std::shared_ptr<Session> session = from_handle<Session>(env, arguments[0]);
  auto job = std::make_unique<RunJob>(env, arguments[1]);
  try {
    job->session = std::move(session);
    if (!is_nullish(env, arguments[3])) job->token = from_handle<RunToken>(env, arguments[3]);
    add_tensors(env, to_array(env, arguments[1]), LayoutReader(env, arguments[2]), *job);
    napi_value promise = nullptr;
    start(env, *job, &promise);
    job.release();
    return promise;
  } catch (...) {
    job->keep.release(env);
    throw;
  }
}

}  // namespace spinquant

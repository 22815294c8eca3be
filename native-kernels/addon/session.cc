#include "session.h"
#include <memory>
#include "napi_util.h"

namespace spinquant {

const napi_type_tag Session::kTag = {0x6c1b0f5a4e7d4f10, 0x9d5be4a3c2f80a03};
const napi_type_tag RunToken::kTag = {0x6c1b0f5a4e7d4f10, 0x9d5be4a3c2f80a04};

namespace {

using CountFunction = ort::Status* (*)(const ort::Session*, size_t*);
using NameFunction = ort::Status* (*)(const ort::Session*, size_t, ort::Allocator*, char**);

std::vector<std::string> names_of(const ort::Session* session, CountFunction count, NameFunction name) {
  ort::Allocator* allocator = nullptr;
  check(api().GetAllocatorWithDefaultOptions(&allocator));
  size_t total = 0;
  check(count(session, &total));
  std::vector<std::string> names;
  for (size_t i = 0; i < total; i++) {
    char* text = nullptr;
    check(name(session, i, allocator, &text));
    names.emplace_back(text);
    check(api().AllocatorFree(allocator, text));
  }
  return names;
}

struct CreateJob {
  /// @param bytes JavaScript's owner of the model's bytes.
  CreateJob(napi_env env, napi_value bytes) : keep(env, bytes) {}

  std::shared_ptr<Environment> environment;
  ModelBytes model;
  Keep keep;
  std::shared_ptr<Session> session;
  std::exception_ptr failure;
  napi_deferred deferred = nullptr;
  napi_async_work work = nullptr;
};

void execute(napi_env, void* data) {
  CreateJob& job = *static_cast<CreateJob*>(data);
  try {
    job.session = std::make_shared<Session>(job.environment, job.model);
  } catch (...) {
    job.failure = std::current_exception();
  }
}

void settle(napi_env env, CreateJob& job) {
  try {
    if (job.failure) std::rethrow_exception(job.failure);
    napi_resolve_deferred(env, job.deferred, make_handle(env, job.session));
  } catch (...) {
    napi_reject_deferred(env, job.deferred, current_error(env));
  }
}

void complete(napi_env env, napi_status, void* data) {
  std::unique_ptr<CreateJob> job(static_cast<CreateJob*>(data));
  settle(env, *job);
  job->keep.release(env);
  napi_delete_async_work(env, job->work);
}

ModelBytes to_model(napi_env env, const std::vector<napi_value>& arguments) {
  Bytes found = to_bytes(env, arguments[1]);
  ModelBytes model;
  model.data = found.data;
  model.size = found.size;
  model.fuse = to_number(env, arguments[2]) != 0;
  model.spins = to_number(env, arguments[3]) != 0;
  model.data_folder = to_string(env, arguments[4]);
  return model;
}

napi_value start(napi_env env, CreateJob& job) {
  napi_value promise = nullptr;
  check(env, napi_create_promise(env, &job.deferred, &promise));
  napi_value name = from_string(env, "spinquant.createSession");
  check(env, napi_create_async_work(env, nullptr, name, execute, complete, &job, &job.work));
  check(env, napi_queue_async_work(env, job.work));
  return promise;
}

}  // namespace

Session::Session(std::shared_ptr<Environment> environment, const ModelBytes& model)
    : environment_(std::move(environment)), session_(environment_->create_session(model)) {
  inputs_ = names_of(session_.get(), api().SessionGetInputCount, api().SessionGetInputName);
  outputs_ = names_of(session_.get(), api().SessionGetOutputCount, api().SessionGetOutputName);
}

RunToken::RunToken() { check(api().CreateRunOptions(&options_)); }

RunToken::~RunToken() { api().ReleaseRunOptions(options_); }

void RunToken::terminate() {
  stopped_ = true;
  check(api().RunOptionsSetTerminate(options_));
}

napi_value create_session(napi_env env, const std::vector<napi_value>& arguments) {
  std::shared_ptr<Environment> environment = from_handle<Environment>(env, arguments[0]);
  // Whatever may be wrong with the arguments is found before anything holds the bytes.
  ModelBytes model = to_model(env, arguments);
  auto job = std::make_unique<CreateJob>(env, arguments[1]);
  try {
    job->environment = std::move(environment);
    job->model = std::move(model);
    napi_value promise = start(env, *job);
    job.release();
    return promise;
  } catch (...) {
    job->keep.release(env);
    throw;
  }
}

}  // namespace spinquant

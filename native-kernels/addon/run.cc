#include <memory>
#include "../cpu/denormals.h"
#include "../operator/custom_op.h"
#include "bound.h"
#include "napi_util.h"
#include "session.h"

namespace spinquant {
namespace {

/// Everything a run needs while it is away from the JavaScript thread. `keep` holds the JavaScript arrays.
struct RunJob {
  RunJob(napi_env env, napi_value kept) : keep(env, kept) {}

  std::shared_ptr<Session> session;
  std::shared_ptr<Bound> bound;
  std::shared_ptr<RunToken> token;
  Keep keep;
  std::exception_ptr failure;
  napi_deferred deferred = nullptr;
  napi_async_work work = nullptr;
};

void execute(napi_env, void* data) {
  RunJob& job = *static_cast<RunJob*>(data);
  DenormalsAreZero scope;
  StopScope stop(job.token ? &job.token->stopped() : nullptr);
  try {
    job.bound->run(*job.session, job.token ? job.token->get() : nullptr);
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

/// @param kept JavaScript's owner of the bound arrays.
napi_value run_bound(napi_env env, std::shared_ptr<Bound> bound, napi_value kept, napi_value token) {
  auto job = std::make_unique<RunJob>(env, kept);
  try {
    job->session = bound->session();
    job->bound = std::move(bound);
    if (!is_nullish(env, token)) job->token = from_handle<RunToken>(env, token);
    napi_value promise = nullptr;
    start(env, *job, &promise);
    job.release();
    return promise;
  } catch (...) {
    job->keep.release(env);
    throw;
  }
}

}  // namespace

napi_value run_session(napi_env env, const std::vector<napi_value>& arguments) {
  auto session = from_handle<Session>(env, arguments[0]);
  return run_bound(env, std::make_shared<Bound>(env, session, arguments[1], arguments[2]), arguments[1], arguments[3]);
}

napi_value bind_session(napi_env env, const std::vector<napi_value>& arguments) {
  auto session = from_handle<Session>(env, arguments[0]);
  napi_value handle = make_handle(env, std::make_shared<Bound>(env, session, arguments[1], arguments[2]));
  // The arrays live as long as the handle.
  check(env, napi_set_named_property(env, handle, "tensors", arguments[1]));
  return handle;
}

napi_value run_binding(napi_env env, const std::vector<napi_value>& arguments) {
  return run_bound(env, from_handle<Bound>(env, arguments[0]), arguments[0], arguments[1]);
}

}  // namespace spinquant

#include "queue.h"

namespace spinquant::mpi {

Queue::Queue(napi_env env) {
  napi_value name = from_string(env, "spinquant.mpi");
  check(env, napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, this, settle,
                                             &settled_));
  check(env, napi_unref_threadsafe_function(env, settled_));
  // MPI may be at work in it when the process ends: nobody waits for it.
  std::thread([this] { run(); }).detach();
}

napi_value Queue::add(napi_env env, const std::vector<napi_value>& kept, std::function<double()> work) {
  auto job = std::make_unique<Job>();
  napi_value promise = nullptr;
  check(env, napi_create_promise(env, &job->deferred, &promise));
  for (napi_value value : kept) job->keeps.emplace_back(env, value);
  job->work = std::move(work);
  if (pending_++ == 0) check(env, napi_ref_threadsafe_function(env, settled_));
  {
    std::lock_guard<std::mutex> lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  has_work_.notify_one();
  return promise;
}

void Queue::run() {
  for (;;) {
    std::unique_ptr<Job> job;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      has_work_.wait(lock, [this] { return !jobs_.empty(); });
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    try {
      job->result = job->work();
    } catch (...) {
      job->failure = std::current_exception();
    }
    napi_call_threadsafe_function(settled_, job.release(), napi_tsfn_blocking);
  }
}

void Queue::settle(napi_env env, napi_value, void* context, void* data) {
  std::unique_ptr<Job> job(static_cast<Job*>(data));
  // Node passes no environment while it ends.
  if (!env) return;
  auto* queue = static_cast<Queue*>(context);
  for (Keep& keep : job->keeps) keep.release(env);
  if (--queue->pending_ == 0) napi_unref_threadsafe_function(env, queue->settled_);
  try {
    if (job->failure) std::rethrow_exception(job->failure);
    napi_resolve_deferred(env, job->deferred, from_number(env, job->result));
  } catch (...) {
    napi_reject_deferred(env, job->deferred, current_error(env));
  }
}

}  // namespace spinquant::mpi

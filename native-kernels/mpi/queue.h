// One thread that makes all calls to MPI, in the order in which JavaScript asked for them. Ranks must make the same
// calls in the same order, and a pool of threads would change it.
#pragma once
#include <node_api.h>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>
#include "../addon/napi_util.h"

namespace spinquant::mpi {

class Queue {
 public:
  explicit Queue(napi_env env);

  /// @param kept arrays that the work reads or fills. @returns a promise of what the work returns.
  napi_value add(napi_env env, const std::vector<napi_value>& kept, std::function<double()> work);

 private:
  struct Job {
    std::function<double()> work;
    std::vector<Keep> keeps;
    napi_deferred deferred = nullptr;
    std::exception_ptr failure;
    double result = 0;
  };

  void run();
  static void settle(napi_env env, napi_value, void* queue, void* job);

  std::mutex mutex_;
  std::condition_variable has_work_;
  std::deque<std::unique_ptr<Job>> jobs_;
  napi_threadsafe_function settled_ = nullptr;
  /// Jobs that are not settled. The process stays alive for them, and not for the thread.
  int pending_ = 0;
};

}  // namespace spinquant::mpi

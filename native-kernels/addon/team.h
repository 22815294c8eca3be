// A few threads that wait in a spin, so that sharing out microseconds of work can be timed.
#pragma once
#include <atomic>
#include <cstddef>
#include <functional>
#include <thread>
#include <vector>

namespace spinquant {

class Team {
 public:
  /// The calling thread is the first member. Throws std::system_error where the system gives fewer threads.
  explicit Team(int threads);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  /// Gives each member one contiguous share of the units; returns when all are done.
  void run(size_t units, const std::function<void(size_t first, size_t last)>& body);

 private:
  void dismiss();
  void help(size_t member);
  void run_share(size_t member) const;

  size_t members_;
  std::vector<std::thread> helpers_;
  size_t units_ = 0;
  const std::function<void(size_t, size_t)>* body_ = nullptr;
  std::atomic<unsigned> round_{0};
  std::atomic<size_t> pending_{0};
  std::atomic<bool> stop_{false};
};

}  // namespace spinquant

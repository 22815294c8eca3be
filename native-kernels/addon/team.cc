#include "team.h"
#include "napi_util.h"

namespace spinquant {

Team::Team(int threads) : members_(static_cast<size_t>(threads)) {
  if (threads < 1) throw ArgumentError("threads must be at least 1");
  try {
    for (size_t member = 1; member < members_; member++) helpers_.emplace_back([this, member] { help(member); });
  } catch (...) {
    // The system has no more threads: those that run already must end before the team does.
    dismiss();
    throw;
  }
}

Team::~Team() { dismiss(); }

void Team::dismiss() {
  stop_ = true;
  for (std::thread& helper : helpers_) helper.join();
}

void Team::run(size_t units, const std::function<void(size_t, size_t)>& body) {
  units_ = units;
  body_ = &body;
  pending_ = members_ - 1;
  round_++;
  run_share(0);
  while (pending_ > 0) std::this_thread::yield();
}

void Team::help(size_t member) {
  for (unsigned seen = 0; !stop_;) {
    if (round_ == seen) {
      std::this_thread::yield();
      continue;
    }
    seen = round_;
    run_share(member);
    pending_--;
  }
}

void Team::run_share(size_t member) const {
  size_t first = units_ * member / members_, last = units_ * (member + 1) / members_;
  if (first < last) (*body_)(first, last);
}

}  // namespace spinquant

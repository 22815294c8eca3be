// An MPI library, loaded while the process runs. All calls but `version` and `abort` come from one thread.
#pragma once
#include <atomic>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace spinquant::mpi {

/// A wait that was interrupted.
class Interrupted : public std::runtime_error {
 public:
  Interrupted() : std::runtime_error("interrupted") {}
};

class Library {
 public:
  static constexpr int kReasons = 2;
  virtual ~Library() = default;
  /// `Open MPI` or `MPICH`: the binary interface.
  virtual std::string family() const = 0;
  /// What the library says of itself, first line.
  virtual std::string version() const = 0;
  virtual void initialize() = 0;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  /// Returns when every rank has come here. Waits asleep: ranks may share a processor. Throws Interrupted.
  /// A wait ends, too, where another rank tells that it stops.
  virtual void wait_for_all(const std::atomic<bool>& interrupted) = 0;
  /// Tells all others that this rank stops, and why: a number from 1 to `kReasons`. Nobody waits for anybody.
  virtual void tell_stop(int reason) = 0;
  /// Why another rank stops, as the first of them told; 0 while none does.
  virtual int heard_stop() = 0;
  /// The same on a channel of its own, for at most so long. Returns whether all came.
  virtual bool meet(double seconds) = 0;
  virtual void broadcast(void* bytes, size_t count, int root) = 0;
  /// `own` is `count` bytes, `all` is `count` bytes for each rank in order.
  virtual void all_gather(const void* own, void* all, size_t count) = 0;
  /// Sends the r-th `count` bytes of `own` to rank r, and gets its share in the r-th place of `all`.
  virtual void all_to_all(const void* own, void* all, size_t count) = 0;
  /// Ends all ranks. May be called from any thread, and may return.
  virtual void abort(int code) = 0;
  virtual void finalize() = 0;
};

/// Loads the first of these that is there: a file name that the system's search finds, or a path. Throws
/// std::runtime_error with what was tried.
std::unique_ptr<Library> load_library(const std::vector<std::string>& names, std::string* found);

}  // namespace spinquant::mpi

#include "library.h"
#include <dlfcn.h>
#include <sched.h>
#include <algorithm>
#include <chrono>
#include <climits>
#include <thread>
#include "abi.h"

namespace spinquant::mpi {
namespace {

using Clock = std::chrono::steady_clock;

/// A wait looks again at once for so long, then sleeps for longer and longer.
constexpr auto kSpin = std::chrono::microseconds(50);
constexpr auto kLongestSleep = std::chrono::microseconds(500);

void* find_symbol(void* handle, const char* name) {
  void* symbol = dlsym(handle, name);
  if (!symbol) throw std::runtime_error(std::string("the library has no ") + name);
  return symbol;
}

int as_count(size_t count) {
  if (count > INT_MAX) throw std::runtime_error("more bytes at once than MPI can count");
  return static_cast<int>(count);
}

/// Functions of MPI with the handles of one binary interface.
template <class Abi>
struct Functions {
  using Comm = typename Abi::Comm;
  using Datatype = typename Abi::Datatype;
  using Request = typename Abi::Request;

  explicit Functions(void* handle) {
    bind(handle, init_thread, "MPI_Init_thread");
    bind(handle, comm_rank, "MPI_Comm_rank");
    bind(handle, comm_size, "MPI_Comm_size");
    bind(handle, comm_dup, "MPI_Comm_dup");
    bind(handle, ibarrier, "MPI_Ibarrier");
    bind(handle, test, "MPI_Test");
    bind(handle, isend, "MPI_Isend");
    bind(handle, iprobe, "MPI_Iprobe");
    bind(handle, bcast, "MPI_Bcast");
    bind(handle, allgather, "MPI_Allgather");
    bind(handle, alltoall, "MPI_Alltoall");
    bind(handle, abort, "MPI_Abort");
    bind(handle, finalize, "MPI_Finalize");
    bind(handle, library_version, "MPI_Get_library_version");
    auto find = [handle](const char* name) { return find_symbol(handle, name); };
    world = Abi::world(find);
    byte = Abi::byte(find);
  }

  template <class Function>
  static void bind(void* handle, Function& function, const char* name) {
    function = reinterpret_cast<Function>(find_symbol(handle, name));
  }

  int (*init_thread)(int*, char***, int, int*);
  int (*comm_rank)(Comm, int*);
  int (*comm_size)(Comm, int*);
  int (*comm_dup)(Comm, Comm*);
  int (*ibarrier)(Comm, Request*);
  int (*test)(Request*, int*, void*);
  int (*isend)(const void*, int, Datatype, int, int, Comm, Request*);
  int (*iprobe)(int, int, Comm, int*, void*);
  int (*bcast)(void*, int, Datatype, int, Comm);
  int (*allgather)(const void*, int, Datatype, void*, int, Datatype, Comm);
  int (*alltoall)(const void*, int, Datatype, void*, int, Datatype, Comm);
  int (*abort)(Comm, int);
  int (*finalize)();
  int (*library_version)(char*, int*);
  Comm world;
  Datatype byte;
};

template <class Abi>
class LoadedLibrary : public Library {
 public:
  explicit LoadedLibrary(void* handle) : mpi_(handle) {}

  std::string family() const override { return Abi::kName; }

  std::string version() const override {
    std::vector<char> text(kMaxVersion + 1);
    int length = 0;
    mpi_.library_version(text.data(), &length);
    std::string whole(text.data());
    return whole.substr(0, whole.find('\n'));
  }

  void initialize() override {
    int provided = 0;
    expect(mpi_.init_thread(nullptr, nullptr, kThreadFunneled, &provided), "MPI_Init_thread");
    if (provided < kThreadFunneled) throw std::runtime_error("this MPI library allows no threads beside its own");
    expect(mpi_.comm_rank(mpi_.world, &rank_), "MPI_Comm_rank");
    expect(mpi_.comm_size(mpi_.world, &size_), "MPI_Comm_size");
    expect(mpi_.comm_dup(mpi_.world, &end_), "MPI_Comm_dup");
    expect(mpi_.comm_dup(mpi_.world, &stops_), "MPI_Comm_dup");
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  void wait_for_all(const std::atomic<bool>& interrupted) override {
    wait(mpi_.world, [&] {
      if (interrupted.load(std::memory_order_relaxed) || heard_stop() != 0) throw Interrupted();
      return false;
    });
  }

  void tell_stop(int reason) override {
    for (int other = 0; other < size_; other++) {
      if (other == rank_) continue;
      typename Abi::Request request;
      // Empty messages are under way at once: nobody comes back to see them arrive.
      expect(mpi_.isend(nullptr, 0, mpi_.byte, other, reason, stops_, &request), "MPI_Isend");
    }
  }

  int heard_stop() override {
    for (int reason = 1; heard_ == 0 && reason <= kReasons; reason++) {
      int found = 0;
      expect(mpi_.iprobe(Abi::kAnySource, reason, stops_, &found, Abi::ignored_status()), "MPI_Iprobe");
      if (found) heard_ = reason;
    }
    return heard_;
  }

  bool meet(double seconds) override {
    auto until = Clock::now() + std::chrono::duration<double>(seconds);
    return wait(end_, [&] { return Clock::now() > until; });
  }

  void broadcast(void* bytes, size_t count, int root) override {
    expect(mpi_.bcast(bytes, as_count(count), mpi_.byte, root, mpi_.world), "MPI_Bcast");
  }

  void all_gather(const void* own, void* all, size_t count) override {
    int each = as_count(count);
    expect(mpi_.allgather(own, each, mpi_.byte, all, each, mpi_.byte, mpi_.world), "MPI_Allgather");
  }

  void all_to_all(const void* own, void* all, size_t count) override {
    int each = as_count(count);
    expect(mpi_.alltoall(own, each, mpi_.byte, all, each, mpi_.byte, mpi_.world), "MPI_Alltoall");
  }

  void abort(int code) override { mpi_.abort(mpi_.world, code); }
  void finalize() override { expect(mpi_.finalize(), "MPI_Finalize"); }

 private:
  static void expect(int code, const char* call) {
    if (code != kSuccess) throw std::runtime_error(std::string(call) + " failed with code " + std::to_string(code));
  }

  /// A barrier that sleeps while it waits. Returns false where `gives_up` says so; the barrier is then left open.
  template <class GivesUp>
  bool wait(typename Abi::Comm comm, GivesUp gives_up) {
    typename Abi::Request request;
    expect(mpi_.ibarrier(comm, &request), "MPI_Ibarrier");
    auto began = Clock::now();
    auto pause = std::chrono::microseconds(10);
    for (;;) {
      int done = 0;
      expect(mpi_.test(&request, &done, Abi::ignored_status()), "MPI_Test");
      if (done) return true;
      if (gives_up()) return false;
      if (Clock::now() - began < kSpin) {
        sched_yield();
        continue;
      }
      std::this_thread::sleep_for(pause);
      pause = std::min<std::chrono::microseconds>(2 * pause, kLongestSleep);
    }
  }

  Functions<Abi> mpi_;
  typename Abi::Comm end_{};
  typename Abi::Comm stops_{};
  int heard_ = 0;
  int rank_ = 0;
  int size_ = 1;
};

std::unique_ptr<Library> of_handle(void* handle) {
  if (dlsym(handle, OpenMpiAbi::kMark)) return std::make_unique<LoadedLibrary<OpenMpiAbi>>(handle);
  if (dlsym(handle, MpichAbi::kMark)) return std::make_unique<LoadedLibrary<MpichAbi>>(handle);
  throw std::runtime_error("it is neither Open MPI nor of the family of MPICH");
}

}  // namespace

std::unique_ptr<Library> load_library(const std::vector<std::string>& names, std::string* found) {
  std::string faults;
  for (const std::string& name : names) {
    // Never closed, and global: parts of MPI that are loaded later look for its symbols.
    void* handle = dlopen(name.c_str(), RTLD_NOW | RTLD_GLOBAL);
    try {
      if (!handle) throw std::runtime_error(dlerror());
      std::unique_ptr<Library> library = of_handle(handle);
      *found = name;
      return library;
    } catch (const std::exception& error) {
      std::string fault = error.what();
      faults += (faults.empty() ? "" : "; ") + (fault.rfind(name, 0) == 0 ? fault : name + ": " + fault);
    }
  }
  throw std::runtime_error(faults);
}

}  // namespace spinquant::mpi

#include "environment.h"
#include <atomic>
#include <cstring>
#include <mutex>
#include "../operator/custom_op.h"

namespace spinquant {

const napi_type_tag Environment::kTag = {0x6c1b0f5a4e7d4f10, 0x9d5be4a3c2f80a01};

namespace {

// ONNX Runtime keeps one environment per process: if another one (onnxruntime-node's, or ours with another number
// of threads) came first, the pool asked for here does not exist, and sessions bring their own threads.
std::mutex g_mutex;
int g_environments = 0;
int g_pool_threads = 0;

// The domain of our operators is entered once per process, by looking for it and then adding it without a lock: two
// first sessions at once would both add it, and one of them would fail.
std::mutex g_domain_mutex;
std::atomic<bool> g_domain_entered{false};

struct OptionsOwner {
  ort::SessionOptions* options = nullptr;
  OptionsOwner() { check(api().CreateSessionOptions(&options)); }
  ~OptionsOwner() { api().ReleaseSessionOptions(options); }
};

struct ThreadingOwner {
  ort::ThreadingOptions* options = nullptr;
  ThreadingOwner() { check(api().CreateThreadingOptions(&options)); }
  ~ThreadingOwner() { api().ReleaseThreadingOptions(options); }
};

/// One arena for all sessions, since they run one after the other: its size is that of the largest, not their sum.
/// It grows by what is asked for; ONNX Runtime's own default doubles.
void share_arena(ort::Env* env) {
  constexpr int kExtendAsRequested = 1, kDefault = -1;
  ort::MemoryInfo* memory = nullptr;
  check(api().CreateCpuMemoryInfo(ort::kArenaAllocator, ort::kDefaultMemory, &memory));
  ort::ArenaCfg* config = nullptr;
  ort::Status* status = api().CreateArenaCfg(0, kExtendAsRequested, kDefault, kDefault, &config);
  if (!status) status = api().CreateAndRegisterAllocator(env, memory, config);
  // It may be there already: the environment is one per process.
  if (status) api().ReleaseStatus(status);
  if (config) api().ReleaseArenaCfg(config);
  api().ReleaseMemoryInfo(memory);
}

/// Longer than the nodes between two that are shared out, shorter than any pause that would be noticed.
constexpr const char* kSpinMicroseconds = "50";

void set_threads(ort::SessionOptions* options, bool spins, bool shared_pool, int threads) {
  check(api().AddSessionConfigEntry(options, "session.intra_op.allow_spinning", spins ? "1" : "0"));
  check(api().AddSessionConfigEntry(options, "session.intra_op.spin_duration_us", kSpinMicroseconds));
  if (shared_pool) {
    check(api().DisablePerSessionThreads(options));
  } else {
    check(api().SetIntraOpNumThreads(options, threads));
  }
  check(api().SetInterOpNumThreads(options, 1));
}

bool lacks_shared_pool(const OrtError& error) {
  return std::strstr(error.what(), "CreateEnvWithGlobalThreadPools") != nullptr;
}

}  // namespace

Environment::Environment(const std::string& library_path, int threads, Isa isa)
    : version_(load_ort(library_path)), threads_(threads), isa_(isa) {
  ThreadingOwner threading;
  check(api().SetGlobalIntraOpNumThreads(threading.options, threads));
  check(api().SetGlobalInterOpNumThreads(threading.options, 1));
  check(api().SetGlobalSpinControl(threading.options, 0));
  // cpu/denormals.h; the thread that starts a run does the same for itself.
  check(api().SetGlobalDenormalAsZero(threading.options));
  std::lock_guard<std::mutex> lock(g_mutex);
  check(api().CreateEnvWithGlobalThreadPools(ort::kLogFatal, "spinquant", threading.options, &env_));
  if (g_environments++ == 0) {
    g_pool_threads = threads;
    share_arena(env_);
  }
}

Environment::~Environment() {
  std::lock_guard<std::mutex> lock(g_mutex);
  g_environments--;
  api().ReleaseEnv(env_);
}

ort::Session* Environment::create_session(const ModelBytes& model) const {
  bool shared_pool = false;
  {
    std::lock_guard<std::mutex> lock(g_mutex);
    shared_pool = g_pool_threads == threads_;
  }
  // The shared pool sleeps.
  if (!shared_pool || model.spins) return try_create(model, false);
  try {
    return try_create(model, true);
  } catch (const OrtError& error) {
    if (!lacks_shared_pool(error)) throw;
    return try_create(model, false);
  }
}

ort::Session* Environment::try_create(const ModelBytes& model, bool shared_pool) const {
  OptionsOwner owner;
  ort::SessionOptions* options = owner.options;
  set_threads(options, model.spins, shared_pool, threads_);
  check(api().AddSessionConfigEntry(options, "session.use_env_allocators", "1"));
  check(api().AddSessionConfigEntry(options, "session.set_denormal_as_zero", "1"));
  if (!model.data_folder.empty()) {
    const char* key = "session.model_external_initializers_file_folder_path";
    check(api().AddSessionConfigEntry(options, key, model.data_folder.c_str()));
  }
  // A pattern asks the arena for one block as large as all of a run, beside the pieces that the first run left there.
  check(api().DisableMemPattern(options));
  check(api().SetSessionGraphOptimizationLevel(options, model.fuse ? ort::kOptimizeAll : ort::kOptimizeBasic));
  // What goes wrong is thrown; ONNX Runtime need not print it as well.
  check(api().SetSessionLogSeverityLevel(options, ort::kLogFatal));
  check(api().AddCustomOpDomain(options, custom_op_domain()));
  SettingsScope settings({isa_, threads_, model.spins});
  std::unique_lock<std::mutex> first(g_domain_mutex, std::defer_lock);
  if (!g_domain_entered) first.lock();
  ort::Session* session = nullptr;
  check(api().CreateSessionFromArray(env_, model.data, model.size, options, &session));
  g_domain_entered = true;
  return session;
}

}  // namespace spinquant

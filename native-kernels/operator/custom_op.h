// Makes our operators known to ONNX Runtime.
#pragma once
#include <atomic>
#include "../abi/ort_api.h"
#include "../cpu/isa.h"

namespace spinquant {

/// The custom-op domain `spinquant`, made on first use and kept for the life of the process: sessions point into it.
ort::CustomOpDomain* custom_op_domain();

struct KernelSettings {
  Isa isa = best_isa();
  /// Threads of the session's pool: how finely a large operator is shared out.
  int threads = 1;
  /// True where its threads wait for the next operator in a spin: small operators are shared out, too.
  bool spins = false;
};

/// Kernels of sessions that no scope was opened for take so many threads from now on, on threads that made none before.
void set_default_threads(int threads);

/// Kernels of a session created on this thread while the scope lives take these settings.
class SettingsScope {
 public:
  explicit SettingsScope(KernelSettings settings);
  ~SettingsScope();
  SettingsScope(const SettingsScope&) = delete;
  SettingsScope& operator=(const SettingsScope&) = delete;

 private:
  KernelSettings previous_;
};

/// While the scope lives, operators run by this thread stop between two stages of their work once the flag is set:
/// ONNX Runtime itself only looks between operators, and one alone may take minutes.
class StopScope {
 public:
  explicit StopScope(const std::atomic<bool>* flag);
  ~StopScope();
  StopScope(const StopScope&) = delete;
  StopScope& operator=(const StopScope&) = delete;
};

}  // namespace spinquant

// The ONNX Runtime environment: one thread pool for all sessions.
#pragma once
#include <node_api.h>
#include <memory>
#include <string>
#include "../abi/ort_api.h"
#include "../cpu/isa.h"

namespace spinquant {

class Environment {
 public:
  static constexpr const char* kName = "runtime environment";
  static const napi_type_tag kTag;

  Environment(const std::string& library_path, int threads, Isa isa);
  ~Environment();
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  /// Creates a session with our operators; may run on any thread.
  /// fuse: false keeps ONNX Runtime from fusing nodes; some of its fusions have no float64 kernel.
  ort::Session* create_session(const void* model, size_t bytes, bool fuse) const;

  const ort::Env* env() const { return env_; }
  const std::string& version() const { return version_; }

 private:
  ort::Session* try_create(const void* model, size_t bytes, bool fuse, bool shared_pool) const;

  std::string version_;
  int threads_;
  Isa isa_;
  ort::Env* env_ = nullptr;
};

}  // namespace spinquant

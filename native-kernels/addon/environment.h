// The ONNX Runtime environment: one thread pool for all sessions.
#pragma once
#include <node_api.h>
#include <memory>
#include <string>
#include "../abi/ort_api.h"
#include "../cpu/isa.h"

namespace spinquant {

/// An encoded model, and how it is opened.
struct ModelBytes {
  const void* data = nullptr;
  size_t size = 0;
  /// False keeps ONNX Runtime from fusing nodes; some of its fusions have no float64 kernel.
  bool fuse = true;
  /// True gives it threads of its own, which wait for the next node in a spin for a while before they sleep.
  bool spins = false;
  /// Folder of the tensors that the model keeps in files; empty for none.
  std::string data_folder;
};

class Environment {
 public:
  static constexpr const char* kName = "runtime environment";
  static const napi_type_tag kTag;

  Environment(const std::string& library_path, int threads, Isa isa);
  ~Environment();
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  /// Creates a session with our operators; may run on any thread.
  ort::Session* create_session(const ModelBytes& model) const;

  const ort::Env* env() const { return env_; }
  const std::string& version() const { return version_; }

 private:
  ort::Session* try_create(const ModelBytes& model, bool shared_pool) const;

  std::string version_;
  int threads_;
  Isa isa_;
  ort::Env* env_ = nullptr;
};

}  // namespace spinquant

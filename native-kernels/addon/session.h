// A session and its runs.
#pragma once
#include <node_api.h>
#include <atomic>
#include <memory>
#include <string>
#include <vector>
#include "environment.h"

namespace spinquant {

/// Lives as long as its JavaScript handle or any pending run holds it.
class Session {
 public:
  static constexpr const char* kName = "session";
  static const napi_type_tag kTag;

  Session(std::shared_ptr<Environment> environment, const ModelBytes& model);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  ort::Session* get() const { return session_.get(); }
  const std::vector<std::string>& inputs() const { return inputs_; }
  const std::vector<std::string>& outputs() const { return outputs_; }

 private:
  struct Release {
    void operator()(ort::Session* session) const { api().ReleaseSession(session); }
  };

  std::shared_ptr<Environment> environment_;
  std::unique_ptr<ort::Session, Release> session_;
  std::vector<std::string> inputs_, outputs_;
};

/// Lets JavaScript stop a run.
class RunToken {
 public:
  static constexpr const char* kName = "run token";
  static const napi_type_tag kTag;

  RunToken();
  ~RunToken();
  RunToken(const RunToken&) = delete;
  RunToken& operator=(const RunToken&) = delete;

  ort::RunOptions* get() const { return options_; }
  void terminate();
  /// Set by terminate.
  const std::atomic<bool>& stopped() const { return stopped_; }

 private:
  ort::RunOptions* options_ = nullptr;
  std::atomic<bool> stopped_{false};
};

/// createSession(environment, model: Uint8Array, fuse: 0 | 1, spins: 0 | 1, folder of its tensors in files or ''): Promise<session>;
/// parsed off the JavaScript thread.
napi_value create_session(napi_env env, const std::vector<napi_value>& arguments);

/// run(session, tensors: (TypedArray | file map)[], layout: Float64Array, token | null): Promise<void>.
/// The layout: number of inputs (all, in the session's order), number of outputs; then for each tensor
/// [output index, for outputs only], element type, byte offset and length (of a file map), rank, dimensions.
napi_value run_session(napi_env env, const std::vector<napi_value>& arguments);

/// bind(session, tensors, layout): binding. For runs on the same memory; the arrays must not be detached.
napi_value bind_session(napi_env env, const std::vector<napi_value>& arguments);

/// runBinding(binding, token | null): Promise<void>. Runs of one binding must not overlap: they write the same memory.
napi_value run_binding(napi_env env, const std::vector<napi_value>& arguments);

}  // namespace spinquant

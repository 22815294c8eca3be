// Tensors in the form in which ONNX Runtime takes them for a run.
#pragma once
#include <node_api.h>
#include <memory>
#include <vector>
#include "file_map.h"
#include "napi_util.h"
#include "session.h"

namespace spinquant {

/// Tensors over memory that they do not own.
class Values {
 public:
  Values() = default;
  ~Values();
  Values(const Values&) = delete;
  Values& operator=(const Values&) = delete;

  void reserve(size_t count) { values_.reserve(count); }
  void add(Bytes bytes, int type, const std::vector<int64_t>& dims);
  size_t size() const { return values_.size(); }
  ort::Value** data() { return values_.data(); }

 private:
  std::vector<ort::Value*> values_;
};

/// The inputs and outputs of a session's runs. It holds maps by shared pointers; whoever makes it keeps the JavaScript
/// arrays.
class Bound {
 public:
  static constexpr const char* kName = "binding";
  static const napi_type_tag kTag;

  /// @param tensors, layout as session.h describes them.
  Bound(napi_env env, const std::shared_ptr<Session>& session, napi_value tensors, napi_value layout);
  Bound(const Bound&) = delete;
  Bound& operator=(const Bound&) = delete;

  /// The session that the tensors are for. Throws ArgumentError when it was released.
  std::shared_ptr<Session> session() const;
  /// Away from the JavaScript thread, by whoever holds the session. @param options may be null.
  void run(const Session& session, const ort::RunOptions* options);

 private:
  class Layout;
  void add(napi_env env, napi_value source, Layout& layout, bool writable);
  Bytes memory(napi_env env, napi_value source, size_t offset, size_t length, bool writable);

  std::weak_ptr<Session> session_;
  std::vector<std::shared_ptr<FileMap>> maps_;
  Values inputs_, outputs_;
  std::vector<const char*> input_names_, output_names_;
};

}  // namespace spinquant

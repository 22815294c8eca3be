// A read-only memory map of a whole file.
#pragma once
#include <node_api.h>
#include <cstddef>
#include <string>

namespace spinquant {

class FileMap {
 public:
  static constexpr const char* kName = "file map";
  static const napi_type_tag kTag;

  /// Throws std::runtime_error with the path and the system's reason.
  explicit FileMap(const std::string& path);
  ~FileMap();
  FileMap(const FileMap&) = delete;
  FileMap& operator=(const FileMap&) = delete;

  char* data() const { return static_cast<char*>(data_); }
  size_t size() const { return size_; }

 private:
  void* data_ = nullptr;
  size_t size_ = 0;
  /// Its place among the mapped files that are named when they are lost.
  int place_ = -1;
};

}  // namespace spinquant

// The bound function table of the one ONNX Runtime in this process.
#pragma once
#include <stdexcept>
#include <string>
#include "ort_abi.h"

namespace spinquant {

/// A failure that ONNX Runtime reported: its own text and code.
class OrtError : public std::runtime_error {
 public:
  OrtError(int code, const std::string& message) : std::runtime_error(message), code(code) {}
  const int code;
};

/// Valid after load_ort.
const ort::Api& api();

/// Loads the shared library once per process and binds its table. Returns its version.
/// Throws std::runtime_error when it cannot be loaded or is too old.
std::string load_ort(const std::string& library_path);

/// Binds the table of an ONNX Runtime that is loaded already and gave this base; once per process.
/// Throws std::runtime_error when it is too old.
void bind_ort(const ort::ApiBase* base);

/// Throws OrtError (and frees the status) unless it is null.
void check(ort::Status* status);

}  // namespace spinquant

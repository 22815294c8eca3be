#include "ort_api.h"
#include <dlfcn.h>
#include <cstdio>
#include <mutex>

namespace spinquant {
namespace {

ort::Api g_api;
std::string g_version;
std::mutex g_mutex;

#define SPINQUANT_ORT_BIND(index, result, name, parameters) \
  g_api.name = reinterpret_cast<decltype(g_api.name)>(functions[index]);

void bind(const void* table) {
  void* const* functions = static_cast<void* const*>(table);
  SPINQUANT_ORT_FUNCTIONS(SPINQUANT_ORT_BIND)
}

void bind_newer(const void* table) {
  void* const* functions = static_cast<void* const*>(table);
  SPINQUANT_ORT_NEWER_FUNCTIONS(SPINQUANT_ORT_BIND)
}

#undef SPINQUANT_ORT_BIND

/// Version 1.N has the tables up to N, and complains on standard error when it is asked for a newer one.
bool has_table(const ort::ApiBase* base, uint32_t version) {
  unsigned major = 0, minor = 0;
  const int found = sscanf(base->GetVersionString(), "%u.%u", &major, &minor);
  return found == 2 && (major > 1 || minor >= version);
}

void bind_base(const ort::ApiBase* base) {
  const void* table = base->GetApi(ort::kApiVersion);
  if (!table) {
    throw std::runtime_error("ONNX Runtime " + std::string(base->GetVersionString()) +
                             " is too old: version 1." + std::to_string(ort::kApiVersion) + " or newer is needed");
  }
  bind(table);
  const void* newer = has_table(base, ort::kNewerApiVersion) ? base->GetApi(ort::kNewerApiVersion) : nullptr;
  if (newer) bind_newer(newer);
  g_version = base->GetVersionString();
}

}  // namespace

const ort::Api& api() { return g_api; }

std::string load_ort(const std::string& library_path) {
  std::lock_guard<std::mutex> lock(g_mutex);
  if (!g_version.empty()) return g_version;
  // Never closed: its threads and static data must live as long as the process.
  void* library = dlopen(library_path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) throw std::runtime_error(std::string("cannot load ONNX Runtime: ") + dlerror());
  auto get_base = reinterpret_cast<const ort::ApiBase* (*)()>(dlsym(library, "OrtGetApiBase"));
  if (!get_base) throw std::runtime_error(library_path + " is not an ONNX Runtime library (no OrtGetApiBase)");
  bind_base(get_base());
  return g_version;
}

void bind_ort(const ort::ApiBase* base) {
  std::lock_guard<std::mutex> lock(g_mutex);
  if (g_version.empty()) bind_base(base);
}

void check(ort::Status* status) {
  if (!status) return;
  OrtError error(g_api.GetErrorCode(status), g_api.GetErrorMessage(status));
  g_api.ReleaseStatus(status);
  throw error;
}

}  // namespace spinquant

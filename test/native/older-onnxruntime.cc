// ONNX Runtime as it was in version 1.22: the library that SPINQUANT_ONNXRUNTIME names, without its newer functions.
// Whatever asks for those is written to standard error.
#include <dlfcn.h>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

struct Base {
  const void* (*GetApi)(uint32_t);
  const char* (*GetVersionString)();
};

static const Base* newer() {
  static void* const library = dlopen(std::getenv("SPINQUANT_ONNXRUNTIME"), RTLD_NOW);
  return reinterpret_cast<const Base* (*)()>(dlsym(library, "OrtGetApiBase"))();
}

static const void* table(uint32_t version) {
  if (version <= 22) return newer()->GetApi(version);
  std::fprintf(stderr, "version %u was asked for\n", version);
  return nullptr;
}

static const char* name() { return "1.22.0"; }

extern "C" const Base* OrtGetApiBase() {
  static const Base base{table, name};
  return &base;
}

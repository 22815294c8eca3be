// A program without Node that loads an exported folder by ONNX Runtime's C functions, as any C++ program would.
//   library-host ONNXRUNTIME MODEL OPERATORS LAYERS HEADS WIDTH TYPE STEPS ID...
// It prints the ids that follow greedily. TYPE is ONNX's number of an element type. Functions have the numbers of their
// place in OrtApi, since no header of ONNX Runtime is needed.
#include <dlfcn.h>
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

struct Base {
  const void* (*GetApi)(uint32_t);
};

void* const* g_api;

void check(void* status) {
  if (!status) return;
  auto message = reinterpret_cast<const char* (*)(const void*)>(g_api[2]);
  std::fprintf(stderr, "%s\n", message(status));
  std::exit(1);
}

template <class... Arguments>
void call(int index, Arguments... arguments) {
  check(reinterpret_cast<void* (*)(Arguments...)>(g_api[index])(arguments...));
}

enum { kCreateEnv = 3, kCreateSession = 7, kRun = 9, kCreateOptions = 10, kCreateTensor = 49, kData = 51 };
enum { kDimensions = 62, kTensorInfo = 65, kMemoryInfo = 69, kRegisterLibrary = 228 };
constexpr int kInt64 = 7, kWarning = 2;

int64_t last_argmax(void* logits) {
  void* info = nullptr;
  float* data = nullptr;
  int64_t dims[3];
  call<void*, void**>(kTensorInfo, logits, &info);
  call<void*, int64_t*, size_t>(kDimensions, info, dims, 3);
  call<void*, void**>(kData, logits, reinterpret_cast<void**>(&data));
  const float* const last = data + (dims[1] - 1) * dims[2];
  return std::max_element(last, last + dims[2]) - last;
}

}  // namespace

int main(int, char** words) {
  void* const library = dlopen(words[1], RTLD_NOW);
  if (!library) return std::fprintf(stderr, "%s\n", dlerror()), 1;
  const Base* const base = reinterpret_cast<const Base* (*)()>(dlsym(library, "OrtGetApiBase"))();
  g_api = static_cast<void* const*>(base->GetApi(22));
  const int layers = std::atoi(words[4]), type = std::atoi(words[7]);
  void *env = nullptr, *options = nullptr, *session = nullptr, *memory = nullptr;
  call<int, const char*, void**>(kCreateEnv, kWarning, "host", &env);
  call<void**>(kCreateOptions, &options);
  call<void*, const char*>(kRegisterLibrary, options, words[3]);
  call<void*, const char*, void*, void**>(kCreateSession, env, words[2], options, &session);
  call<int, int, void**>(kMemoryInfo, 0, 0, &memory);
  std::vector<std::string> names{"input_ids"}, grown{"logits"};
  for (int i = 0; i < 2 * layers; i++) {
    const std::string end = "." + std::to_string(i / 2) + (i % 2 ? ".value" : ".key");
    names.push_back("past_key_values" + end);
    grown.push_back("present" + end);
  }
  std::vector<const char*> from, to;
  for (const std::string& name : names) from.push_back(name.c_str());
  for (const std::string& name : grown) to.push_back(name.c_str());
  std::vector<int64_t> ids;
  for (char** word = words + 9; *word; word++) ids.push_back(std::atoll(*word));
  int64_t nothing = 0;
  const int64_t none[] = {1, std::atoll(words[5]), 0, std::atoll(words[6])};
  std::vector<void*> values(from.size(), nullptr);
  const auto tensor = [&](void* data, size_t bytes, const int64_t* dims, size_t rank, int of, void** value) {
    call<void*, void*, size_t, const int64_t*, size_t, int, void**>(kCreateTensor, memory, data, bytes, dims, rank, of, value);
  };
  for (size_t i = 1; i < values.size(); i++) tensor(&nothing, 0, none, 4, type, &values[i]);
  for (int step = std::atoi(words[8]); step > 0; step--) {
    const int64_t dims[] = {1, static_cast<int64_t>(ids.size())};
    tensor(ids.data(), ids.size() * 8, dims, 2, kInt64, &values[0]);
    std::vector<void*> results(to.size(), nullptr);
    call<void*, void*, const char* const*, void* const*, size_t, const char* const*, size_t, void**>(
        kRun, session, nullptr, from.data(), values.data(), from.size(), to.data(), to.size(), results.data());
    ids = {last_argmax(results[0])};
    std::printf("%lld ", static_cast<long long>(ids[0]));
    std::copy(results.begin() + 1, results.end(), values.begin() + 1);
  }
}

// The entry by which any program that has ONNX Runtime loads our operators: a shared library without Node.
#include <algorithm>
#include <thread>
#include "../abi/ort_api.h"
#include "../operator/custom_op.h"

namespace {

using namespace spinquant;

/// The first version of the table has what makes a status.
ort::Status* failure(const ort::ApiBase* base, const char* message) {
  auto create = reinterpret_cast<ort::Status* (*)(int, const char*)>(static_cast<void* const*>(base->GetApi(1))[0]);
  return create(ort::kInvalidArgument, message);
}

}  // namespace

/// ONNX Runtime calls this by its name (`RegisterCustomOpsLibrary`). Returns null, or a status that it frees.
extern "C" __attribute__((visibility("default"))) ort::Status* RegisterCustomOps(ort::SessionOptions* options,
                                                                                 const ort::ApiBase* base) {
  try {
    bind_ort(base);
    // Work is cut for as many threads as there may be; the session's own pool decides how many take part.
    set_default_threads(std::max(1, static_cast<int>(std::thread::hardware_concurrency())));
    check(api().AddCustomOpDomain(options, custom_op_domain()));
    return nullptr;
  } catch (const std::exception& error) {
    return failure(base, (std::string("the operators of spinquant: ") + error.what()).c_str());
  }
}

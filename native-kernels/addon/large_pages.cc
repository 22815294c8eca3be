#include "large_pages.h"
#include <sys/mman.h>
#include <unistd.h>
#include <cstdint>
#include "napi_util.h"

namespace spinquant {

napi_value use_large_pages(napi_env env, const std::vector<napi_value>& arguments) {
  const Bytes memory = to_bytes(env, arguments[0]);
#if defined(MADV_HUGEPAGE)
  const uintptr_t page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t first = (reinterpret_cast<uintptr_t>(memory.data) + page - 1) / page * page;
  const uintptr_t last = (reinterpret_cast<uintptr_t>(memory.data) + memory.size) / page * page;
  // It fails where a system is built without them.
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#else
  static_cast<void>(memory);
#endif
  return undefined(env);
}

}  // namespace spinquant

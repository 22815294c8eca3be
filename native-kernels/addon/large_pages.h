// Large pages of the system for what is read again and again.
#pragma once
#include <node_api.h>
#include <vector>

namespace spinquant {

/// useLargePages(view): asks for large pages in the memory of a typed array that nothing was written to yet. The system
/// may have none; nothing but speed depends on them.
napi_value use_large_pages(napi_env env, const std::vector<napi_value>& arguments);

}  // namespace spinquant

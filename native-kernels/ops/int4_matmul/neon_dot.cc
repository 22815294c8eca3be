// Compiled for 64-bit ARM with products of bytes, on compilers that know them.
#include "int4_matmul.h"

#if defined(__ARM_FEATURE_DOTPROD)
#include "products.h"
#elif SPINQUANT_ARM64
namespace spinquant::neon_dot {

void int4_products(const Int4ProductArgs& args, size_t first, size_t last) {
  portable::int4_products(args, first, last);
}

}  // namespace spinquant::neon_dot
#endif

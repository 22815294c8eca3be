// Compiled for processors with products of bytes, on compilers that know them.
#include "int4_matmul.h"

#if defined(__AVX512VNNI__)
#include "products.h"
#elif SPINQUANT_X86
namespace spinquant::avx512_vnni {

void int4_products(const Int4ProductArgs& args, size_t first, size_t last) {
  avx512::int4_products(args, first, last);
}

}  // namespace spinquant::avx512_vnni
#endif

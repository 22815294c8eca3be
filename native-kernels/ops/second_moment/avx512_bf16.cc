// Second moments on vectors that multiply bfloat16, and compilers that know it.
#include "second_moment.h"

#if defined(__AVX512BF16__)
#include "rounded_moment.h"
#else

namespace spinquant::avx512_bf16 {
void rounded_moment(const SecondMomentArgs&, size_t, size_t) {}
}  // namespace spinquant::avx512_bf16

#endif

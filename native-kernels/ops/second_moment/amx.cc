// Second moments in tiles, for processors with AMX, and compilers that know it.
#include "second_moment.h"

#if defined(__AMX_BF16__) && defined(__AVX512BF16__)
#include "rounded_moment.h"
#else

namespace spinquant::amx {
void rounded_moment(const SecondMomentArgs&, size_t, size_t) {}
}  // namespace spinquant::amx

#endif

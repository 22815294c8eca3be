// Compiled with the flags of every avx512_bf16.cc: tells isa.cc whether the compiler knew them.

namespace spinquant::avx512_bf16 {

bool compiled();

#if defined(__AVX512BF16__)
bool compiled() { return true; }
#else
bool compiled() { return false; }
#endif

}  // namespace spinquant::avx512_bf16

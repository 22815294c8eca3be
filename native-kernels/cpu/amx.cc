// Compiled with the flags of every amx.cc: tells isa.cc whether the compiler knew them.

namespace spinquant::amx {

bool compiled();

#if defined(__AMX_BF16__) && defined(__AVX512BF16__)
bool compiled() { return true; }
#else
bool compiled() { return false; }
#endif

}  // namespace spinquant::amx

// Numbers below 2^-126 count as zero while a scope lasts. Probabilities and their derivatives come that small, mean
// nothing there, and make the processor a hundred times slower.
#pragma once

namespace spinquant {

class DenormalsAreZero {
 public:
#if defined(__x86_64__)
  DenormalsAreZero() : before_(__builtin_ia32_stmxcsr()) { __builtin_ia32_ldmxcsr(before_ | kFlushResults | kZeroInputs); }
  ~DenormalsAreZero() { __builtin_ia32_ldmxcsr(before_); }

 private:
  static constexpr unsigned kFlushResults = 0x8000, kZeroInputs = 0x0040;
  unsigned before_;
#elif defined(__aarch64__)
  DenormalsAreZero() {
    asm volatile("mrs %0, fpcr" : "=r"(before_));
    asm volatile("msr fpcr, %0" : : "r"(before_ | kFlush));
  }
  ~DenormalsAreZero() { asm volatile("msr fpcr, %0" : : "r"(before_)); }

 private:
  static constexpr unsigned long kFlush = 1ul << 24;
  unsigned long before_;
#else
  DenormalsAreZero() {}
#endif

 public:
  DenormalsAreZero(const DenormalsAreZero&) = delete;
  DenormalsAreZero& operator=(const DenormalsAreZero&) = delete;
};

}  // namespace spinquant

// One kernel source, several bodies: kernel.cc is compiled once per instruction set, each time with SPINQUANT_ISA
// set to the namespace its symbols live in. A kernel source must not use templates of the standard library:
// the linker keeps one copy of those, perhaps the one with instructions this processor lacks.
#pragma once
#include <cstddef>
#include "isa.h"

namespace spinquant {

/// A kernel works on the units (rows, groups, blocks) first <= u < last.
template <class Args>
using Kernel = void (*)(const Args&, size_t first, size_t last);

template <class Args>
struct Variants {
  Kernel<Args> reference, portable, avx2, avx512;

  Kernel<Args> pick(Isa isa) const {
    switch (isa) {
      case Isa::reference: return reference;
      case Isa::portable:
      case Isa::neon_dot: return portable;
      case Isa::avx2:
      case Isa::avx_vnni: return avx2;
      case Isa::avx512:
      case Isa::avx512_vnni:
      case Isa::avx512_bf16:
      case Isa::amx: return avx512;
    }
    return portable;
  }
};

#define SPINQUANT_DECLARE_KERNEL(name, Args)                                \
  namespace reference { void name(const Args&, size_t first, size_t last); } \
  namespace portable { void name(const Args&, size_t first, size_t last); }  \
  namespace avx2 { void name(const Args&, size_t first, size_t last); }      \
  namespace avx512 { void name(const Args&, size_t first, size_t last); }

#if SPINQUANT_X86
#define SPINQUANT_VARIANTS(name, Args) \
  ::spinquant::Variants<Args> { reference::name, portable::name, avx2::name, avx512::name }
#else
#define SPINQUANT_VARIANTS(name, Args) \
  ::spinquant::Variants<Args> { reference::name, portable::name, nullptr, nullptr }
#endif

}  // namespace spinquant

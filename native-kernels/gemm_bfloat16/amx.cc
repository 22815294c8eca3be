// The only source compiled for AMX, on compilers that know it; isa.cc asks `compiled()`.
#include "gemm_bfloat16.h"

#if defined(__AMX_BF16__) && defined(__AVX512BF16__)
#include <immintrin.h>
#include "../core/scratch.h"
#include "pack.h"
#include "tiles.h"

namespace spinquant::amx {

bool compiled() { return true; }

namespace {

/// Memory of one thread for the panels it packs for itself; grows to the largest group.
class OwnTiles {
 public:
  OwnTiles() = default;
  ~OwnTiles() { delete memory_; }
  OwnTiles(const OwnTiles&) = delete;
  OwnTiles& operator=(const OwnTiles&) = delete;

  uint16_t* of_size(size_t bytes) {
    if (bytes > size_) {
      delete memory_;
      memory_ = nullptr;
      size_ = 0;
      memory_ = new Scratch(bytes);
      size_ = bytes;
    }
    return static_cast<uint16_t*>(memory_->bytes());
  }

 private:
  Scratch* memory_ = nullptr;
  size_t size_ = 0;
};

thread_local OwnTiles own_tiles;

/// The group's rows of the operand.
PackedBlock group_of(const GemmMultiplyArgs& args, size_t group) {
  size_t start = group * args.group * kPanel;
  PackedBlock block = args.part;
  block.first_row += start;
  block.rows = at_most(args.part.rows - start, args.group * kPanel);
  block.tiles = own_tiles.of_size(block.size() * sizeof(uint16_t));
  return block;
}

/// So much of the packed operand is multiplied with all of a thread's own panels before the next part of it.
constexpr size_t kCachedBytes = 640 * 1024;

void multiply_own(const GemmMultiplyArgs& args, const PackedBlock& own, size_t panel, size_t other) {
  if (args.operand.is_a) {
    multiply_panels(args, own, panel, args.packed, other);
  } else {
    multiply_panels(args, args.packed, other, own, panel);
  }
}

}  // namespace

void gemm_pack(const GemmPackArgs& args, size_t first, size_t last) {
  for (size_t panel = first; panel < last; panel++) pack_panel(args.operand, args.packed, panel);
}

void gemm_multiply(const GemmMultiplyArgs& args, size_t first, size_t last) {
  TileScope tiles;
  size_t fitting = kCachedBytes / (args.packed.panel_size() * sizeof(uint16_t));
  size_t block = fitting > 0 ? fitting : 1;
  for (size_t unit = first; unit < last; unit++) {
    PackedBlock own = group_of(args, unit);
    for (size_t panel = 0; panel < own.panels(); panel++) pack_panel(args.operand, own, panel);
    for (size_t start = 0; start < args.packed.panels(); start += block) {
      size_t end = at_most(args.packed.panels(), start + block);
      for (size_t panel = 0; panel < own.panels(); panel++) {
        for (size_t other = start; other < end; other++) multiply_own(args, own, panel, other);
      }
    }
  }
}

}  // namespace spinquant::amx

#else

namespace spinquant::amx {
bool compiled() { return false; }
void gemm_pack(const GemmPackArgs&, size_t, size_t) {}
void gemm_multiply(const GemmMultiplyArgs&, size_t, size_t) {}
}  // namespace spinquant::amx

#endif

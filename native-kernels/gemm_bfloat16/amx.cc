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
  size_t start = group * kGroup * kPanel;
  PackedBlock block = args.part;
  block.first_row += start;
  block.rows = at_most(args.part.rows - start, kGroup * kPanel);
  block.tiles = own_tiles.of_size(block.size() * sizeof(uint16_t));
  return block;
}

}  // namespace

void gemm_pack(const GemmPackArgs& args, size_t first, size_t last) {
  for (size_t panel = first; panel < last; panel++) pack_panel(args.operand, args.packed, panel);
}

void gemm_multiply(const GemmMultiplyArgs& args, size_t first, size_t last) {
  TileScope tiles;
  for (size_t unit = first; unit < last; unit++) {
    PackedBlock group = group_of(args, unit);
    for (size_t panel = 0; panel < group.panels(); panel++) pack_panel(args.operand, group, panel);
    for (size_t other = 0; other < args.packed.panels(); other++) {
      for (size_t own = 0; own < group.panels(); own++) {
        if (args.operand.is_a) {
          multiply_panels(args, group, own, args.packed, other);
        } else {
          multiply_panels(args, args.packed, other, group, own);
        }
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

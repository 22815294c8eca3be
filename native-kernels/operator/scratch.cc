#include "scratch.h"
#include <cstdlib>
#include <mutex>
#include <new>

namespace spinquant {
namespace {

/// Blocks from this size on are kept, so many of them and so much in all.
constexpr size_t kSmallestKept = 64 * 1024, kMostBlocks = 32, kMostBytes = 64 * 1024 * 1024;

struct Block {
  void* data = nullptr;
  size_t size = 0;
};

class KeptBlocks {
 public:
  /// One that is large enough, but not much too large; or none.
  Block take(size_t bytes) {
    std::lock_guard<std::mutex> lock(mutex_);
    for (size_t i = 0; i < count_; i++) {
      if (blocks_[i].size < bytes || blocks_[i].size > 2 * bytes) continue;
      Block found = blocks_[i];
      blocks_[i] = blocks_[--count_];
      bytes_ -= found.size;
      return found;
    }
    return {};
  }

  /// False if the block is one too many.
  bool keep(Block block) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (count_ == kMostBlocks || bytes_ + block.size > kMostBytes) return false;
    blocks_[count_++] = block;
    bytes_ += block.size;
    return true;
  }

 private:
  std::mutex mutex_;
  Block blocks_[kMostBlocks];
  size_t count_ = 0, bytes_ = 0;
};

/// Never destroyed: a thread may still be at work when the process ends.
KeptBlocks& kept_blocks() {
  static KeptBlocks& blocks = *new KeptBlocks;
  return blocks;
}

}  // namespace

Scratch::Scratch(size_t bytes) : data_(nullptr), size_(bytes ? bytes : 64) {
  if (size_ >= kSmallestKept) {
    Block block = kept_blocks().take(size_);
    if (block.data) {
      data_ = block.data;
      size_ = block.size;
      return;
    }
  }
  if (posix_memalign(&data_, 64, size_) != 0) throw std::bad_alloc();
}

Scratch::~Scratch() {
  if (size_ >= kSmallestKept && kept_blocks().keep({data_, size_})) return;
  std::free(data_);
}

float* Scratch::floats() const { return static_cast<float*>(data_); }

void* Scratch::bytes() const { return data_; }

}  // namespace spinquant

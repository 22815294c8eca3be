// Cache-line aligned working memory of one kernel call.
#pragma once
#include <cstddef>

namespace spinquant {

/// Large blocks are kept for the next call: the system would clear every page of them anew.
class Scratch {
 public:
  explicit Scratch(size_t bytes);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  float* floats() const;
  void* bytes() const;

 private:
  void* data_;
  size_t size_;
};

}  // namespace spinquant

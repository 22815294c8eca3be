// Cache-line aligned working memory of one kernel call.
#pragma once
#include <cstddef>

namespace spinquant {

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
};

}  // namespace spinquant

#include "scratch.h"
#include <cstdlib>
#include <new>

namespace spinquant {

Scratch::Scratch(size_t bytes) : data_(nullptr) {
  if (posix_memalign(&data_, 64, bytes ? bytes : 64) != 0) throw std::bad_alloc();
}

Scratch::~Scratch() { std::free(data_); }

float* Scratch::floats() const { return static_cast<float*>(data_); }

void* Scratch::bytes() const { return data_; }

}  // namespace spinquant

#include "file_map.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include "lost_file.h"

namespace spinquant {

const napi_type_tag FileMap::kTag = {0x6c1b0f5a4e7d4f10, 0x9d5be4a3c2f80a02};

namespace {

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
};

[[noreturn]] void fail(const char* action, const std::string& path) {
  throw std::runtime_error(std::string("cannot ") + action + " " + path + ": " + std::strerror(errno));
}

}  // namespace

FileMap::FileMap(const std::string& path) {
  Descriptor file{open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0) fail("open", path);
  struct stat status {};
  if (fstat(file.fd, &status) != 0) fail("stat", path);
  size_ = static_cast<size_t>(status.st_size);
  if (size_ == 0) return;
  void* data = mmap(nullptr, size_, PROT_READ, MAP_SHARED, file.fd, 0);
  if (data == MAP_FAILED) fail("map", path);
  data_ = data;
  place_ = note_mapped(data_, size_, path);
}

FileMap::~FileMap() {
  if (!data_) return;
  forget_mapped(place_);
  munmap(data_, size_);
}

}  // namespace spinquant

#include "bound.h"
#include <cmath>

namespace spinquant {

const napi_type_tag Bound::kTag = {0x6c1b0f5a4e7d4f10, 0x9d5be4a3c2f80a05};

namespace {

ort::MemoryInfo* cpu_memory() {
  static ort::MemoryInfo* const info = [] {
    ort::MemoryInfo* made = nullptr;
    check(api().CreateCpuMemoryInfo(ort::kDeviceAllocator, ort::kDefaultMemory, &made));
    return made;
  }();
  return info;
}

Bytes map_part(const FileMap& map, size_t offset, size_t length) {
  if (offset > map.size() || length > map.size() - offset) {
    throw ArgumentError("a tensor reaches past the end of its file");
  }
  return {map.data() + offset, length};
}

}  // namespace

/// Reads the numbers of a layout one after the other.
class Bound::Layout {
 public:
  Layout(napi_env env, napi_value layout) {
    Bytes bytes = to_bytes_of(env, layout, napi_float64_array);
    numbers_ = static_cast<const double*>(bytes.data);
    count_ = bytes.size / sizeof(double);
  }

  size_t next() {
    if (position_ == count_) throw ArgumentError("the layout is too short");
    double number = numbers_[position_++];
    if (!(number >= 0 && number <= 9007199254740991.0 && number == std::floor(number))) {
      throw ArgumentError("the layout holds something other than a whole number");
    }
    return static_cast<size_t>(number);
  }

 private:
  const double* numbers_;
  size_t count_;
  size_t position_ = 0;
};

Values::~Values() {
  for (ort::Value* value : values_) api().ReleaseValue(value);
}

void Values::add(Bytes bytes, int type, const std::vector<int64_t>& dims) {
  // Empty arrays have no address, but ONNX Runtime wants one.
  static double nowhere = 0;
  void* data = bytes.data ? bytes.data : &nowhere;
  ort::Value* value = nullptr;
  check(api().CreateTensorWithDataAsOrtValue(cpu_memory(), data, bytes.size, dims.data(), dims.size(), type, &value));
  values_.push_back(value);
}

Bound::Bound(napi_env env, const std::shared_ptr<Session>& session, napi_value tensors, napi_value layout)
    : session_(session) {
  std::vector<napi_value> sources = to_array(env, tensors);
  Layout numbers(env, layout);
  size_t inputs = numbers.next(), outputs = numbers.next();
  if (inputs != session->inputs().size() || sources.size() != inputs + outputs) {
    throw ArgumentError("the number of tensors does not fit the session");
  }
  inputs_.reserve(inputs);
  for (size_t i = 0; i < inputs; i++) {
    input_names_.push_back(session->inputs()[i].c_str());
    add(env, sources[i], numbers, false);
  }
  outputs_.reserve(outputs);
  for (size_t i = 0; i < outputs; i++) {
    output_names_.push_back(session->outputs().at(numbers.next()).c_str());
    add(env, sources[inputs + i], numbers, true);
  }
}

void Bound::add(napi_env env, napi_value source, Layout& layout, bool writable) {
  int type = static_cast<int>(layout.next());
  size_t offset = layout.next(), length = layout.next(), rank = layout.next();
  std::vector<int64_t> dims(rank);
  for (int64_t& dim : dims) dim = static_cast<int64_t>(layout.next());
  Bytes bytes = memory(env, source, offset, length, writable);
  (writable ? outputs_ : inputs_).add(bytes, type, dims);
}

/// A typed array, or a part of a file map (inputs only).
Bytes Bound::memory(napi_env env, napi_value source, size_t offset, size_t length, bool writable) {
  if (is_typed_array(env, source)) return to_bytes(env, source);
  if (writable) throw ArgumentError("an output must be a typed array");
  maps_.push_back(from_handle<FileMap>(env, source));
  return map_part(*maps_.back(), offset, length);
}

std::shared_ptr<Session> Bound::session() const {
  std::shared_ptr<Session> session = session_.lock();
  if (!session) throw ArgumentError("the session of this binding has been released");
  return session;
}

void Bound::run(const Session& session, const ort::RunOptions* options) {
  check(api().Run(session.get(), options, input_names_.data(), inputs_.data(), inputs_.size(), output_names_.data(),
                  outputs_.size(), outputs_.data()));
}

}  // namespace spinquant

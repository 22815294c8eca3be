#include "probe.h"
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include "../operator/operator.h"
#include "napi_util.h"
#include "team.h"

namespace spinquant {
namespace {

/// Attributes from a JavaScript object of numbers.
class ObjectAttributes final : public Attributes {
 public:
  ObjectAttributes(napi_env env, napi_value object) : env_(env), object_(object) {}

  int64_t integer(const char* name, int64_t fallback) const override {
    return has(name) ? static_cast<int64_t>(value(name)) : fallback;
  }

  float number(const char* name, float fallback) const override {
    return has(name) ? static_cast<float>(value(name)) : fallback;
  }

 private:
  bool has(const char* name) const {
    bool result = false;
    check(env_, napi_has_named_property(env_, object_, name, &result));
    return result;
  }

  double value(const char* name) const {
    napi_value property;
    check(env_, napi_get_named_property(env_, object_, name, &property));
    return to_number(env_, property);
  }

  napi_env env_;
  napi_value object_;
};

const OperatorType& find_type(const std::string& name) {
  for (const OperatorType& type : operator_types()) {
    if (name == type.name) return type;
  }
  throw ArgumentError("no operator is called " + name);
}

napi_value property(napi_env env, napi_value object, const char* name) {
  napi_value value;
  check(env, napi_get_named_property(env, object, name, &value));
  return value;
}

/// The JavaScript array that holds elements of a type.
napi_typedarray_type array_type(ElementType type) {
  switch (type) {
    case ElementType::int64: return napi_bigint64_array;
    case ElementType::float16:
    case ElementType::bfloat16: return napi_uint16_array;
    case ElementType::int8: return napi_int8_array;
    case ElementType::float32: break;
  }
  return napi_float32_array;
}

const char* type_name(ElementType type) {
  switch (type) {
    case ElementType::int64: return "int64";
    case ElementType::float16: return "float16";
    case ElementType::bfloat16: return "bfloat16";
    case ElementType::int8: return "int8";
    case ElementType::float32: break;
  }
  return "float32";
}

int64_t to_dimension(double number) {
  constexpr double kMost = 1LL << 40;
  if (number >= 0 && number <= kMost && number == std::floor(number)) return static_cast<int64_t>(number);
  throw ArgumentError("a dimension must be a whole number of at most 2^40");
}

/// Bytes of a tensor. Throws where their number does not fit, which a product would hide.
size_t byte_count(const Shape& shape, ElementType type) {
  size_t bytes = element_size(type);
  for (int64_t dim : shape) {
    if (__builtin_mul_overflow(bytes, static_cast<size_t>(dim), &bytes)) throw ArgumentError("the dims are too large");
  }
  return bytes;
}

Tensor to_tensor(napi_env env, napi_value object, ElementType type) {
  Tensor tensor;
  for (napi_value dim : to_array(env, property(env, object, "dims"))) {
    tensor.shape.push_back(to_dimension(to_number(env, dim)));
  }
  Bytes bytes = to_bytes_of(env, property(env, object, "data"), array_type(type));
  if (bytes.size != byte_count(tensor.shape, type)) throw ArgumentError("data and dims do not agree");
  // An empty array may have an address, but nothing there is its own.
  tensor.data = bytes.size == 0 ? empty_address() : bytes.data;
  return tensor;
}

std::vector<Tensor> to_inputs(napi_env env, napi_value list, const OperatorType& type) {
  std::vector<Tensor> inputs(type.inputs.size());
  std::vector<napi_value> given = to_array(env, list);
  if (given.size() > inputs.size()) throw ArgumentError("too many inputs");
  for (size_t i = 0; i < inputs.size(); i++) {
    bool present = i < given.size() && !is_nullish(env, given[i]);
    if (present) inputs[i] = to_tensor(env, given[i], type.inputs[i].type);
  }
  require_inputs(type, inputs);
  return inputs;
}

std::vector<Tensor> to_outputs(napi_env env, napi_value list, const std::vector<Shape>& shapes,
                               const OperatorType& type) {
  std::vector<napi_value> given = to_array(env, list);
  if (given.size() != shapes.size()) throw ArgumentError("wrong number of outputs");
  std::vector<Tensor> outputs;
  for (size_t i = 0; i < shapes.size(); i++) {
    const ElementType element = type.outputs[i].type;
    Bytes bytes = to_bytes_of(env, given[i], array_type(element));
    if (bytes.size != byte_count(shapes[i], element)) throw ArgumentError("an output has the wrong size");
    outputs.push_back({bytes.data, shapes[i]});
  }
  return outputs;
}

void set(napi_env env, napi_value object, const char* name, napi_value value) {
  check(env, napi_set_named_property(env, object, name, value));
}

napi_value from_input(napi_env env, const InputSpec& input) {
  napi_value object, optional;
  check(env, napi_create_object(env, &object));
  check(env, napi_get_boolean(env, input.optional, &optional));
  set(env, object, "type", from_string(env, type_name(input.type)));
  set(env, object, "optional", optional);
  return object;
}

napi_value from_output(napi_env env, const OutputSpec& output) {
  napi_value object;
  check(env, napi_create_object(env, &object));
  set(env, object, "type", from_string(env, type_name(output.type)));
  set(env, object, "mayReuse", from_number(env, output.may_reuse));
  return object;
}

/// Makes a JavaScript array of what `convert` makes of each element.
template <class Element>
napi_value from_list(napi_env env, const std::vector<Element>& list, napi_value (*convert)(napi_env, const Element&)) {
  napi_value array;
  check(env, napi_create_array_with_length(env, list.size(), &array));
  for (size_t i = 0; i < list.size(); i++) {
    check(env, napi_set_element(env, array, static_cast<uint32_t>(i), convert(env, list[i])));
  }
  return array;
}

napi_value from_type(napi_env env, const OperatorType& type) {
  napi_value object;
  check(env, napi_create_object(env, &object));
  set(env, object, "name", from_string(env, type.name));
  set(env, object, "inputs", from_list(env, type.inputs, from_input));
  set(env, object, "outputs", from_list(env, type.outputs, from_output));
  return object;
}

template <class Body>
napi_value timed(napi_env env, int repeats, Body body) {
  napi_value times;
  check(env, napi_create_array(env, &times));
  for (int i = 0; i < repeats; i++) {
    auto start = std::chrono::steady_clock::now();
    body();
    std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    check(env, napi_set_element(env, times, static_cast<uint32_t>(i), from_number(env, elapsed.count())));
  }
  return times;
}

}  // namespace

napi_value list_operators(napi_env env, const std::vector<napi_value>&) {
  return from_list(env, operator_types(), from_type);
}

napi_value run_operator(napi_env env, const std::vector<napi_value>& arguments) {
  const OperatorType& type = find_type(to_string(env, arguments[0]));
  Isa isa = parse_isa(to_string(env, arguments[1]));
  std::unique_ptr<Operator> op = type.create(ObjectAttributes(env, arguments[2]));
  std::vector<Tensor> inputs = to_inputs(env, arguments[3], type);
  std::vector<Tensor> outputs = to_outputs(env, arguments[4], op->output_shapes(inputs), type);
  Team team(to_int32(env, arguments[5]));
  Work work = op->plan(inputs, outputs, isa);
  return timed(env, to_int32(env, arguments[6]), [&] {
    for (const Work* stage = &work; stage; stage = stage->next.get()) team.run(stage->units, stage->run);
  });
}

napi_value copy_times(napi_env env, const std::vector<napi_value>& arguments) {
  Bytes source = to_bytes(env, arguments[0]), target = to_bytes(env, arguments[1]);
  if (source.size != target.size) throw ArgumentError("source and target must have the same size");
  Team team(to_int32(env, arguments[2]));
  auto copy = [&](size_t first, size_t last) {
    std::memcpy(static_cast<char*>(target.data) + first, static_cast<const char*>(source.data) + first, last - first);
  };
  return timed(env, to_int32(env, arguments[3]), [&] { team.run(source.size, copy); });
}

/// Two cache lines are added to eight sums at a time: as fast as a core reads, where one word after the other is not.
napi_value read_times(napi_env env, const std::vector<napi_value>& arguments) {
  typedef uint64_t Pair __attribute__((vector_size(16)));
  constexpr size_t kPairs = 8, kLine = 64, kStep = kPairs * sizeof(Pair), kAhead = 4096;
  Bytes source = to_bytes(env, arguments[0]);
  Team team(to_int32(env, arguments[1]));
  auto read = [&](size_t first, size_t last) {
    Pair sums[kPairs] = {};
    for (size_t i = first; i < last; i++) {
      const char* step = static_cast<const char*>(source.data) + i * kStep;
      __builtin_prefetch(step + kAhead);
      __builtin_prefetch(step + kAhead + kLine);
      for (size_t k = 0; k < kPairs; k++) {
        Pair pair;
        std::memcpy(&pair, step + k * sizeof pair, sizeof pair);
        sums[k] += pair;
      }
    }
    // The compiler must not leave out what nothing uses.
    asm volatile("" : : "r"(sums) : "memory");
  };
  return timed(env, to_int32(env, arguments[2]), [&] { team.run(source.size / kStep, read); });
}

napi_value clock_rate(napi_env env, const std::vector<napi_value>&) {
  constexpr int kSteps = 100000;
  double best = 0;
  for (int attempt = 0; attempt < 20; attempt++) {
    auto start = std::chrono::steady_clock::now();
    uint64_t x = 0;
    for (int i = 0; i < kSteps; i++) {
      x++;
      // Each addition waits for the one before: one cycle each.
      asm volatile("" : "+r"(x));
    }
    std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    best = std::max(best, kSteps / elapsed.count());
  }
  return from_number(env, best);
}

napi_value misalignment(napi_env env, const std::vector<napi_value>& arguments) {
  return from_number(env, static_cast<double>(reinterpret_cast<uintptr_t>(to_bytes(env, arguments[0]).data) % 64));
}

}  // namespace spinquant

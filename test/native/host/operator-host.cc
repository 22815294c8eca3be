// The operators in a program of their own: for bodies that no processor at hand runs, but an emulator or emulated
// instructions do. start.ts has the other end.
//
// It writes a line with its instruction sets, then answers calls until its input ends. A call is a line of words, with
// the bytes of its inputs behind it:
//   NAME SET THREADS  COUNT {ATTRIBUTE VALUE}  COUNT {absent | BYTES RANK {DIMENSION}}  COUNT {BYTES OF AN OUTPUT}
// The answer is `done` and the bytes of the outputs on the next line, or `refused` and the reason.
#include <cstdlib>
#include <iostream>
#include <map>
#include <thread>
#include "../../../native-kernels/operator/operator.h"

namespace {

using namespace spinquant;

template <class T>
T read_word() {
  T value{};
  std::cin >> value;
  return value;
}

class GivenAttributes final : public Attributes {
 public:
  void read() {
    for (size_t left = read_word<size_t>(); left > 0; left--) {
      const auto name = read_word<std::string>();
      // Streams do not read infinity and NaN.
      values_[name] = std::strtod(read_word<std::string>().c_str(), nullptr);
    }
  }
  int64_t integer(const char* name, int64_t fallback) const override {
    return values_.count(name) ? static_cast<int64_t>(values_.at(name)) : fallback;
  }
  float number(const char* name, float fallback) const override {
    return values_.count(name) ? static_cast<float>(values_.at(name)) : fallback;
  }

 private:
  std::map<std::string, double> values_;
};

/// Memory of exactly its size, so that a sanitizer sees each access beyond it.
struct Buffer {
  size_t bytes;
  std::unique_ptr<char[]> data;

  explicit Buffer(size_t size) : bytes(size), data(new char[size]) {}
  void* address() const { return bytes == 0 ? empty_address() : data.get(); }
};

struct Call {
  std::string name, set;
  size_t threads;
  GivenAttributes attributes;
  std::vector<Tensor> inputs;
  std::vector<Buffer> given, results;

  void read() {
    std::cin >> name >> set >> threads;
    attributes.read();
    for (size_t left = read_word<size_t>(); left > 0; left--) read_input();
    for (size_t left = read_word<size_t>(); left > 0; left--) results.emplace_back(read_word<size_t>());
    std::cin.get();
    for (const Buffer& buffer : given) std::cin.read(buffer.data.get(), static_cast<std::streamsize>(buffer.bytes));
  }

 private:
  void read_input() {
    Tensor tensor;
    const auto bytes = read_word<std::string>();
    if (bytes != "absent") {
      given.emplace_back(std::stoul(bytes));
      for (size_t left = read_word<size_t>(); left > 0; left--) tensor.shape.push_back(read_word<int64_t>());
      tensor.data = given.back().address();
    }
    inputs.push_back(tensor);
  }
};

const OperatorType& find_type(const std::string& name) {
  for (const OperatorType& type : operator_types()) {
    if (name == type.name) return type;
  }
  reject("no operator is called " + name);
}

void require_size(const Buffer& buffer, const Shape& shape, ElementType type) {
  if (buffer.bytes != element_count(shape) * element_size(type)) reject("data and dims do not agree");
}

/// Shares out the units as addon/team.cc does.
void run_shared(const Work& work, size_t threads) {
  const auto run_share = [&](size_t member) {
    const size_t first = work.units * member / threads, last = work.units * (member + 1) / threads;
    if (first < last) work.run(first, last);
  };
  std::vector<std::thread> others;
  for (size_t member = 1; member < threads; member++) others.emplace_back(run_share, member);
  run_share(0);
  for (std::thread& other : others) other.join();
}

void run(Call& call) {
  const OperatorType& type = find_type(call.name);
  const Isa isa = parse_isa(call.set);
  const std::unique_ptr<Operator> op = type.create(call.attributes);
  call.inputs.resize(type.inputs.size());
  auto buffer = call.given.begin();
  for (size_t i = 0; i < call.inputs.size(); i++) {
    if (call.inputs[i].data) require_size(*buffer++, call.inputs[i].shape, type.inputs[i].type);
  }
  require_inputs(type, call.inputs);
  const std::vector<Shape> shapes = op->output_shapes(call.inputs);
  if (call.results.size() != shapes.size()) reject("wrong number of outputs");
  std::vector<Tensor> outputs;
  for (size_t i = 0; i < shapes.size(); i++) {
    require_size(call.results[i], shapes[i], type.outputs[i].type);
    outputs.push_back({call.results[i].address(), shapes[i]});
  }
  const Work work = op->plan(call.inputs, outputs, isa);
  for (const Work* stage = &work; stage; stage = stage->next.get()) run_shared(*stage, call.threads);
}

/// What is not written stays NaN, and differs from one call to the next.
void fill(const std::vector<Buffer>& results) {
  static bool odd = false;
  odd = !odd;
  for (const Buffer& result : results) {
    for (size_t i = 0; i < result.bytes; i++) result.data[i] = static_cast<char>(odd || i % 4 < 3 ? 0xff : 0x7f);
  }
}

void answer(Call& call) {
  try {
    fill(call.results);
    run(call);
    std::cout << "done\n";
    for (const Buffer& buffer : call.results) {
      std::cout.write(buffer.data.get(), static_cast<std::streamsize>(buffer.bytes));
    }
  } catch (const std::exception& error) {
    std::cout << "refused " << error.what() << "\n";
  }
  std::cout.flush();
}

}  // namespace

int main() {
  std::ios::sync_with_stdio(false);
  for (Isa isa : usable_isas()) std::cout << isa_name(isa) << " ";
  std::cout << std::endl;
  while (std::cin >> std::ws, std::cin.good()) {
    Call call;
    call.read();
    answer(call);
  }
}

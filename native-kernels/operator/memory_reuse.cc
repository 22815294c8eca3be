#include "memory_reuse.h"
#include <algorithm>
#include <array>
#include <utility>

namespace spinquant {
namespace {

/// ONNX Runtime does not say which operator it asks about, so there is a function for each place in the list.
constexpr size_t kMostOperators = 64;

bool is_reusing(const OutputSpec& output) { return output.may_reuse >= 0; }

/// Writes the pairs of an operator and returns their number.
size_t write_pairs(const std::vector<OutputSpec>& outputs, int** input_indices, int** output_indices) {
  const size_t count = static_cast<size_t>(std::count_if(outputs.begin(), outputs.end(), is_reusing));
  int* input = *input_indices = new int[count];
  int* output = *output_indices = new int[count];
  for (size_t i = 0; i < outputs.size(); i++) {
    if (!is_reusing(outputs[i])) continue;
    *input++ = outputs[i].may_reuse;
    *output++ = static_cast<int>(i);
  }
  return count;
}

template <size_t Place>
size_t pairs_of(int** inputs, int** outputs) {
  return write_pairs(operator_types()[Place].outputs, inputs, outputs);
}

void release_pairs(int* inputs, int* outputs) {
  delete[] inputs;
  delete[] outputs;
}

using PairsFunction = size_t (*)(int**, int**);

template <size_t... Places>
constexpr std::array<PairsFunction, sizeof...(Places)> functions_of(std::index_sequence<Places...>) {
  return {pairs_of<Places>...};
}

constexpr std::array<PairsFunction, kMostOperators> kFunctions =
    functions_of(std::make_index_sequence<kMostOperators>{});

[[noreturn]] void fail(const OperatorType& type, const std::string& reason) {
  throw std::logic_error(std::string("operator ") + type.name + " cannot be registered: " + reason);
}

void require_input(const OperatorType& type, size_t index) {
  const OutputSpec& output = type.outputs[index];
  const std::string pair =
      "output " + std::to_string(index) + " may not reuse input " + std::to_string(output.may_reuse) + ", ";
  if (static_cast<size_t>(output.may_reuse) >= type.inputs.size()) {
    fail(type, pair + "as there are " + std::to_string(type.inputs.size()) + " inputs");
  }
  if (element_size(type.inputs[static_cast<size_t>(output.may_reuse)].type) != element_size(output.type)) {
    fail(type, pair + "whose elements have another size");
  }
}

}  // namespace

void require_expressible(const OperatorType& type, size_t place) {
  if (type.outputs.empty()) fail(type, "it has no output");
  for (size_t i = 0; i < type.outputs.size(); i++) {
    if (is_reusing(type.outputs[i])) require_input(type, i);
  }
  if (place >= kMostOperators && std::any_of(type.outputs.begin(), type.outputs.end(), is_reusing)) {
    fail(type, "only the first " + std::to_string(kMostOperators) + " operators of the list may reuse memory");
  }
}

void declare_reuse(ort::CustomOp& op, size_t place) {
  const std::vector<OutputSpec>& outputs = operator_types()[place].outputs;
  if (std::none_of(outputs.begin(), outputs.end(), is_reusing)) return;
  op.GetMayInplace = kFunctions[place];
  op.ReleaseMayInplace = release_pairs;
}

}  // namespace spinquant

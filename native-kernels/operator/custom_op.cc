#include "custom_op.h"
#include <algorithm>
#include <list>
#include "memory_reuse.h"
#include "operator.h"
#include "scratch.h"

namespace spinquant {
namespace {

std::atomic<int> g_default_threads{1};
thread_local KernelSettings t_settings{best_isa(), g_default_threads};
thread_local const std::atomic<bool>* t_stop = nullptr;

/// Below this many elementary steps, waking another thread costs more than it saves; one that spins is there sooner.
constexpr size_t kMinCostPerPart = 32768, kMinCostSpinning = 8192;
/// More parts than threads, so that a late thread does not hold up the rest; fewer where a part is microseconds.
constexpr size_t kPartsPerThread = 16, kPartsSpinning = 4;

class NodeAttributes final : public Attributes {
 public:
  explicit NodeAttributes(const ort::KernelInfo* info) : info_(info) {}

  int64_t integer(const char* name, int64_t fallback) const override {
    int64_t value = fallback;
    if (find(name, &value)) return value;
    float number = 0;
    if (find(name, &number)) reject(std::string("attribute ") + name + " must be an integer, found a float");
    return fallback;
  }

  float number(const char* name, float fallback) const override {
    float value = fallback;
    if (find(name, &value)) return value;
    int64_t integer = 0;
    if (find(name, &integer)) reject(std::string("attribute ") + name + " must be a float, found an integer");
    return fallback;
  }

 private:
  /// False where there is none of this name and type.
  bool find(const char* name, int64_t* value) const {
    return found(api().KernelInfoGetAttribute_int64(info_, name, value));
  }
  bool find(const char* name, float* value) const {
    return found(api().KernelInfoGetAttribute_float(info_, name, value));
  }

  static bool found(ort::Status* status) {
    if (status) api().ReleaseStatus(status);
    return status == nullptr;
  }

  const ort::KernelInfo* info_;
};

/// One operator type as ONNX Runtime sees it. The base comes first: it is what is registered.
struct RegisteredOp : ort::CustomOp {
  const OperatorType* type;
};

struct Node {
  const OperatorType* type;
  std::unique_ptr<Operator> op;
  KernelSettings settings;
};

const OperatorType& type_of(const ort::CustomOp* op) { return *static_cast<const RegisteredOp*>(op)->type; }

/// Several calls and memory of ONNX Runtime's own for each tensor.
Shape copied_shape(const ort::Value* value) {
  ort::TensorInfo* info = nullptr;
  check(api().GetTensorTypeAndShape(value, &info));
  size_t rank = 0;
  ort::Status* status = api().GetDimensionsCount(info, &rank);
  Shape shape(rank);
  if (!status) status = api().GetDimensions(info, shape.data(), rank);
  api().ReleaseTensorTypeAndShapeInfo(info);
  check(status);
  return shape;
}

Shape shape_of(const ort::Value* value) {
  if (!api().GetTensorElementTypeAndShapeDataReference) return copied_shape(value);
  int type = 0;
  const int64_t* dims = nullptr;
  size_t rank = 0;
  check(api().GetTensorElementTypeAndShapeDataReference(value, &type, &dims, &rank));
  return Shape(dims, dims + rank);
}

Tensor tensor_of(const ort::Value* value) {
  Tensor tensor;
  if (!value) return tensor;
  tensor.shape = shape_of(value);
  check(api().GetTensorMutableData(const_cast<ort::Value*>(value), &tensor.data));
  if (!tensor.data) tensor.data = empty_address();
  return tensor;
}

std::vector<Tensor> read_inputs(const OperatorType& type, const ort::KernelContext* context) {
  size_t given = 0;
  check(api().KernelContext_GetInputCount(context, &given));
  std::vector<Tensor> inputs(type.inputs.size());
  for (size_t i = 0; i < std::min(given, inputs.size()); i++) {
    const ort::Value* value = nullptr;
    check(api().KernelContext_GetInput(context, i, &value));
    inputs[i] = tensor_of(value);
  }
  return inputs;
}

/// An output that the graph leaves unconnected has no memory of its own: it is computed into `unwanted`.
std::vector<Tensor> make_outputs(const OperatorType& type, ort::KernelContext* context,
                                 const std::vector<Shape>& shapes, std::list<Scratch>& unwanted) {
  std::vector<Tensor> outputs;
  for (size_t i = 0; i < shapes.size(); i++) {
    ort::Value* value = nullptr;
    check(api().KernelContext_GetOutput(context, i, shapes[i].data(), shapes[i].size(), &value));
    void* data = nullptr;
    if (value) {
      check(api().GetTensorMutableData(value, &data));
    } else {
      unwanted.emplace_back(element_count(shapes[i]) * element_size(type.outputs[i].type));
      data = unwanted.back().bytes();
    }
    outputs.push_back(Tensor{data, shapes[i]});
  }
  return outputs;
}

struct SharedWork {
  const Work* work;
  size_t parts;
};

void run_part(void* data, size_t part) {
  const SharedWork& shared = *static_cast<const SharedWork*>(data);
  size_t units = shared.work->units;
  shared.work->run(units * part / shared.parts, units * (part + 1) / shared.parts);
}

void run_on_pool(const ort::KernelContext* context, const Work& work, const KernelSettings& settings) {
  auto [isa, threads, spins] = settings;
  size_t by_cost = work.units * work.unit_cost / (spins ? kMinCostSpinning : kMinCostPerPart);
  size_t by_threads = static_cast<size_t>(threads) * (spins ? kPartsSpinning : kPartsPerThread);
  SharedWork shared{&work, std::min({work.units, by_cost, by_threads})};
  if (threads == 1 || shared.parts <= 1) {
    work.run(0, work.units);
    return;
  }
  // Without a number of batches, each thread is given one.
  check(api().KernelContext_ParallelFor(context, run_part, shared.parts, spins ? shared.parts : 0, &shared));
}

void compute(const Node& node, ort::KernelContext* context) {
  std::vector<Tensor> inputs = read_inputs(*node.type, context);
  require_inputs(*node.type, inputs);
  std::list<Scratch> unwanted;
  std::vector<Tensor> outputs = make_outputs(*node.type, context, node.op->output_shapes(inputs), unwanted);
  Work work = node.op->plan(inputs, outputs, node.settings.isa);
  for (const Work* stage = &work; stage; stage = stage->next.get()) {
    if (t_stop && *t_stop) throw std::runtime_error("stopped");
    if (stage->units > 0) run_on_pool(context, *stage, node.settings);
  }
}

/// Runs the body; an exception becomes a status that names the operator.
template <class Body>
ort::Status* guarded(const char* name, Body body) {
  try {
    body();
    return nullptr;
  } catch (const std::exception& error) {
    return api().CreateStatus(ort::kInvalidArgument, (std::string("spinquant::") + name + ": " + error.what()).c_str());
  }
}

ort::Status* create_node(const ort::CustomOp* op, const void*, const ort::KernelInfo* info, void** kernel) {
  const OperatorType& type = type_of(op);
  return guarded(type.name, [&] { *kernel = new Node{&type, type.create(NodeAttributes(info)), t_settings}; });
}

ort::Status* compute_node(void* kernel, ort::KernelContext* context) {
  const Node& node = *static_cast<const Node*>(kernel);
  return guarded(node.type->name, [&] { compute(node, context); });
}

int onnx_type(ElementType type) {
  switch (type) {
    case ElementType::int64: return ort::kInt64;
    case ElementType::float16: return ort::kFloat16;
    case ElementType::bfloat16: return ort::kBfloat16;
    case ElementType::int8: return ort::kInt8;
    case ElementType::float32: break;
  }
  return ort::kFloat;
}

/// @param place where the type stands in operator_types().
RegisteredOp make_registered_op(const OperatorType& type, size_t place) {
  using ort::CustomOp;
  require_expressible(type, place);
  RegisteredOp op{};
  op.type = &type;
  op.version = ort::kApiVersion;
  op.GetName = [](const CustomOp* self) { return type_of(self).name; };
  op.GetExecutionProviderType = [](const CustomOp*) -> const char* { return "CPUExecutionProvider"; };
  op.GetInputType = [](const CustomOp* self, size_t i) { return onnx_type(type_of(self).inputs[i].type); };
  op.GetInputTypeCount = [](const CustomOp* self) { return type_of(self).inputs.size(); };
  op.GetOutputType = [](const CustomOp* self, size_t i) { return onnx_type(type_of(self).outputs[i].type); };
  op.GetOutputTypeCount = [](const CustomOp* self) { return type_of(self).outputs.size(); };
  op.KernelDestroy = [](void* kernel) { delete static_cast<Node*>(kernel); };
  op.GetInputCharacteristic = [](const CustomOp* self, size_t i) {
    return type_of(self).inputs[i].optional ? ort::kOptional : ort::kRequired;
  };
  // Only the first output of an operator is always wanted.
  op.GetOutputCharacteristic = [](const CustomOp*, size_t i) { return i > 0 ? ort::kOptional : ort::kRequired; };
  op.GetInputMemoryType = [](const CustomOp*, size_t) { return ort::kDefaultMemory; };
  op.GetVariadicInputMinArity = [](const CustomOp*) { return 1; };
  op.GetVariadicInputHomogeneity = [](const CustomOp*) { return 1; };
  op.GetVariadicOutputMinArity = [](const CustomOp*) { return 1; };
  op.GetVariadicOutputHomogeneity = [](const CustomOp*) { return 1; };
  op.CreateKernelV2 = create_node;
  op.KernelComputeV2 = compute_node;
  declare_reuse(op, place);
  return op;
}

ort::CustomOpDomain* make_domain() {
  // Never freed, never moved: sessions keep pointers into the list.
  static auto& ops = *new std::list<RegisteredOp>();
  ort::CustomOpDomain* domain = nullptr;
  check(api().CreateCustomOpDomain("spinquant", &domain));
  const std::vector<OperatorType>& types = operator_types();
  for (size_t place = 0; place < types.size(); place++) {
    ops.push_back(make_registered_op(types[place], place));
    check(api().CustomOpDomain_Add(domain, &ops.back()));
  }
  return domain;
}

}  // namespace

ort::CustomOpDomain* custom_op_domain() {
  static ort::CustomOpDomain* const domain = make_domain();
  return domain;
}

void set_default_threads(int threads) { g_default_threads = threads; }

StopScope::StopScope(const std::atomic<bool>* flag) { t_stop = flag; }

StopScope::~StopScope() { t_stop = nullptr; }

SettingsScope::SettingsScope(KernelSettings settings) : previous_(t_settings) { t_settings = settings; }

SettingsScope::~SettingsScope() { t_settings = previous_; }

}  // namespace spinquant

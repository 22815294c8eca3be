// The part of the ONNX Runtime C ABI that we call, declared by us so that no header is needed to build.
// OrtApi is an append-only table of function pointers: a function is its index in that table.
#pragma once
#include <cstddef>
#include <cstdint>

namespace spinquant::ort {

struct Status;
struct Env;
struct Session;
struct SessionOptions;
struct RunOptions;
struct Value;
struct MemoryInfo;
struct Allocator;
struct CustomOp;
struct CustomOpDomain;
struct TensorInfo;
struct KernelInfo;
struct KernelContext;
struct ShapeInferContext;
struct ThreadingOptions;
struct ArenaCfg;

/// The table version asked for: the smallest that has everything below, so that older and newer libraries work.
constexpr uint32_t kApiVersion = 22;

struct ApiBase {
  const void* (*GetApi)(uint32_t version);
  const char* (*GetVersionString)();
};

// X(index in OrtApi, return type, name, parameters)
#define SPINQUANT_ORT_FUNCTIONS(X)                                                                          \
  X(0, Status*, CreateStatus, (int code, const char* message))                                              \
  X(1, int, GetErrorCode, (const Status*))                                                                  \
  X(2, const char*, GetErrorMessage, (const Status*))                                                       \
  X(8, Status*, CreateSessionFromArray,                                                                     \
    (const Env*, const void* model, size_t bytes, const SessionOptions*, Session**))                        \
  X(9, Status*, Run,                                                                                        \
    (Session*, const RunOptions*, const char* const* input_names, const Value* const* inputs, size_t,       \
     const char* const* output_names, size_t, Value** outputs))                                             \
  X(10, Status*, CreateSessionOptions, (SessionOptions**))                                                  \
  X(17, Status*, DisableMemPattern, (SessionOptions*))                                                      \
  X(22, Status*, SetSessionLogSeverityLevel, (SessionOptions*, int))                                        \
  X(23, Status*, SetSessionGraphOptimizationLevel, (SessionOptions*, int))                                  \
  X(24, Status*, SetIntraOpNumThreads, (SessionOptions*, int))                                              \
  X(25, Status*, SetInterOpNumThreads, (SessionOptions*, int))                                              \
  X(26, Status*, CreateCustomOpDomain, (const char* domain, CustomOpDomain**))                              \
  X(27, Status*, CustomOpDomain_Add, (CustomOpDomain*, const CustomOp*))                                    \
  X(28, Status*, AddCustomOpDomain, (SessionOptions*, CustomOpDomain*))                                     \
  X(30, Status*, SessionGetInputCount, (const Session*, size_t*))                                           \
  X(31, Status*, SessionGetOutputCount, (const Session*, size_t*))                                          \
  X(36, Status*, SessionGetInputName, (const Session*, size_t, Allocator*, char**))                         \
  X(37, Status*, SessionGetOutputName, (const Session*, size_t, Allocator*, char**))                        \
  X(39, Status*, CreateRunOptions, (RunOptions**))                                                          \
  X(46, Status*, RunOptionsSetTerminate, (RunOptions*))                                                     \
  X(49, Status*, CreateTensorWithDataAsOrtValue,                                                            \
    (const MemoryInfo*, void* data, size_t bytes, const int64_t* dims, size_t rank, int type, Value**))     \
  X(51, Status*, GetTensorMutableData, (Value*, void**))                                                    \
  X(61, Status*, GetDimensionsCount, (const TensorInfo*, size_t*))                                          \
  X(62, Status*, GetDimensions, (const TensorInfo*, int64_t*, size_t))                                      \
  X(65, Status*, GetTensorTypeAndShape, (const Value*, TensorInfo**))                                       \
  X(69, Status*, CreateCpuMemoryInfo, (int allocator_type, int memory_type, MemoryInfo**))                  \
  X(76, Status*, AllocatorFree, (Allocator*, void*))                                                        \
  X(78, Status*, GetAllocatorWithDefaultOptions, (Allocator**))                                             \
  X(85, Status*, KernelInfoGetAttribute_float, (const KernelInfo*, const char*, float*))                    \
  X(86, Status*, KernelInfoGetAttribute_int64, (const KernelInfo*, const char*, int64_t*))                  \
  X(88, Status*, KernelContext_GetInputCount, (const KernelContext*, size_t*))                              \
  X(90, Status*, KernelContext_GetInput, (const KernelContext*, size_t, const Value**))                     \
  X(91, Status*, KernelContext_GetOutput,                                                                   \
    (KernelContext*, size_t, const int64_t* dims, size_t rank, Value**))                                    \
  X(92, void, ReleaseEnv, (Env*))                                                                           \
  X(93, void, ReleaseStatus, (Status*))                                                                     \
  X(94, void, ReleaseMemoryInfo, (MemoryInfo*))                                                             \
  X(95, void, ReleaseSession, (Session*))                                                                   \
  X(96, void, ReleaseValue, (Value*))                                                                       \
  X(97, void, ReleaseRunOptions, (RunOptions*))                                                             \
  X(99, void, ReleaseTensorTypeAndShapeInfo, (TensorInfo*))                                                 \
  X(100, void, ReleaseSessionOptions, (SessionOptions*))                                                    \
  X(119, Status*, CreateEnvWithGlobalThreadPools, (int severity, const char*, const ThreadingOptions*, Env**)) \
  X(120, Status*, DisablePerSessionThreads, (SessionOptions*))                                              \
  X(121, Status*, CreateThreadingOptions, (ThreadingOptions**))                                             \
  X(122, void, ReleaseThreadingOptions, (ThreadingOptions*))                                                \
  X(130, Status*, AddSessionConfigEntry, (SessionOptions*, const char* key, const char* value))             \
  X(144, Status*, CreateAndRegisterAllocator, (Env*, const MemoryInfo*, const ArenaCfg*))                    \
  X(147, Status*, SetGlobalIntraOpNumThreads, (ThreadingOptions*, int))                                     \
  X(148, Status*, SetGlobalInterOpNumThreads, (ThreadingOptions*, int))                                     \
  X(149, Status*, SetGlobalSpinControl, (ThreadingOptions*, int))                                           \
  X(155, Status*, SetGlobalDenormalAsZero, (ThreadingOptions*))                                             \
  X(156, Status*, CreateArenaCfg,                                                                           \
    (size_t max_mem, int extend_strategy, int initial_chunk_bytes, int max_dead_bytes, ArenaCfg**))         \
  X(157, void, ReleaseArenaCfg, (ArenaCfg*))                                                                \
  X(274, Status*, KernelContext_ParallelFor,                                                                \
    (const KernelContext*, void (*)(void*, size_t), size_t total, size_t num_batch, void*))

/// The first table version that has the functions below; they are null in an older library.
constexpr uint32_t kNewerApiVersion = 24;

#define SPINQUANT_ORT_NEWER_FUNCTIONS(X)                   \
  X(414, Status*, GetTensorElementTypeAndShapeDataReference, \
    (const Value*, int* type, const int64_t** dims, size_t* rank))

struct Api {
#define SPINQUANT_ORT_MEMBER(index, result, name, parameters) result(*name) parameters = nullptr;
  SPINQUANT_ORT_FUNCTIONS(SPINQUANT_ORT_MEMBER)
  SPINQUANT_ORT_NEWER_FUNCTIONS(SPINQUANT_ORT_MEMBER)
#undef SPINQUANT_ORT_MEMBER
};

/// OrtCustomOp: the order of the fields is the ABI.
struct CustomOp {
  uint32_t version;
  void* (*CreateKernel)(const CustomOp*, const void* api, const KernelInfo*);
  const char* (*GetName)(const CustomOp*);
  const char* (*GetExecutionProviderType)(const CustomOp*);
  int (*GetInputType)(const CustomOp*, size_t);
  size_t (*GetInputTypeCount)(const CustomOp*);
  int (*GetOutputType)(const CustomOp*, size_t);
  size_t (*GetOutputTypeCount)(const CustomOp*);
  void (*KernelCompute)(void*, KernelContext*);
  void (*KernelDestroy)(void*);
  int (*GetInputCharacteristic)(const CustomOp*, size_t);
  int (*GetOutputCharacteristic)(const CustomOp*, size_t);
  int (*GetInputMemoryType)(const CustomOp*, size_t);
  int (*GetVariadicInputMinArity)(const CustomOp*);
  int (*GetVariadicInputHomogeneity)(const CustomOp*);
  int (*GetVariadicOutputMinArity)(const CustomOp*);
  int (*GetVariadicOutputHomogeneity)(const CustomOp*);
  Status* (*CreateKernelV2)(const CustomOp*, const void* api, const KernelInfo*, void** kernel);
  Status* (*KernelComputeV2)(void* kernel, KernelContext*);
  Status* (*InferOutputShape)(const CustomOp*, ShapeInferContext*);
  int (*GetStartVersion)(const CustomOp*);
  int (*GetEndVersion)(const CustomOp*);
  size_t (*GetMayInplace)(int** inputs, int** outputs);
  void (*ReleaseMayInplace)(int* inputs, int* outputs);
  size_t (*GetAliasMap)(int** inputs, int** outputs);
  void (*ReleaseAliasMap)(int* inputs, int* outputs);
};
static_assert(sizeof(void*) != 8 || sizeof(CustomOp) == 208, "OrtCustomOp layout");

// Values of the enums we use.
constexpr int kFloat = 1;
constexpr int kInt8 = 3;
constexpr int kInt64 = 7;
constexpr int kFloat16 = 10;
constexpr int kBfloat16 = 16;
constexpr int kInvalidArgument = 2;
constexpr int kLogFatal = 4;
constexpr int kOptimizeBasic = 1;
constexpr int kOptimizeAll = 99;
constexpr int kDeviceAllocator = 0;
constexpr int kDefaultMemory = 0;
constexpr int kArenaAllocator = 1;
constexpr int kRequired = 0;
constexpr int kOptional = 1;

}  // namespace spinquant::ort

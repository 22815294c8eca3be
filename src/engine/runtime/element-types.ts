/** Only this file knows the names of our dtypes elsewhere. */
import type { DType } from '../../protocol/tensor.ts';

/** ONNX `TensorProto.DataType`, which ONNX Runtime's C API shares. */
export const ONNX_ELEMENT_TYPE: Readonly<Record<DType, number>> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
  bfloat16: 16,
};

/** onnxruntime-common uses these names; it has no bfloat16. */
export const ORT_JS_TYPE = {
  float32: 'float32',
  uint8: 'uint8',
  int8: 'int8',
  int32: 'int32',
  int64: 'int64',
  bool: 'bool',
  float16: 'float16',
  float64: 'float64',
} as const satisfies Partial<Record<DType, string>>;

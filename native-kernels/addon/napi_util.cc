#include "napi_util.h"
#include "../abi/ort_api.h"

namespace spinquant {
namespace {

napi_value make_error(napi_env env, const char* code, const char* message, bool type_error) {
  napi_value code_value = nullptr, text = nullptr, error = nullptr;
  if (code) napi_create_string_utf8(env, code, NAPI_AUTO_LENGTH, &code_value);
  napi_create_string_utf8(env, message, NAPI_AUTO_LENGTH, &text);
  (type_error ? napi_create_type_error : napi_create_error)(env, code_value, text, &error);
  return error;
}

size_t element_size(napi_typedarray_type type) {
  switch (type) {
    case napi_int8_array:
    case napi_uint8_array:
    case napi_uint8_clamped_array: return 1;
    case napi_int16_array:
    case napi_uint16_array: return 2;
    case napi_int32_array:
    case napi_uint32_array:
    case napi_float32_array: return 4;
    case napi_float64_array:
    case napi_bigint64_array:
    case napi_biguint64_array: return 8;
    default: throw ArgumentError("unsupported typed array");
  }
}

Bytes bytes_and_type(napi_env env, napi_value value, napi_typedarray_type* type) {
  if (!is_typed_array(env, value)) throw ArgumentError("expected a typed array");
  Bytes bytes;
  size_t length = 0;
  check(env, napi_get_typedarray_info(env, value, type, &length, &bytes.data, nullptr, nullptr));
  bytes.size = length * element_size(*type);
  return bytes;
}

}  // namespace

void check(napi_env env, napi_status status) {
  if (status == napi_ok) return;
  const napi_extended_error_info* info = nullptr;
  napi_get_last_error_info(env, &info);
  throw ArgumentError(info && info->error_message ? info->error_message : "Node-API call failed");
}

napi_value current_error(napi_env env) {
  try {
    throw;
  } catch (const OrtError& error) {
    return make_error(env, ("ORT_" + std::to_string(error.code)).c_str(), error.what(), false);
  } catch (const ArgumentError& error) {
    return make_error(env, nullptr, error.what(), true);
  } catch (const std::exception& error) {
    return make_error(env, nullptr, error.what(), false);
  }
}

std::vector<napi_value> arguments_of(napi_env env, napi_callback_info info) {
  constexpr size_t kMost = 8;
  size_t count = kMost;
  std::vector<napi_value> arguments(kMost);
  // Missing arguments are filled with undefined.
  check(env, napi_get_cb_info(env, info, &count, arguments.data(), nullptr, nullptr));
  return arguments;
}

std::string to_string(napi_env env, napi_value value) {
  size_t length = 0;
  check(env, napi_get_value_string_utf8(env, value, nullptr, 0, &length));
  std::string text(length, '\0');
  check(env, napi_get_value_string_utf8(env, value, &text[0], length + 1, &length));
  return text;
}

int32_t to_int32(napi_env env, napi_value value) {
  int32_t number = 0;
  check(env, napi_get_value_int32(env, value, &number));
  return number;
}

double to_number(napi_env env, napi_value value) {
  double number = 0;
  check(env, napi_get_value_double(env, value, &number));
  return number;
}

std::vector<napi_value> to_array(napi_env env, napi_value value) {
  uint32_t length = 0;
  check(env, napi_get_array_length(env, value, &length));
  std::vector<napi_value> elements(length);
  for (uint32_t i = 0; i < length; i++) check(env, napi_get_element(env, value, i, &elements[i]));
  return elements;
}

napi_value from_string(napi_env env, const std::string& text) {
  napi_value value;
  check(env, napi_create_string_utf8(env, text.c_str(), text.size(), &value));
  return value;
}

napi_value from_strings(napi_env env, const std::vector<std::string>& texts) {
  napi_value array;
  check(env, napi_create_array_with_length(env, texts.size(), &array));
  for (uint32_t i = 0; i < texts.size(); i++) check(env, napi_set_element(env, array, i, from_string(env, texts[i])));
  return array;
}

napi_value from_number(napi_env env, double value) {
  napi_value number;
  check(env, napi_create_double(env, value, &number));
  return number;
}

napi_value undefined(napi_env env) {
  napi_value value;
  check(env, napi_get_undefined(env, &value));
  return value;
}

bool is_nullish(napi_env env, napi_value value) {
  napi_valuetype type = napi_undefined;
  check(env, napi_typeof(env, value, &type));
  return type == napi_undefined || type == napi_null;
}

bool is_typed_array(napi_env env, napi_value value) {
  bool result = false;
  check(env, napi_is_typedarray(env, value, &result));
  return result;
}

Bytes to_bytes(napi_env env, napi_value value) {
  napi_typedarray_type type = napi_int8_array;
  return bytes_and_type(env, value, &type);
}

Bytes to_bytes_of(napi_env env, napi_value value, napi_typedarray_type wanted) {
  napi_typedarray_type type = napi_int8_array;
  Bytes bytes = bytes_and_type(env, value, &type);
  if (type != wanted) throw ArgumentError("wrong type of typed array");
  return bytes;
}

Keep::Keep(napi_env env, napi_value value) { check(env, napi_create_reference(env, value, 1, &reference_)); }

void Keep::release(napi_env env) {
  if (reference_) napi_delete_reference(env, reference_);
  reference_ = nullptr;
}

}  // namespace spinquant

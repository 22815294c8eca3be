// Node-API in C++: errors as exceptions, handles as typed shared pointers.
#pragma once
#include <node_api.h>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace spinquant {

/// A wrong argument: becomes a JavaScript TypeError.
class ArgumentError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Throws std::runtime_error with Node's own text unless the call succeeded.
void check(napi_env env, napi_status status);

/// Body of a function that JavaScript calls; what it throws becomes a JavaScript exception.
template <napi_value (*Body)(napi_env, const std::vector<napi_value>&)>
napi_value entry(napi_env env, napi_callback_info info);

/// A JavaScript Error of what is being handled (call inside a catch block).
napi_value current_error(napi_env env);

std::vector<napi_value> arguments_of(napi_env env, napi_callback_info info);

std::string to_string(napi_env env, napi_value value);
int32_t to_int32(napi_env env, napi_value value);
double to_number(napi_env env, napi_value value);
std::vector<napi_value> to_array(napi_env env, napi_value value);
napi_value from_string(napi_env env, const std::string& text);
napi_value from_strings(napi_env env, const std::vector<std::string>& texts);
napi_value from_number(napi_env env, double value);
napi_value undefined(napi_env env);
bool is_nullish(napi_env env, napi_value value);

/// Memory of a typed array; it stays where it is while the array is referenced.
struct Bytes {
  void* data = nullptr;
  size_t size = 0;
};
bool is_typed_array(napi_env env, napi_value value);
Bytes to_bytes(napi_env env, napi_value value);
/// Throws ArgumentError unless the value is a typed array of that type.
Bytes to_bytes_of(napi_env env, napi_value value, napi_typedarray_type type);

/// Keeps JavaScript values from being collected until released on the JavaScript thread.
class Keep {
 public:
  Keep(napi_env env, napi_value value);
  void release(napi_env env);

 private:
  napi_ref reference_ = nullptr;
};

/// A JavaScript object that owns a shared pointer; T names its tag in `static const napi_type_tag kTag`.
template <class T>
napi_value make_handle(napi_env env, std::shared_ptr<T> value) {
  napi_value object;
  check(env, napi_create_object(env, &object));
  auto* owned = new std::shared_ptr<T>(std::move(value));
  napi_finalize finalize = [](napi_env, void* data, void*) { delete static_cast<std::shared_ptr<T>*>(data); };
  napi_status status = napi_wrap(env, object, owned, finalize, nullptr, nullptr);
  if (status != napi_ok) delete owned;
  check(env, status);
  check(env, napi_type_tag_object(env, object, &T::kTag));
  return object;
}

/// The shared pointer itself, to read or to reset.
template <class T>
std::shared_ptr<T>& handle_slot(napi_env env, napi_value object) {
  bool tagged = false;
  if (napi_check_object_type_tag(env, object, &T::kTag, &tagged) != napi_ok || !tagged) {
    throw ArgumentError(std::string("expected a ") + T::kName);
  }
  void* data = nullptr;
  check(env, napi_unwrap(env, object, &data));
  return *static_cast<std::shared_ptr<T>*>(data);
}

/// Throws ArgumentError when the handle was released.
template <class T>
std::shared_ptr<T> from_handle(napi_env env, napi_value object) {
  std::shared_ptr<T> value = handle_slot<T>(env, object);
  if (!value) throw ArgumentError(std::string("the ") + T::kName + " has been released");
  return value;
}

template <napi_value (*Body)(napi_env, const std::vector<napi_value>&)>
napi_value entry(napi_env env, napi_callback_info info) {
  try {
    return Body(env, arguments_of(env, info));
  } catch (...) {
    napi_throw(env, current_error(env));
    return nullptr;
  }
}

}  // namespace spinquant

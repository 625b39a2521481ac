// The safetensors file format (https://huggingface.co/docs/safetensors): 8 bytes little-endian
// header length, a JSON header naming each tensor's dtype, shape and byte range, then the bytes.
#pragma once

#include "runtime/base/DType.h"
#include "runtime/base/File.h"
#include "runtime/base/Status.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace titan {

/// A named, dense, row-major tensor whose bytes lie somewhere else.
struct TensorView {
  std::string name;
  DType dtype;
  std::vector<int64_t> shape; ///< empty for a scalar
  /// As many bytes as dtype and shape say. In a file they need not be aligned to the element's
  /// size: copy them out.
  std::span<const std::byte> bytes;
};

/// Product of the dimensions.
int64_t elementCount(std::span<const int64_t> shape);
/// "[2, 3]"
std::string toString(std::span<const int64_t> shape);

/// A validated file: every tensor's byte range lies in the file, fits its dtype and shape, overlaps
/// no other, and together they leave no hole.
class Safetensors {
public:
  static StatusOr<Safetensors> open(const std::filesystem::path &path);
  /// The same for bytes that the caller keeps alive; `name` serves messages.
  static StatusOr<Safetensors> parse(std::span<const std::byte> bytes, const std::string &name);

  const std::string &name() const { return fileName; }
  /// Sorted by name.
  const std::vector<TensorView> &tensors() const { return views; }
  const std::map<std::string, std::string> &metadata() const { return meta; }
  /// Null when there is no such tensor.
  const TensorView *find(std::string_view tensorName) const;
  /// The tensor `tensorName`, or an error when it is missing or has another dtype or shape; a
  /// negative dimension of `shape` accepts any.
  StatusOr<const TensorView *> get(std::string_view tensorName, DType dtype,
                                   std::span<const int64_t> shape) const;

private:
  MappedFile file;
  std::string fileName;
  std::vector<TensorView> views;
  std::map<std::string, std::string> meta;
};

/// Writes the tensors sorted by name, atomically. Fails on a duplicate name or on bytes that do not
/// fit dtype and shape.
Status writeSafetensors(const std::filesystem::path &path, std::span<const TensorView> tensors,
                        const std::map<std::string, std::string> &metadata = {});

} // namespace titan

#include "runtime/base/Safetensors.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

namespace titan {
namespace {

using nlohmann::json;

/// The format's own limit on the header, which keeps a damaged length from costing much memory.
constexpr uint64_t kMaxHeaderBytes = 100'000'000;

struct DTypeName {
  std::string_view name;
  DType dtype;
};

constexpr std::array<DTypeName, kNumDTypes> kDTypeNames = {{{"F32", DType::f32},
                                                            {"BF16", DType::bf16},
                                                            {"F16", DType::f16},
                                                            {"F64", DType::f64},
                                                            {"I32", DType::i32},
                                                            {"I64", DType::i64},
                                                            {"I8", DType::i8},
                                                            {"U8", DType::u8},
                                                            {"BOOL", DType::boolean},
                                                            {"F8_E4M3", DType::f8E4M3FN},
                                                            {"F8_E5M2", DType::f8E5M2},
                                                            {"F8_E8M0", DType::f8E8M0FNU}}};

std::string_view formatName(DType dtype) {
  for (const DTypeName &entry : kDTypeNames)
    if (entry.dtype == dtype)
      return entry.name;
  return "";
}

std::optional<DType> dtypeOfName(std::string_view name) {
  for (const DTypeName &entry : kDTypeNames)
    if (entry.name == name)
      return entry.dtype;
  return std::nullopt;
}

/// Bytes of a tensor, or nothing when the product overflows.
std::optional<int64_t> byteCount(DType dtype, std::span<const int64_t> shape) {
  int64_t bytes = byteSize(dtype);
  bool empty = false;
  for (int64_t dim : shape) {
    if (dim < 0)
      return std::nullopt;
    if (dim == 0)
      empty = true;
    else if (__builtin_mul_overflow(bytes, dim, &bytes))
      return std::nullopt;
  }
  return empty ? 0 : bytes;
}

std::optional<int64_t> toInt(const json &value) {
  if (!value.is_number_integer())
    return std::nullopt;
  if (value.is_number_unsigned() &&
      value.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
    return std::nullopt;
  return value.get<int64_t>();
}

std::optional<std::vector<int64_t>> toIntList(const json &value) {
  if (!value.is_array())
    return std::nullopt;
  std::vector<int64_t> list;
  for (const json &element : value) {
    const std::optional<int64_t> number = toInt(element);
    if (!number || *number < 0)
      return std::nullopt;
    list.push_back(*number);
  }
  return list;
}

/// One entry of the header; `data` is everything after the header.
StatusOr<TensorView> parseEntry(const std::string &name, const json &entry,
                                std::span<const std::byte> data) {
  const std::string place = "tensor '" + name + "': ";
  if (!entry.is_object() || entry.size() != 3 || !entry.contains("dtype") ||
      !entry.contains("shape") || !entry.contains("data_offsets"))
    return dataLoss(place + "the header entry must have exactly dtype, shape and data_offsets");
  const json &dtypeText = entry["dtype"];
  if (!dtypeText.is_string())
    return dataLoss(place + "dtype is not a string");
  const std::optional<DType> dtype = dtypeOfName(dtypeText.get_ref<const std::string &>());
  if (!dtype)
    return dataLoss(place + "unsupported dtype '" + dtypeText.get<std::string>() +
                    "', legal are F32, BF16, F16, F64, I32, I64, I8, U8, BOOL, F8_E4M3, F8_E5M2, "
                    "F8_E8M0");
  std::optional<std::vector<int64_t>> shape = toIntList(entry["shape"]);
  if (!shape)
    return dataLoss(place + "shape is not a list of integers that are 0 or more");
  const std::optional<std::vector<int64_t>> range = toIntList(entry["data_offsets"]);
  if (!range || range->size() != 2)
    return dataLoss(place + "data_offsets is not a pair of integers that are 0 or more");
  const int64_t begin = (*range)[0];
  const int64_t end = (*range)[1];
  if (begin > end || static_cast<uint64_t>(end) > data.size())
    return dataLoss(place + "bytes " + std::to_string(begin) + " to " + std::to_string(end) +
                    " do not lie in the file's " + std::to_string(data.size()) + " bytes of data");
  const std::optional<int64_t> bytes = byteCount(*dtype, *shape);
  if (!bytes || *bytes != end - begin)
    return dataLoss(place + "dtype " + dtypeText.get<std::string>() + " and shape " +
                    toString(*shape) + " do not fit " + std::to_string(end - begin) + " bytes");
  return TensorView{name, *dtype, std::move(*shape),
                    data.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin))};
}

/// The ranges, in order, must meet end to begin from the first byte to the last.
Status checkCoverage(const std::vector<TensorView> &views, std::span<const std::byte> data) {
  std::vector<const TensorView *> order;
  for (const TensorView &view : views)
    order.push_back(&view);
  auto key = [](const TensorView *view) {
    return std::pair(view->bytes.data(), view->bytes.data() + view->bytes.size());
  };
  std::sort(order.begin(), order.end(),
            [&](const TensorView *a, const TensorView *b) { return key(a) < key(b); });
  const std::byte *position = data.data();
  for (const TensorView *view : order) {
    if (view->bytes.data() != position)
      return dataLoss("tensor '" + view->name + "' begins at byte " +
                      std::to_string(view->bytes.data() - data.data()) +
                      " of the data, but the tensor before it ends at byte " +
                      std::to_string(position - data.data()));
    position += view->bytes.size();
  }
  if (position != data.data() + data.size())
    return dataLoss("no tensor covers the data from byte " +
                    std::to_string(position - data.data()) + " to its end at byte " +
                    std::to_string(data.size()));
  return okStatus();
}

StatusOr<json> parseHeader(std::span<const std::byte> bytes) {
  if (bytes.size() < 8)
    return dataLoss("not a safetensors file: it has " + std::to_string(bytes.size()) +
                    " bytes, at least 8 are needed");
  uint64_t length;
  std::memcpy(&length, bytes.data(), sizeof(length));
  if (length > kMaxHeaderBytes || length > bytes.size() - 8)
    return dataLoss("not a safetensors file: the header's length is " + std::to_string(length) +
                    ", at most " + std::to_string(std::min(kMaxHeaderBytes, bytes.size() - 8)) +
                    " is possible");
  const char *text = reinterpret_cast<const char *>(bytes.data()) + 8;
  json header = json::parse(text, text + length, nullptr, /*allow_exceptions=*/false);
  if (!header.is_object())
    return dataLoss("not a safetensors file: the header is not a JSON object");
  return header;
}

} // namespace

int64_t elementCount(std::span<const int64_t> shape) {
  int64_t count = 1;
  for (int64_t dim : shape)
    count *= dim;
  return count;
}

std::string toString(std::span<const int64_t> shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i)
    text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

StatusOr<Safetensors> Safetensors::open(const std::filesystem::path &path) {
  TITAN_ASSIGN_OR_RETURN(MappedFile file, MappedFile::open(path));
  TITAN_ASSIGN_OR_RETURN(Safetensors result, parse(file.bytes(), path.string()));
  result.file = std::move(file);
  return result;
}

StatusOr<Safetensors> Safetensors::parse(std::span<const std::byte> bytes,
                                         const std::string &name) {
  auto header = parseHeader(bytes);
  if (!header.ok())
    return header.status().withContext(name);
  uint64_t length;
  std::memcpy(&length, bytes.data(), sizeof(length));
  const std::span<const std::byte> data = bytes.subspan(8 + static_cast<size_t>(length));

  Safetensors result;
  result.fileName = name;
  // nlohmann's objects are sorted by key, hence so are the views.
  for (const auto &[key, entry] : header->items()) {
    if (key == "__metadata__") {
      if (!entry.is_object())
        return dataLoss(name + ": __metadata__ is not an object");
      for (const auto &[metaKey, value] : entry.items()) {
        if (!value.is_string())
          return dataLoss(name + ": __metadata__." + metaKey + " is not a string");
        result.meta.emplace(metaKey, value.get<std::string>());
      }
      continue;
    }
    auto view = parseEntry(key, entry, data);
    if (!view.ok())
      return view.status().withContext(name);
    result.views.push_back(*std::move(view));
  }
  TITAN_RETURN_IF_ERROR(checkCoverage(result.views, data).withContext(name));
  return result;
}

const TensorView *Safetensors::find(std::string_view tensorName) const {
  auto found = std::lower_bound(
      views.begin(), views.end(), tensorName,
      [](const TensorView &view, std::string_view wanted) { return view.name < wanted; });
  return found != views.end() && found->name == tensorName ? &*found : nullptr;
}

StatusOr<const TensorView *> Safetensors::get(std::string_view tensorName, DType dtype,
                                              std::span<const int64_t> shape) const {
  const TensorView *view = find(tensorName);
  if (!view)
    return notFound(fileName + ": no tensor '" + std::string(tensorName) + "'");
  bool fits = view->dtype == dtype && view->shape.size() == shape.size();
  for (size_t i = 0; fits && i < shape.size(); ++i)
    fits = shape[i] < 0 || shape[i] == view->shape[i];
  if (!fits)
    return invalidArgument(fileName + ": tensor '" + view->name + "' is " +
                           std::string(toString(view->dtype)) + " " + toString(view->shape) +
                           ", expected " + std::string(toString(dtype)) + " " + toString(shape));
  return view;
}

Status writeSafetensors(const std::filesystem::path &path, std::span<const TensorView> tensors,
                        const std::map<std::string, std::string> &metadata) {
  std::vector<const TensorView *> order;
  for (const TensorView &tensor : tensors)
    order.push_back(&tensor);
  std::sort(order.begin(), order.end(),
            [](const TensorView *a, const TensorView *b) { return a->name < b->name; });

  json header = json::object();
  if (!metadata.empty())
    header["__metadata__"] = metadata;
  int64_t offset = 0;
  for (const TensorView *tensor : order) {
    const std::optional<int64_t> bytes = byteCount(tensor->dtype, tensor->shape);
    if (!bytes || static_cast<uint64_t>(*bytes) != tensor->bytes.size())
      return invalidArgument("tensor '" + tensor->name + "' of shape " + toString(tensor->shape) +
                             " has " + std::to_string(tensor->bytes.size()) + " bytes");
    if (header.contains(tensor->name))
      return invalidArgument("two tensors are named '" + tensor->name + "'");
    header[tensor->name] = {{"dtype", formatName(tensor->dtype)},
                            {"shape", tensor->shape},
                            {"data_offsets", {offset, offset + *bytes}}};
    offset += *bytes;
  }
  // Replacing bytes that are not UTF-8 keeps dump() from throwing. Spaces up to the next multiple
  // of 64 align the first tensor.
  std::string text = header.dump(-1, ' ', false, json::error_handler_t::replace);
  text.append((64 - (8 + text.size()) % 64) % 64, ' ');
  const uint64_t length = text.size();

  TITAN_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::create(path));
  TITAN_RETURN_IF_ERROR(file.append(std::as_bytes(std::span(&length, 1))));
  TITAN_RETURN_IF_ERROR(file.append(text));
  for (const TensorView *tensor : order)
    TITAN_RETURN_IF_ERROR(file.append(tensor->bytes));
  return file.commit();
}

} // namespace titan

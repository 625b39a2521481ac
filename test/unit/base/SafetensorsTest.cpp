#include "runtime/base/Safetensors.h"
#include "test/unit/TestFolder.h"

#include <cstring>
#include <memory>

using namespace titan;
using titan::test::TestFolder;

namespace {

/// A file's bytes from a header text and the size of its data.
std::string fileOf(const std::string &header, size_t dataBytes) {
  const uint64_t length = header.size();
  std::string bytes(reinterpret_cast<const char *>(&length), 8);
  return bytes + header + std::string(dataBytes, 'x');
}

Status parseStatus(const std::string &bytes) {
  // A heap copy of exact size lets AddressSanitizer see reads past the end.
  const auto copy = std::make_unique<std::byte[]>(bytes.size());
  std::memcpy(copy.get(), bytes.data(), bytes.size());
  return Safetensors::parse({copy.get(), bytes.size()}, "f").status();
}

std::string messageOf(const std::string &header, size_t dataBytes) {
  return parseStatus(fileOf(header, dataBytes)).message();
}

std::string smallFile(const TestFolder &folder) {
  const float values[6] = {1, 2, 3, 4, 5, 6};
  const int32_t scalar = 7;
  const std::vector<TensorView> tensors = {
      {"weight", DType::f32, {2, 3}, std::as_bytes(std::span(values))},
      {"a scalar", DType::i32, {}, std::as_bytes(std::span(&scalar, 1))},
      {"empty", DType::bf16, {4, 0}, {}}};
  const Status status = writeSafetensors(folder / "small", tensors, {{"made", "by a test"}});
  EXPECT_TRUE(status.ok()) << status.message();
  return *readFile(folder / "small");
}

} // namespace

TEST(Safetensors, RoundTrip) {
  TestFolder folder;
  smallFile(folder);
  auto file = Safetensors::open(folder / "small");
  ASSERT_TRUE(file.ok()) << file.status().message();
  ASSERT_EQ(file->tensors().size(), 3u);
  EXPECT_EQ(file->tensors()[0].name, "a scalar");
  EXPECT_EQ(file->metadata().at("made"), "by a test");
  auto weight = file->get("weight", DType::f32, std::vector<int64_t>{2, -1});
  ASSERT_TRUE(weight.ok()) << weight.status().message();
  float values[6];
  ASSERT_EQ((*weight)->bytes.size(), sizeof(values));
  std::memcpy(values, (*weight)->bytes.data(), sizeof(values));
  EXPECT_EQ(values[5], 6);
  EXPECT_TRUE(file->find("empty")->bytes.empty());
  EXPECT_EQ(file->find("missing"), nullptr);
}

TEST(Safetensors, GetNamesWhatDiffers) {
  TestFolder folder;
  smallFile(folder);
  auto file = Safetensors::open(folder / "small");
  ASSERT_TRUE(file.ok());
  const auto message = [&](const char *name, DType dtype, std::vector<int64_t> shape) {
    return file->get(name, dtype, shape).status().message();
  };
  const std::string place = (folder / "small").string() + ": ";
  EXPECT_EQ(message("w", DType::f32, {}), place + "no tensor 'w'");
  EXPECT_EQ(message("weight", DType::f32, {3, 2}),
            place + "tensor 'weight' is f32 [2, 3], expected f32 [3, 2]");
  EXPECT_EQ(message("weight", DType::i32, {2, 3}),
            place + "tensor 'weight' is f32 [2, 3], expected i32 [2, 3]");
  EXPECT_FALSE(file->get("weight", DType::f32, std::vector<int64_t>{6}).ok());
}

TEST(Safetensors, WriterRefusesNonsense) {
  TestFolder folder;
  const float value = 1;
  const auto bytes = std::as_bytes(std::span(&value, 1));
  const std::vector<TensorView> twice = {{"a", DType::f32, {1}, bytes},
                                         {"a", DType::f32, {}, bytes}};
  EXPECT_EQ(writeSafetensors(folder / "x", twice).message(), "two tensors are named 'a'");
  const std::vector<TensorView> wrong = {{"a", DType::f32, {2}, bytes}};
  EXPECT_EQ(writeSafetensors(folder / "x", wrong).message(), "tensor 'a' of shape [2] has 4 bytes");
  EXPECT_FALSE(std::filesystem::exists(folder / "x"));
}

TEST(Safetensors, EmptyFileOfTensors) { EXPECT_TRUE(parseStatus(fileOf("{}", 0)).ok()); }

TEST(Safetensors, RefusesBrokenHeaders) {
  EXPECT_EQ(parseStatus("short").message(),
            "f: not a safetensors file: it has 5 bytes, at least 8 are needed");
  EXPECT_EQ(messageOf("[1, 2]", 0), "f: not a safetensors file: the header is not a JSON object");
  EXPECT_EQ(messageOf("{\"a\": ", 0), "f: not a safetensors file: the header is not a JSON object");
  EXPECT_NE(parseStatus(std::string(8, '\xff')).message().find("header's length is 1844"),
            std::string::npos);
  EXPECT_EQ(messageOf(R"({"__metadata__": 3})", 0), "f: __metadata__ is not an object");
  EXPECT_EQ(messageOf(R"({"__metadata__": {"k": 3}})", 0), "f: __metadata__.k is not a string");
}

TEST(Safetensors, RefusesBrokenEntries) {
  const auto entry = [](const std::string &fields, size_t dataBytes) {
    return messageOf("{\"t\": {" + fields + "}}", dataBytes);
  };
  EXPECT_EQ(messageOf(R"({"t": 1})", 0),
            "f: tensor 't': the header entry must have exactly dtype, shape and data_offsets");
  EXPECT_NE(entry(R"("dtype": "F32", "shape": [1])", 4).find("must have exactly"),
            std::string::npos);
  EXPECT_NE(entry(R"("dtype": 3, "shape": [1], "data_offsets": [0, 4])", 4).find("dtype is not"),
            std::string::npos);
  EXPECT_NE(entry(R"("dtype": "U64", "shape": [1], "data_offsets": [0, 8])", 8)
                .find("unsupported dtype 'U64'"),
            std::string::npos);
  for (const char *shape : {"-1", "[-1]", "[1.5]", "[\"1\"]", "[18446744073709551615]", "{}"})
    EXPECT_NE(
        entry(std::string(R"("dtype": "F32", "shape": )") + shape + R"(, "data_offsets": [0, 4])",
              4)
            .find("shape is not a list"),
        std::string::npos)
        << shape;
  EXPECT_NE(entry(R"("dtype": "F32", "shape": [1], "data_offsets": [0])", 4).find("not a pair"),
            std::string::npos);
  EXPECT_EQ(entry(R"("dtype": "F32", "shape": [1], "data_offsets": [4, 0])", 4),
            "f: tensor 't': bytes 4 to 0 do not lie in the file's 4 bytes of data");
  EXPECT_EQ(entry(R"("dtype": "F32", "shape": [1], "data_offsets": [0, 5])", 4),
            "f: tensor 't': bytes 0 to 5 do not lie in the file's 4 bytes of data");
  EXPECT_EQ(entry(R"("dtype": "F32", "shape": [3], "data_offsets": [0, 4])", 4),
            "f: tensor 't': dtype F32 and shape [3] do not fit 4 bytes");
  // 2^62 elements of 4 bytes: the product overflows to 0.
  EXPECT_NE(entry(R"("dtype": "F32", "shape": [4611686018427387904], "data_offsets": [0, 0])", 0)
                .find("do not fit"),
            std::string::npos);
}

TEST(Safetensors, RefusesOverlapsAndHoles) {
  const auto pair = [](const char *first, const char *second, size_t dataBytes) {
    return messageOf(std::string(R"({"a": {"dtype": "U8", "shape": [4], "data_offsets": )") +
                         first + R"(}, "b": {"dtype": "U8", "shape": [4], "data_offsets": )" +
                         second + "}}",
                     dataBytes);
  };
  EXPECT_EQ(pair("[0, 4]", "[4, 8]", 8), "");
  EXPECT_EQ(pair("[0, 4]", "[2, 6]", 6),
            "f: tensor 'b' begins at byte 2 of the data, but the tensor before it ends at byte 4");
  EXPECT_EQ(pair("[0, 4]", "[5, 9]", 9),
            "f: tensor 'b' begins at byte 5 of the data, but the tensor before it ends at byte 4");
  EXPECT_EQ(pair("[0, 4]", "[4, 8]", 9),
            "f: no tensor covers the data from byte 8 to its end at byte 9");
}

/// Whatever the damage: a Status, or a file whose views all lie inside its bytes.
static void expectHarmless(const std::string &bytes) {
  const auto copy = std::make_unique<std::byte[]>(bytes.size());
  std::memcpy(copy.get(), bytes.data(), bytes.size());
  auto file = Safetensors::parse({copy.get(), bytes.size()}, "f");
  if (!file.ok())
    return;
  int sum = 0;
  for (const TensorView &view : file->tensors())
    for (std::byte byte : view.bytes)
      sum += static_cast<int>(byte);
  EXPECT_GE(sum, 0);
}

TEST(Safetensors, AnyFlippedByteIsHarmless) {
  TestFolder folder;
  const std::string original = smallFile(folder);
  const size_t headerEnd = original.size() - 28;
  for (size_t i = 0; i < headerEnd; ++i)
    for (int flip = 1; flip < 256; ++flip) {
      std::string damaged = original;
      damaged[i] = static_cast<char>(damaged[i] ^ flip);
      expectHarmless(damaged);
    }
}

TEST(Safetensors, AnyTruncationIsRefused) {
  TestFolder folder;
  const std::string original = smallFile(folder);
  for (size_t length = 0; length < original.size(); ++length)
    EXPECT_FALSE(parseStatus(original.substr(0, length)).ok()) << length;
}

TEST(Safetensors, DeepNestingIsHarmless) {
  const std::string deep(100000, '[');
  EXPECT_FALSE(messageOf(deep, 0).empty());
  EXPECT_FALSE(messageOf("{\"t\": " + deep + std::string(100000, ']') + "}", 0).empty());
}

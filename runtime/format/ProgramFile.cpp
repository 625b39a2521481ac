#include "runtime/format/ProgramFile.h"

#include "runtime/base/Hash.h"
#include "runtime/format/Serialize.h"
#include "runtime/format/Verify.h"

#include <cstring>

namespace titan::format {
namespace {

constexpr std::string_view kMagic = "\x89TBIN\r\n\x1a";
constexpr size_t kVersionAt = 8, kPrefixSizeAt = 12, kFileSizeAt = 16, kBufferSizeAt = 24,
                 kChecksumAt = 32, kReservedAt = 40;

template <typename T> T load(std::string_view bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof(T));
  return value;
}

template <typename T> void store(std::string &bytes, size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof(T));
}

uint64_t align(uint64_t offset) { return (offset + kAlignment - 1) / kAlignment * kAlignment; }

uint64_t checksum(std::string_view bytes) {
  Hasher hasher;
  hasher.update(bytes.substr(0, kChecksumAt));
  hasher.update(uint64_t{0});
  hasher.update(bytes.substr(kChecksumAt + 8));
  return hasher.digest();
}

/// Image ranges, and the size of the file at the end.
std::pair<std::vector<ImageRange>, uint64_t> placeImages(const Program &program,
                                                         uint64_t bufferSize) {
  std::vector<ImageRange> ranges;
  uint64_t end = kPrefixSize + bufferSize;
  for (const Image &image : program.images) {
    const uint64_t offset = align(end);
    ranges.push_back({offset, image.contents.size()});
    end = offset + image.contents.size();
  }
  return {std::move(ranges), end};
}

Status checkPrefix(std::string_view bytes) {
  if (bytes.size() < kPrefixSize)
    return dataLoss("a program file has at least " + std::to_string(kPrefixSize) +
                    " bytes, found " + std::to_string(bytes.size()));
  if (bytes.substr(0, kMagic.size()) != kMagic)
    return dataLoss("the first 8 bytes are not those of a program file (model.tbin)");
  if (const auto version = load<uint32_t>(bytes, kVersionAt); version != kFormatVersion)
    return dataLoss("format version " + std::to_string(version) + " is not " +
                    std::to_string(kFormatVersion) +
                    ", the one this build reads: compile the job again");
  if (const auto size = load<uint32_t>(bytes, kPrefixSizeAt); size != kPrefixSize)
    return dataLoss("prefix size is " + std::to_string(kPrefixSize) + ", found " +
                    std::to_string(size));
  if (const auto size = load<uint64_t>(bytes, kFileSizeAt); size != bytes.size())
    return dataLoss("the file was written with " + std::to_string(size) + " bytes, found " +
                    std::to_string(bytes.size()));
  if (const auto size = load<uint64_t>(bytes, kBufferSizeAt); size > bytes.size() - kPrefixSize)
    return dataLoss("the FlatBuffer's size " + std::to_string(size) + " exceeds the file of " +
                    std::to_string(bytes.size()) + " bytes");
  for (size_t i = kReservedAt; i < kPrefixSize; ++i)
    if (bytes[i] != 0)
      return dataLoss("byte " + std::to_string(i) + " of the prefix is reserved and 0, found " +
                      std::to_string(static_cast<uint8_t>(bytes[i])));
  if (load<uint64_t>(bytes, kChecksumAt) != checksum(bytes))
    return dataLoss("the checksum does not match: the file is damaged");
  return okStatus();
}

/// Images stand in order, where the writer puts them, and nothing else follows the FlatBuffer.
Status checkLayout(const Program &program, std::string_view bytes, uint64_t bufferSize) {
  const auto [ranges, end] = placeImages(program, bufferSize);
  for (size_t i = 0; i < ranges.size(); ++i)
    if (program.images[i].contents.data() != bytes.data() + ranges[i].offset)
      return dataLoss("image " + std::to_string(i) + " does not stand at its offset " +
                      std::to_string(ranges[i].offset));
  if (end != bytes.size())
    return dataLoss("the last section ends at byte " + std::to_string(end) + " of " +
                    std::to_string(bytes.size()));
  return okStatus();
}

} // namespace

void updateChecksum(std::string &bytes) { store(bytes, kChecksumAt, checksum(bytes)); }

std::string writeProgram(const Program &program) {
  // The size of the FlatBuffer decides where images stand, and the buffer holds those offsets; they
  // are stored at full width unless 0, so offsets that are not 0 give the final size.
  const std::vector<ImageRange> placeholder(program.images.size(), {1, 1});
  std::vector<ImageRange> ranges = placeholder;
  for (size_t i = 0; i < ranges.size(); ++i)
    ranges[i].size = program.images[i].contents.size();
  const uint64_t bufferSize = serialize(program, ranges).size();
  uint64_t fileSize = 0;
  std::tie(ranges, fileSize) = placeImages(program, bufferSize);
  const std::string buffer = serialize(program, ranges);

  std::string bytes(fileSize, '\0');
  std::memcpy(bytes.data(), kMagic.data(), kMagic.size());
  store(bytes, kVersionAt, kFormatVersion);
  store(bytes, kPrefixSizeAt, static_cast<uint32_t>(kPrefixSize));
  store(bytes, kFileSizeAt, fileSize);
  store(bytes, kBufferSizeAt, static_cast<uint64_t>(buffer.size()));
  std::memcpy(bytes.data() + kPrefixSize, buffer.data(), buffer.size());
  for (size_t i = 0; i < ranges.size(); ++i)
    if (const std::string_view contents = program.images[i].contents; !contents.empty())
      std::memcpy(bytes.data() + ranges[i].offset, contents.data(), contents.size());
  updateChecksum(bytes);
  return bytes;
}

Status saveProgram(const Program &program, const std::filesystem::path &path) {
  return writeFileAtomically(path, writeProgram(program));
}

StatusOr<Program> readProgram(std::string_view bytes) {
  TITAN_RETURN_IF_ERROR(checkPrefix(bytes));
  const auto bufferSize = load<uint64_t>(bytes, kBufferSizeAt);
  TITAN_ASSIGN_OR_RETURN(Program program,
                         deserialize(bytes.substr(kPrefixSize, bufferSize), bytes));
  TITAN_RETURN_IF_ERROR(checkLayout(program, bytes, bufferSize));
  TITAN_RETURN_IF_ERROR(verifyProgram(program));
  return program;
}

StatusOr<ProgramFile> ProgramFile::open(const std::filesystem::path &path) {
  TITAN_ASSIGN_OR_RETURN(MappedFile file, MappedFile::open(path));
  const std::string_view bytes(reinterpret_cast<const char *>(file.bytes().data()),
                               file.bytes().size());
  StatusOr<Program> program = readProgram(bytes);
  if (!program.ok())
    return program.status().withContext(path.string());
  return ProgramFile(std::move(file), *std::move(program));
}

} // namespace titan::format

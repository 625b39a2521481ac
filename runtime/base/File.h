// Files: memory maps, reading, and writing so that a reader sees the old file or the whole new one.
#pragma once

#include "runtime/base/Status.h"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace titan {

/// A file's contents, mapped read-only. Movable; unmaps when destroyed. If another process
/// truncates the file meanwhile, reading the lost pages is fatal, as for every memory map.
class MappedFile {
public:
  /// Fails when `path` does not exist, is not a regular file or cannot be read.
  static StatusOr<MappedFile> open(const std::filesystem::path &path);

  MappedFile() = default;
  MappedFile(MappedFile &&other) noexcept;
  MappedFile &operator=(MappedFile &&other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data, length}; }

private:
  const std::byte *data = nullptr;
  size_t length = 0;
};

/// The whole file as a string.
StatusOr<std::string> readFile(const std::filesystem::path &path);

/// Writes a file piece by piece under a temporary name beside `path`; commit() renames it into
/// place. Destroyed without commit(), it leaves nothing behind. Creates missing parent folders. A
/// device, pipe or socket at `path` is written to as it is.
class AtomicFile {
public:
  static StatusOr<AtomicFile> create(const std::filesystem::path &path);

  AtomicFile(AtomicFile &&other) noexcept;
  AtomicFile &operator=(AtomicFile &&other) = delete;
  ~AtomicFile();

  Status append(std::span<const std::byte> bytes);
  Status append(std::string_view text) { return append(std::as_bytes(std::span(text))); }
  /// Overwrites bytes already written, such as a prefix whose counts are known only at the end.
  Status overwrite(uint64_t offset, std::span<const std::byte> bytes);
  /// Flushes to the disk and renames. The object is then empty.
  Status commit();

private:
  AtomicFile(int descriptor, std::filesystem::path path, std::filesystem::path temporary)
      : descriptor(descriptor), path(std::move(path)), temporary(std::move(temporary)) {}

  int descriptor = -1;
  std::filesystem::path path;
  std::filesystem::path temporary;
};

Status writeFileAtomically(const std::filesystem::path &path, std::string_view text);

/// Renames a file, replacing one that has the new name, and returns when that is on the disk.
Status renameDurably(const std::filesystem::path &from, const std::filesystem::path &to);

/// "no such file or directory" and the like for an errno value.
std::string describeErrno(int number);

} // namespace titan

// The folder of a token file that is being built.
#pragma once

#include "runtime/base/FunctionRef.h"
#include "runtime/base/Hash.h"
#include "runtime/base/Logger.h"
#include "runtime/base/Status.h"
#include "runtime/data/Documents.h"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

namespace titan {

/// What is in the folder's files, and how far the inputs have been read for it.
struct BuildState {
  char magic[8] = {'T', 'I', 'T', 'A', 'N', 'B', 'L', 'D'};
  uint64_t inputsHash = 0;    ///< hashInputs()
  uint64_t tokenizerHash = 0; ///< Tokenizer::hash()
  uint64_t tokens = 0;
  uint64_t documents = 0;
  uint64_t file = 0;           ///< documents are read up to here: ReadPosition
  uint64_t fileDocuments = 0;  ///< ReadPosition
  uint64_t tokensChecksum = 0; ///< XXH64 of the tokens
  uint64_t checksum = 0;       ///< XXH64 of the bytes before it
};
static_assert(sizeof(BuildState) == 72);

/// A file that is appended to.
class AppendedFile {
public:
  /// Opens or creates it and cuts it to `bytes`.
  static StatusOr<AppendedFile> open(const std::filesystem::path &path, uint64_t bytes);
  AppendedFile() = default;
  AppendedFile(AppendedFile &&other) noexcept;
  AppendedFile &operator=(AppendedFile &&other) noexcept;
  ~AppendedFile();

  Status append(std::span<const std::byte> bytes);
  Status overwrite(uint64_t offset, std::span<const std::byte> bytes);
  /// Returns when all is on the disk.
  Status sync();
  const std::filesystem::path &path() const { return name; }

private:
  Status write(uint64_t offset, std::span<const std::byte> bytes);

  int descriptor = -1;
  uint64_t size = 0;
  std::filesystem::path name;
};

/// `tokens` is the beginning of the token file, prefix included; `offsets` has the end of each
/// document; `state` says how much of both counts. All three are as of one commit, whenever the
/// process or the machine stops: tokens and offsets reach the disk before the state that counts
/// them, and what they hold beyond it is cut off.
class BuildFolder {
public:
  /// Opens the folder of `output`, which no other process then has; waits for one that has it.
  static StatusOr<BuildFolder> open(const std::filesystem::path &output, Logger &logger);
  BuildFolder(BuildFolder &&other) noexcept;
  BuildFolder &operator=(BuildFolder &&other) = delete;
  ~BuildFolder();

  /// Whether the output may be complete already: this process has waited for another one, or a
  /// build was killed between moving the output to its place and removing the folder.
  bool mayBeDone() const;

  /// Continues what is there if it is of the inputs and the tokenizer of `wanted`, else begins with
  /// `wanted`, whose counts are 0. Sets `hasher` to the hash of the tokens that are there.
  StatusOr<BuildState> begin(const BuildState &wanted, uint64_t tokenBytes, Hasher &hasher);
  Status append(std::span<const std::byte> tokens, std::span<const uint64_t> offsets);
  Status commit(BuildState state);

  /// Completes the token file with padding, the offsets and the prefix, moves it to the
  /// output's place and removes the folder.
  Status finish(const std::filesystem::path &output, std::span<const std::byte> padding,
                Hasher &hasher, FunctionRef<std::span<const std::byte>()> prefix);
  /// Removes the folder with all that is in it.
  void remove();

private:
  BuildFolder(std::filesystem::path path, int lock) : path(std::move(path)), lock(lock) {}

  StatusOr<BuildState> readState(const BuildState &wanted, uint64_t tokenBytes, Hasher &hasher);

  std::filesystem::path path;
  int lock = -1;
  bool hasWaited = false;
  AppendedFile tokens;
  AppendedFile offsets;
};

} // namespace titan

#include "runtime/data/BuildFolder.h"

#include "runtime/base/File.h"
#include "runtime/data/TokenIndex.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace titan {
namespace {

namespace fs = std::filesystem;

Status fileError(const char *action, const fs::path &path, int number) {
  return invalidArgument(std::string("cannot ") + action + " '" + path.string() +
                         "': " + describeErrno(number));
}

std::span<const std::byte> withoutChecksum(const BuildState &state) {
  return std::as_bytes(std::span(&state, 1)).first(offsetof(BuildState, checksum));
}

/// Whether the lock file is still the one at its path: the process that had it may have removed it.
bool isCurrent(int lock, const fs::path &path) {
  struct stat opened, named;
  return ::fstat(lock, &opened) == 0 && ::stat(path.c_str(), &named) == 0 &&
         opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
}

} // namespace

//===----------------------------------------------------------------------===//
// Appended files
//===----------------------------------------------------------------------===//

StatusOr<AppendedFile> AppendedFile::open(const fs::path &path, uint64_t bytes) {
  AppendedFile file;
  file.name = path;
  file.descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (file.descriptor < 0)
    return fileError("create", path, errno);
  if (::ftruncate(file.descriptor, static_cast<off_t>(bytes)) != 0)
    return fileError("write", path, errno);
  file.size = bytes;
  return file;
}

AppendedFile::AppendedFile(AppendedFile &&other) noexcept
    : descriptor(std::exchange(other.descriptor, -1)), size(other.size),
      name(std::move(other.name)) {}

AppendedFile &AppendedFile::operator=(AppendedFile &&other) noexcept {
  std::swap(descriptor, other.descriptor);
  std::swap(size, other.size);
  std::swap(name, other.name);
  return *this;
}

AppendedFile::~AppendedFile() {
  if (descriptor >= 0)
    ::close(descriptor);
}

Status AppendedFile::write(uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written =
        ::pwrite(descriptor, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0)
      return fileError("write", name, errno);
    offset += static_cast<uint64_t>(written);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return okStatus();
}

Status AppendedFile::append(std::span<const std::byte> bytes) {
  TITAN_RETURN_IF_ERROR(write(size, bytes));
  size += bytes.size();
  return okStatus();
}

Status AppendedFile::overwrite(uint64_t offset, std::span<const std::byte> bytes) {
  return write(offset, bytes);
}

Status AppendedFile::sync() {
  return ::fsync(descriptor) == 0 ? okStatus() : fileError("write", name, errno);
}

//===----------------------------------------------------------------------===//
// The folder
//===----------------------------------------------------------------------===//

StatusOr<BuildFolder> BuildFolder::open(const fs::path &output, Logger &logger) {
  const fs::path path = output.string() + ".building", lockPath = path / "lock";
  for (bool hasWaited = false;;) {
    std::error_code error;
    fs::create_directories(path, error);
    if (error)
      return fileError("create folder", path, error.value());
    const int lock = ::open(lockPath.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (lock < 0 && errno == ENOENT)
      continue; // the folder was removed meanwhile
    if (lock < 0)
      return fileError("create", lockPath, errno);
    BuildFolder folder(path, lock);
    if (::flock(lock, LOCK_EX | LOCK_NB) != 0) {
      logger.info("another process builds {}; waiting for it", output.string());
      while (::flock(lock, LOCK_EX) != 0)
        if (errno != EINTR)
          return fileError("lock", lockPath, errno);
      hasWaited = true;
    }
    folder.hasWaited = hasWaited;
    if (isCurrent(lock, lockPath))
      return folder;
  }
}

BuildFolder::BuildFolder(BuildFolder &&other) noexcept
    : path(std::move(other.path)), lock(std::exchange(other.lock, -1)), hasWaited(other.hasWaited),
      tokens(std::move(other.tokens)), offsets(std::move(other.offsets)) {}

BuildFolder::~BuildFolder() {
  if (lock >= 0)
    ::close(lock);
}

void BuildFolder::remove() {
  std::error_code ignored;
  const fs::path lockPath = path / "lock";
  for (const auto &entry : fs::directory_iterator(path, ignored))
    if (entry.path() != lockPath)
      fs::remove(entry.path(), ignored);
  // The lock last: whoever waits for it must not find the rest. From then on the folder may be
  // another's, and is removed only if it is empty.
  fs::remove(lockPath, ignored);
  fs::remove(path, ignored);
}

bool BuildFolder::mayBeDone() const {
  std::error_code ignored;
  return hasWaited ||
         (fs::exists(path / "state", ignored) && !fs::exists(path / "tokens", ignored));
}

/// The state of the last commit, if the files have what it counts.
StatusOr<BuildState> BuildFolder::readState(const BuildState &wanted, uint64_t tokenBytes,
                                            Hasher &hasher) {
  TITAN_ASSIGN_OR_RETURN(const std::string bytes, readFile(path / "state"));
  BuildState state;
  if (bytes.size() != sizeof(state))
    return dataLoss("damaged state");
  std::memcpy(&state, bytes.data(), sizeof(state));
  if (std::memcmp(state.magic, wanted.magic, sizeof(state.magic)) != 0 ||
      state.checksum != hash64(withoutChecksum(state)))
    return dataLoss("damaged state");
  if (state.inputsHash != wanted.inputsHash || state.tokenizerHash != wanted.tokenizerHash)
    return invalidArgument("other inputs or another tokenizer");
  TITAN_ASSIGN_OR_RETURN(const MappedFile written, MappedFile::open(path / "tokens"));
  TITAN_ASSIGN_OR_RETURN(const MappedFile ends, MappedFile::open(path / "offsets"));
  const uint64_t bodyBytes = state.tokens * tokenBytes;
  if (written.bytes().size() < sizeof(TokenIndexPrefix) + bodyBytes ||
      ends.bytes().size() < 8 * state.documents)
    return dataLoss("files that are too short");
  hasher.update(written.bytes().subspan(sizeof(TokenIndexPrefix), bodyBytes));
  if (hasher.digest() != state.tokensChecksum)
    return dataLoss("damaged tokens");
  return state;
}

StatusOr<BuildState> BuildFolder::begin(const BuildState &wanted, uint64_t tokenBytes,
                                        Hasher &hasher) {
  hasher = Hasher();
  auto found = readState(wanted, tokenBytes, hasher);
  if (!found.ok())
    hasher = Hasher();
  const BuildState state = found.ok() ? *found : wanted;
  TITAN_ASSIGN_OR_RETURN(
      tokens,
      AppendedFile::open(path / "tokens", sizeof(TokenIndexPrefix) + state.tokens * tokenBytes));
  TITAN_ASSIGN_OR_RETURN(offsets, AppendedFile::open(path / "offsets", 8 * state.documents));
  return state;
}

Status BuildFolder::append(std::span<const std::byte> tokenBytes, std::span<const uint64_t> ends) {
  TITAN_RETURN_IF_ERROR(tokens.append(tokenBytes));
  return offsets.append(std::as_bytes(ends));
}

Status BuildFolder::commit(BuildState state) {
  TITAN_RETURN_IF_ERROR(tokens.sync());
  TITAN_RETURN_IF_ERROR(offsets.sync());
  state.checksum = hash64(withoutChecksum(state));
  const auto bytes = std::as_bytes(std::span(&state, 1));
  return writeFileAtomically(path / "state",
                             {reinterpret_cast<const char *>(bytes.data()), bytes.size()});
}

Status BuildFolder::finish(const fs::path &output, std::span<const std::byte> padding,
                           Hasher &hasher, FunctionRef<std::span<const std::byte>()> prefix) {
  const auto add = [&](std::span<const std::byte> bytes) {
    hasher.update(bytes);
    return tokens.append(bytes);
  };
  constexpr uint64_t kFirst = 0; // the first document's begin; the offsets file has ends
  TITAN_RETURN_IF_ERROR(add(padding));
  TITAN_RETURN_IF_ERROR(add(std::as_bytes(std::span(&kFirst, 1))));
  {
    TITAN_ASSIGN_OR_RETURN(const MappedFile ends, MappedFile::open(offsets.path()));
    TITAN_RETURN_IF_ERROR(add(ends.bytes()));
  }
  TITAN_RETURN_IF_ERROR(tokens.overwrite(0, prefix()));
  TITAN_RETURN_IF_ERROR(tokens.sync());
  TITAN_RETURN_IF_ERROR(renameDurably(tokens.path(), output));
  remove();
  return okStatus();
}

} // namespace titan

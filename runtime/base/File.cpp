#include "runtime/base/File.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace titan {
namespace {

Status fileError(const char *action, const std::filesystem::path &path, int number) {
  std::string message =
      std::string("cannot ") + action + " '" + path.string() + "': " + describeErrno(number);
  if (number == ENOENT)
    return notFound(std::move(message));
  return invalidArgument(std::move(message));
}

/// Calls write(2) or pwrite(2) until all bytes are out.
template <typename Write>
Status writeAll(const std::filesystem::path &path, std::span<const std::byte> bytes, Write write) {
  while (!bytes.empty()) {
    const ssize_t written = write(bytes);
    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0)
      return fileError("write", path, errno);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return okStatus();
}

/// A rename is durable once its folder is on the disk.
Status syncFolder(const std::filesystem::path &path) {
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0)
    return fileError("open folder", folder, errno);
  // Some file systems refuse to sync folders (EINVAL); the rename itself stands.
  const bool failed = ::fsync(descriptor) != 0 && errno != EINVAL;
  const int number = errno;
  ::close(descriptor);
  return failed ? fileError("sync folder", folder, number) : okStatus();
}

} // namespace

std::string describeErrno(int number) {
  std::string text = std::generic_category().message(number);
  if (!text.empty() && text[0] >= 'A' && text[0] <= 'Z')
    text[0] = static_cast<char>(text[0] - 'A' + 'a');
  return text;
}

StatusOr<MappedFile> MappedFile::open(const std::filesystem::path &path) {
  // O_NONBLOCK: opening a FIFO must not wait for a writer.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0)
    return fileError("open", path, errno);
  struct stat info;
  if (::fstat(descriptor, &info) != 0) {
    const int number = errno;
    ::close(descriptor);
    return fileError("read", path, number);
  }
  if (!S_ISREG(info.st_mode)) {
    ::close(descriptor);
    return invalidArgument("cannot read '" + path.string() + "': not a regular file");
  }
  MappedFile file;
  if (info.st_size > 0) {
    const size_t length = static_cast<size_t>(info.st_size);
    void *data = ::mmap(nullptr, length, PROT_READ, MAP_PRIVATE, descriptor, 0);
    const int number = errno;
    if (data == MAP_FAILED) {
      ::close(descriptor);
      return fileError("map", path, number);
    }
    file.data = static_cast<const std::byte *>(data);
    file.length = length;
  }
  ::close(descriptor);
  return file;
}

MappedFile::MappedFile(MappedFile &&other) noexcept
    : data(std::exchange(other.data, nullptr)), length(std::exchange(other.length, 0)) {}

MappedFile &MappedFile::operator=(MappedFile &&other) noexcept {
  std::swap(data, other.data);
  std::swap(length, other.length);
  return *this;
}

MappedFile::~MappedFile() {
  if (data)
    ::munmap(const_cast<std::byte *>(data), length);
}

StatusOr<std::string> readFile(const std::filesystem::path &path) {
  TITAN_ASSIGN_OR_RETURN(MappedFile file, MappedFile::open(path));
  return std::string(reinterpret_cast<const char *>(file.bytes().data()), file.bytes().size());
}

StatusOr<AtomicFile> AtomicFile::create(const std::filesystem::path &path) {
  std::error_code error;
  const std::filesystem::file_status found = std::filesystem::status(path, error);
  // A rename would put a file where a device such as /dev/null was.
  if (!error && std::filesystem::is_other(found)) {
    const int descriptor = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (descriptor < 0)
      return fileError("open", path, errno);
    return AtomicFile(descriptor, path, {});
  }
  if (path.has_parent_path()) {
    std::filesystem::create_directories(path.parent_path(), error);
    if (error)
      return fileError("create folder", path.parent_path(), error.value());
  }
  std::string temporary = path.string() + ".tmp.XXXXXX";
  const int descriptor = ::mkostemp(temporary.data(), O_CLOEXEC);
  if (descriptor < 0)
    return fileError("create", path, errno);
  // mkostemp makes it private; give it the mode that open(2) would have.
  const mode_t mask = ::umask(0);
  ::umask(mask);
  if (::fchmod(descriptor, 0666 & ~mask) != 0) {
    const int number = errno;
    ::close(descriptor);
    ::unlink(temporary.c_str());
    return fileError("create", path, number);
  }
  return AtomicFile(descriptor, path, temporary);
}

AtomicFile::AtomicFile(AtomicFile &&other) noexcept
    : descriptor(std::exchange(other.descriptor, -1)), path(std::move(other.path)),
      temporary(std::move(other.temporary)) {}

AtomicFile::~AtomicFile() {
  if (descriptor < 0)
    return;
  ::close(descriptor);
  if (!temporary.empty())
    ::unlink(temporary.c_str());
}

Status AtomicFile::append(std::span<const std::byte> bytes) {
  return writeAll(path, bytes, [&](std::span<const std::byte> rest) {
    return ::write(descriptor, rest.data(), rest.size());
  });
}

Status AtomicFile::overwrite(uint64_t offset, std::span<const std::byte> bytes) {
  const std::byte *begin = bytes.data();
  return writeAll(path, bytes, [&](std::span<const std::byte> rest) {
    const off_t position = static_cast<off_t>(offset) + (rest.data() - begin);
    return ::pwrite(descriptor, rest.data(), rest.size(), position);
  });
}

Status AtomicFile::commit() {
  if (temporary.empty()) {
    const int descriptorToClose = std::exchange(descriptor, -1);
    return ::close(descriptorToClose) == 0 ? okStatus() : fileError("write", path, errno);
  }
  if (::fsync(descriptor) != 0)
    return fileError("write", temporary, errno);
  if (::rename(temporary.c_str(), path.c_str()) != 0)
    return fileError("write", path, errno);
  ::close(std::exchange(descriptor, -1));
  return syncFolder(path);
}

Status renameDurably(const std::filesystem::path &from, const std::filesystem::path &to) {
  if (::rename(from.c_str(), to.c_str()) != 0)
    return fileError("write", to, errno);
  return syncFolder(to);
}

Status writeFileAtomically(const std::filesystem::path &path, std::string_view text) {
  TITAN_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::create(path));
  TITAN_RETURN_IF_ERROR(file.append(text));
  return file.commit();
}

} // namespace titan

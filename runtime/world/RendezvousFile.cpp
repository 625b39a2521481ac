#include "runtime/world/RendezvousFile.h"

#include "runtime/base/File.h"

#include <spdlog/fmt/fmt.h>

#include <cerrno>
#include <charconv>
#include <sys/stat.h>
#include <unistd.h>

namespace titan::control {

/// Others must not be able to put a file of theirs in the place of ours.
static Status checkFolder(const std::filesystem::path &folder) {
  struct stat found{};
  if (lstat(folder.c_str(), &found) != 0)
    return unavailable(fmt::format("{}: {}", folder.string(), describeErrno(errno)));
  if (!S_ISDIR(found.st_mode) || found.st_uid != geteuid() || (found.st_mode & 077) != 0)
    return unavailable(fmt::format(
        "{}: must be a folder that only user {} can enter, since the ranks of a job meet there; "
        "remove it, or set TMPDIR or TITAN_RENDEZVOUS",
        folder.string(), geteuid()));
  return okStatus();
}

Status publishPort(const std::filesystem::path &file, uint16_t port) {
  const std::filesystem::path folder = file.parent_path();
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)
    return unavailable(fmt::format("cannot create {}: {}", folder.string(), describeErrno(errno)));
  TITAN_RETURN_IF_ERROR(checkFolder(folder));
  return writeFileAtomically(file, fmt::format("{}\n", port));
}

StatusOr<uint16_t> readPublishedPort(const std::filesystem::path &file) {
  std::error_code error;
  if (!std::filesystem::exists(file, error))
    return notFound(fmt::format("{} does not exist yet", file.string()));
  TITAN_RETURN_IF_ERROR(checkFolder(file.parent_path()));
  TITAN_ASSIGN_OR_RETURN(std::string text, readFile(file));
  uint16_t port = 0;
  auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (failure != std::errc() || port == 0 || std::string_view(end) != "\n")
    return dataLoss(fmt::format("{} holds no port", file.string()));
  return port;
}

} // namespace titan::control

#include "runtime/base/DynamicLibrary.h"

#include "runtime/base/File.h"

#include <cerrno>
#include <dlfcn.h>
#include <filesystem>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>

namespace titan {

StatusOr<DynamicLibrary> DynamicLibrary::open(const std::string &name) {
  return open(name, RTLD_NODELETE);
}

StatusOr<DynamicLibrary> DynamicLibrary::open(const std::string &name, int flags) {
  void *handle = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL | flags);
  if (!handle) {
    const char *reason = ::dlerror();
    return unavailable("cannot load library '" + name +
                       "': " + (reason ? reason : "unknown reason"));
  }
  return DynamicLibrary(handle, name);
}

/// Where a plugin lies; its name alone if not beside the executable.
static std::string findPlugin(const std::string &name) {
  std::error_code error;
  const std::filesystem::path executable = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::filesystem::path beside = executable.parent_path().parent_path() / "lib" / name;
  return !error && std::filesystem::exists(beside, error) ? beside.string() : name;
}

StatusOr<DynamicLibrary> DynamicLibrary::openPlugin(const PluginDescription &plugin,
                                                    const std::string &path) {
  auto library = open(path.empty() ? findPlugin(plugin.name) : path);
  if (!library.ok())
    return Status(library.status().code(), library.status().message() + plugin.advice);
  TITAN_ASSIGN_OR_RETURN(const auto version, library->function<int()>(plugin.versionSymbol));
  if (const int found = version(); found != plugin.version)
    return unavailable(std::string(plugin.name) +
                       " is of another version of Titan: its interface is " +
                       std::to_string(found) + ", this program's " +
                       std::to_string(plugin.version) + "; build both together");
  return library;
}

StatusOr<DynamicLibrary> DynamicLibrary::openImage(std::span<const std::byte> image,
                                                   const std::string &name) {
  const int descriptor = ::memfd_create(name.substr(0, 200).c_str(), MFD_CLOEXEC);
  if (descriptor < 0)
    return internalError("cannot create a memory file for '" + name + "': " + describeErrno(errno));
  while (!image.empty()) {
    const ssize_t written = ::write(descriptor, image.data(), image.size());
    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0) {
      const int number = errno;
      ::close(descriptor);
      return internalError("cannot write the image of '" + name + "': " + describeErrno(number));
    }
    image = image.subspan(static_cast<size_t>(written));
  }
  auto library = open("/proc/self/fd/" + std::to_string(descriptor), 0);
  ::close(descriptor); // the loader has its own mapping
  if (!library.ok())
    return library.status().withContext("image '" + name + "'");
  library->name = name;
  return library;
}

DynamicLibrary::DynamicLibrary(DynamicLibrary &&other) noexcept
    : handle(std::exchange(other.handle, nullptr)), name(std::move(other.name)) {}

DynamicLibrary &DynamicLibrary::operator=(DynamicLibrary &&other) noexcept {
  std::swap(handle, other.handle);
  std::swap(name, other.name);
  return *this;
}

DynamicLibrary::~DynamicLibrary() {
  if (handle)
    ::dlclose(handle);
}

StatusOr<void *> DynamicLibrary::symbol(const std::string &symbolName) const {
  void *address = ::dlsym(handle, symbolName.c_str());
  if (!address)
    return unavailable("library '" + name + "' has no symbol '" + symbolName + "'");
  return address;
}

} // namespace titan

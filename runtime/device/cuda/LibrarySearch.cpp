#include "runtime/device/cuda/LibrarySearch.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

namespace titan::cuda {
namespace {

namespace fs = std::filesystem;

/// What lies in a folder, sorted; nothing if it cannot be read.
std::vector<fs::path> listFolder(const fs::path &folder) {
  std::vector<fs::path> entries;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    entries.push_back(it->path());
  std::sort(entries.begin(), entries.end());
  return entries;
}

/// ROOT/lib/python*/{site,dist}-packages/nvidia/{component,cu13,cu12}/lib
void addPipFolders(const fs::path &root, const std::string &component,
                   std::vector<std::string> &folders) {
  for (const fs::path &python : listFolder(root / "lib")) {
    if (!python.filename().string().starts_with("python"))
      continue;
    for (const char *packages : {"site-packages", "dist-packages"})
      for (const std::string &part : {component, std::string("cu13"), std::string("cu12")}) {
        const fs::path folder = python / packages / "nvidia" / part / "lib";
        std::error_code error;
        if (fs::is_directory(folder, error))
          folders.push_back(folder.string());
      }
  }
}

} // namespace

std::vector<std::string> cudaLibraryFolders(const std::string &component,
                                            std::span<const std::string> roots) {
  std::vector<std::string> folders;
  for (const char *variable : {"CUDA_HOME", "CUDA_PATH"})
    if (const char *value = std::getenv(variable))
      folders.push_back(std::string(value) + "/lib64");
  folders.push_back("/usr/local/cuda/lib64");
  if (const char *environment = std::getenv("VIRTUAL_ENV"))
    addPipFolders(environment, component, folders);
  for (const std::string &root : roots)
    addPipFolders(root, component, folders);
  return folders;
}

StatusOr<DynamicLibrary> openCudaLibrary(std::span<const std::string> names,
                                         const std::string &component) {
  std::string tried;
  auto attempt = [&](const std::string &name) {
    auto library = DynamicLibrary::open(name);
    if (!library.ok())
      tried += (tried.empty() ? "" : "; ") + library.status().message();
    return library;
  };
  for (const std::string &name : names)
    if (auto library = attempt(name); library.ok())
      return library;
  std::vector<std::string> roots = {"/usr", "/usr/local"};
  if (const char *home = std::getenv("HOME"))
    roots.push_back(std::string(home) + "/.local");
  const std::vector<std::string> folders = cudaLibraryFolders(component, roots);
  for (const std::string &folder : folders)
    for (const std::string &name : names) {
      const std::string path = folder + "/" + name;
      std::error_code error;
      if (!fs::exists(path, error))
        continue;
      if (auto library = attempt(path); library.ok())
        return library;
    }
  std::string message = "tried " + tried;
  for (const std::string &folder : folders)
    message += (&folder == &folders.front() ? "; looked in " : ", ") + folder;
  return unavailable(message + "; install it, with a CUDA toolkit or as pip's nvidia-" + component +
                     "-cu12 or -cu13, or name its folder in LD_LIBRARY_PATH");
}

std::string libraryVersion(size_t version) {
  return std::to_string(version / 10000) + "." + std::to_string(version % 10000 / 100) + "." +
         std::to_string(version % 100);
}

Status checkLibraryVersion(const std::string &library, size_t version, size_t oldest) {
  if (version >= oldest)
    return okStatus();
  return unavailable(library + " is of version " + libraryVersion(version) + "; needed is " +
                     libraryVersion(oldest) + " or newer");
}

} // namespace titan::cuda

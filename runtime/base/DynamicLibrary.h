// Shared libraries loaded at run time: plugins, and kernel images that lie in a program file.
#pragma once

#include "runtime/base/Status.h"

#include <cstddef>
#include <span>
#include <string>

namespace titan {

/// What a program knows of a plugin of Titan.
struct PluginDescription {
  const char *name;          ///< of the file
  const char *versionSymbol; ///< a function that returns the plugin's interface version
  int version;               ///< of the program's side
  const char *advice;        ///< for messages: what the plugin is for, and how to get it
};

/// An open shared library. One that is opened by name stays in memory until the process ends, for
/// those of MPI and of GPUs have threads and exit handlers; an image goes with this object, and its
/// symbols must not outlive it.
class DynamicLibrary {
public:
  /// `name` is a path, or a file name that the system's loader searches for.
  static StatusOr<DynamicLibrary> open(const std::string &name);
  /// A plugin of Titan: `path`, or if that is empty by its name in ../lib beside the executable's
  /// folder, else where the system's loader looks. Fails (unavailable) if it is missing or of
  /// another version.
  static StatusOr<DynamicLibrary> openPlugin(const PluginDescription &plugin,
                                             const std::string &path = "");
  /// Loads an ELF shared object from memory. `name` only serves messages and debuggers. The bytes
  /// are copied by the kernel and may go away afterwards.
  static StatusOr<DynamicLibrary> openImage(std::span<const std::byte> image,
                                            const std::string &name);

  /// None.
  DynamicLibrary() = default;
  DynamicLibrary(DynamicLibrary &&other) noexcept;
  DynamicLibrary &operator=(DynamicLibrary &&other) noexcept;
  ~DynamicLibrary();

  StatusOr<void *> symbol(const std::string &symbolName) const;
  template <typename Function> StatusOr<Function *> function(const std::string &symbolName) const {
    TITAN_ASSIGN_OR_RETURN(void *address, symbol(symbolName));
    return reinterpret_cast<Function *>(address);
  }

private:
  static StatusOr<DynamicLibrary> open(const std::string &name, int flags);

  DynamicLibrary(void *handle, std::string name) : handle(handle), name(std::move(name)) {}

  void *handle = nullptr;
  std::string name;
};

} // namespace titan

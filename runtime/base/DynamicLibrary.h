// Shared libraries loaded at run time: plugins, and kernel images that lie in a program file.
#pragma once

#include "runtime/base/Status.h"

#include <cstddef>
#include <span>
#include <string>

namespace titan {

/// An open shared library; closed when destroyed, so its symbols must not outlive it.
class DynamicLibrary {
public:
  /// `name` is a path, or a file name that the system's loader searches for.
  static StatusOr<DynamicLibrary> open(const std::string &name);
  /// A plugin of Titan by its file name: in ../lib beside the executable's folder, else where the
  /// system's loader looks.
  static StatusOr<DynamicLibrary> openPlugin(const std::string &name);
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
  DynamicLibrary(void *handle, std::string name) : handle(handle), name(std::move(name)) {}

  void *handle = nullptr;
  std::string name;
};

} // namespace titan

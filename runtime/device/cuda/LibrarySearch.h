// Finds NVIDIA's libraries where people have them.
#pragma once

#include "runtime/base/DynamicLibrary.h"

#include <span>
#include <string>
#include <vector>

namespace titan::cuda {

/// Folders that may hold NVIDIA's libraries, in order: lib64 of $CUDA_HOME, $CUDA_PATH and
/// /usr/local/cuda; then of pip's packages, in $VIRTUAL_ENV and in the Pythons of `roots`.
/// `component` is pip's folder, such as "cublas".
std::vector<std::string> cudaLibraryFolders(const std::string &component,
                                            std::span<const std::string> roots);

/// Opens the first of `names` that the system's loader finds, or that lies in one of those folders.
/// The error lists what was tried.
StatusOr<DynamicLibrary> openCudaLibrary(std::span<const std::string> names,
                                         const std::string &component);

/// A version as cuBLASLt, cuDNN and NCCL count: 120103 is 12.1.3.
std::string libraryVersion(size_t version);

/// Fails (unavailable) where a library's version is below the oldest that does.
Status checkLibraryVersion(const std::string &library, size_t version, size_t oldest);

} // namespace titan::cuda

// Kernels to PTX, and to machine code where ptxas is there.
#pragma once

#include "compiler/lowering/GpuKernelEmitter.h"
#include "compiler/target/KernelSource.h"

#include "llvm/Support/Error.h"

#include <optional>
#include <string>
#include <vector>

namespace titan {

/// An architecture that kernels can be for.
struct CudaArchitecture {
  llvm::StringRef name;       ///< "sm_90"
  llvm::StringRef ptxVersion; ///< the oldest that does: "ptx81"
};

llvm::ArrayRef<CudaArchitecture> cudaArchitectures();
/// Null if there is none of this name.
const CudaArchitecture *findCudaArchitecture(llvm::StringRef name);

struct CudaImage {
  std::string ptx;
  std::vector<std::vector<GpuStage>> kernels; ///< per source its stages, in order
};

/// The same kernels and architecture give the same text. Needs nothing of a CUDA toolkit. Loads the
/// dialects that it needs into the kernels' context, so that no pass may run meanwhile. Fails with
/// an error at a kernel, or at the unknown location for the tools' own failures.
llvm::FailureOr<CudaImage> compileForCuda(llvm::ArrayRef<KernelSource> sources,
                                          const CudaArchitecture &architecture);

/// The path of ptxas: of $CUDA_HOME/bin, $CUDA_PATH/bin, PATH or /usr/local/cuda/bin.
std::optional<std::string> findPtxas();

/// What ptxas makes of the text: an ELF image for the one architecture. `log`, if any, gets its
/// verbose output. Fails with what it says.
llvm::Expected<std::vector<char>> assemblePtx(llvm::StringRef ptxas, llvm::StringRef ptx,
                                              const CudaArchitecture &architecture,
                                              std::string *log = nullptr);

} // namespace titan

// Kernels to x86-64 machine code: a shared object in memory.
#pragma once

#include "compiler/target/KernelSource.h"

#include <string>
#include <vector>

namespace titan {

struct CpuTargetOptions {
  /// "x86-64-v2", "x86-64-v3" (AVX2), "x86-64-v4" (AVX-512), or "host": the highest of these that
  /// this machine supports.
  std::string cpu = "host";
  /// The linker; empty: ld.lld-22 or ld.lld from PATH or from LLVM's own folder.
  std::string linker;
};

struct StageInfo {
  std::string symbol;
  int64_t blocks;
};

struct CpuImage {
  /// An ELF shared object without undefined symbols. The same kernels and options give the same
  /// bytes.
  std::vector<char> elf;
  std::vector<std::vector<StageInfo>> kernels; ///< per source its stages, in order
  /// What the machine must have, as /proc/cpuinfo names it, comma-separated: "avx2,bmi1,...".
  std::string features;
};

/// Loads the dialects that it needs into the kernels' context, so that no pass may run meanwhile.
/// Fails with an error at a kernel, or at the unknown location for the tools' own failures.
llvm::FailureOr<CpuImage> compileForCpu(llvm::ArrayRef<KernelSource> sources,
                                        const CpuTargetOptions &options);

} // namespace titan

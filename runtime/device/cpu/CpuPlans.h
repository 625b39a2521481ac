// Prepared instructions on the CPU.
#pragma once

#include "runtime/abi/KernelAbi.h"
#include "runtime/base/DynamicLibrary.h"
#include "runtime/device/Device.h"

#include <vector>

namespace titan::cpu {

class ThreadPool;

/// A plan that the calling thread runs, with the pool's help.
class CpuPlan : public Plan {
public:
  /// Allocates nothing.
  virtual Status run() = 0;
};

struct LoadedStage {
  TitanKernelStage *function;
  int64_t blocks;
};

/// The stages of each kernel of a program, and the libraries that hold them.
class CpuKernelTable final : public KernelTable {
public:
  std::vector<DynamicLibrary> libraries;
  std::vector<std::vector<LoadedStage>> kernels;
};

StatusOr<std::unique_ptr<Plan>> prepareLaunch(ThreadPool &pool, const format::Launch &op,
                                              std::span<const Operand> operands,
                                              const CpuKernelTable &kernels);
StatusOr<std::unique_ptr<Plan>> prepareLibraryOp(ThreadPool &pool,
                                                 const format::Instruction &instruction,
                                                 std::span<const Operand> operands);
/// Fill, copy and check_finite.
StatusOr<std::unique_ptr<Plan>> prepareMemoryOp(ThreadPool &pool,
                                                const format::Instruction &instruction,
                                                std::span<const Operand> operands);

} // namespace titan::cpu

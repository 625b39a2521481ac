// Runs functions of the titan dialect as machine code, or in their GPU form by emulation: forms
// kernels, compiles, loads and calls them. What a test checks against is its own.
#pragma once

#include "compiler/lowering/GpuKernelEmitter.h"
#include "compiler/target/CpuTarget.h"
#include "passes/kernels/KernelAnalysis.h"

#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"

#include <memory>
#include <string>
#include <vector>

namespace titan::testing {

/// A shared object loaded from memory.
class LoadedImage {
public:
  explicit LoadedImage(const std::vector<char> &elf);
  ~LoadedImage();
  LoadedImage(const LoadedImage &) = delete;
  LoadedImage &operator=(const LoadedImage &) = delete;

  /// The function of a stage, null if the image lacks it.
  void *lookup(const std::string &symbol) const;
  const std::string &error() const { return message; }

private:
  void *handle = nullptr;
  std::string message;
};

struct RunOptions {
  bool tie = false;         ///< results take over what memory they may
  bool splitBlocks = false; ///< one call per block, last block first
  std::string cpu = "host";
  bool gpu = false; ///< emulates the GPU form
};

/// One function, ready to run. Tensors are lists of doubles in row-major order.
class KernelRunner {
public:
  /// `source` is the text of a module with one function, of fusible and composite ops only.
  explicit KernelRunner(const std::string &source, const RunOptions &options = {});
  ~KernelRunner();

  bool ok() const { return isReady; }
  size_t countKernels() const { return sources.size(); }
  const std::vector<KernelPlan> &plans() const { return kernelPlans; }
  const CpuImage &image() const { return cpuImage; }
  /// The first error of compiling, or what the emulation of a GPU found wrong; empty if nothing.
  const std::string &failure() const { return firstFailure; }

  /// The function's results. Memory that a kernel must write holds NaN before.
  std::vector<std::vector<double>> run(const std::vector<std::vector<double>> &arguments);

  /// The only kernel's operands and results as places in the list of the function's arguments and
  /// results.
  std::vector<unsigned> places();

  /// Calls the only kernel on buffers of the caller: operands, results, scratch.
  void call(void *const *buffers);

private:
  using Bytes = std::vector<char>;
  bool compileCpu();
  bool compileGpu();
  void launch(size_t kernel, const std::vector<void *> &buffers);
  void launchGpu(size_t kernel, const std::vector<void *> &buffers);

  std::unique_ptr<mlir::MLIRContext> context;
  mlir::OwningOpRef<mlir::ModuleOp> module;
  RunOptions options;
  std::vector<KernelSource> sources;
  std::vector<KernelPlan> kernelPlans;
  CpuImage cpuImage;
  mlir::OwningOpRef<mlir::ModuleOp> gpuModule;
  std::vector<std::vector<GpuStage>> gpuKernels;
  std::string firstFailure;
  std::unique_ptr<LoadedImage> loaded;
  bool isReady = false;
};

} // namespace titan::testing

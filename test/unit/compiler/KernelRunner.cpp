#include "test/unit/compiler/KernelRunner.h"

#include "passes/Passes.h"
#include "runtime/abi/KernelAbi.h"
#include "runtime/base/DType.h"
#include "test/unit/compiler/GpuEmulator.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"

#include <cmath>
#include <cstring>
#include <limits>

#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

using namespace mlir;

namespace titan::testing {

LoadedImage::LoadedImage(const std::vector<char> &elf) {
  const int descriptor = memfd_create("kernels", MFD_CLOEXEC);
  if (::write(descriptor, elf.data(), elf.size()) != static_cast<ssize_t>(elf.size())) {
    message = "could not write the image";
  } else {
    const std::string path = "/proc/self/fd/" + std::to_string(descriptor);
    handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!handle)
      message = dlerror();
  }
  ::close(descriptor);
}

LoadedImage::~LoadedImage() {
  if (handle)
    dlclose(handle);
}

void *LoadedImage::lookup(const std::string &symbol) const {
  return handle ? dlsym(handle, symbol.c_str()) : nullptr;
}

// Elements in memory from and to doubles; only the types that kernels store.
static std::vector<char> encode(Type type, const std::vector<double> &values) {
  Type element = cast<RankedTensorType>(type).getElementType();
  std::vector<char> bytes;
  auto append = [&](auto value) {
    const char *begin = reinterpret_cast<const char *>(&value);
    bytes.insert(bytes.end(), begin, begin + sizeof(value));
  };
  for (double value : values) {
    if (element.isF32())
      append(static_cast<float>(value));
    else if (element.isBF16())
      append(toBFloat16(static_cast<float>(value)));
    else if (element.isF16())
      append(static_cast<_Float16>(value));
    else
      append(static_cast<int32_t>(value));
  }
  return bytes;
}

static std::vector<double> decode(Type type, const std::vector<char> &bytes) {
  auto tensor = cast<RankedTensorType>(type);
  Type element = tensor.getElementType();
  std::vector<double> values(tensor.getNumElements());
  for (size_t index = 0; index < values.size(); ++index) {
    auto load = [&](auto value) {
      std::memcpy(&value, bytes.data() + index * sizeof(value), sizeof(value));
      return value;
    };
    if (element.isF32())
      values[index] = load(float());
    else if (element.isBF16())
      values[index] = fromBFloat16(load(uint16_t()));
    else if (element.isF16())
      values[index] = static_cast<double>(load(_Float16()));
    else
      values[index] = load(int32_t());
  }
  return values;
}

// Any operand that may be reused must do; this takes the last.
static KernelTies tieAll(const KernelPlan &plan) {
  KernelTies ties;
  llvm::SmallVector<unsigned> taken;
  for (const auto &candidates : plan.reusable) {
    ties.emplace_back();
    for (unsigned operand : candidates)
      if (!llvm::is_contained(taken, operand))
        ties.back() = operand;
    if (ties.back())
      taken.push_back(*ties.back());
  }
  return ties;
}

KernelRunner::KernelRunner(const std::string &source, const RunOptions &options)
    : context(std::make_unique<MLIRContext>()), options(options) {
  context->getDiagEngine().registerHandler([this](Diagnostic &diagnostic) {
    if (firstFailure.empty())
      firstFailure = diagnostic.str();
    return mlir::failure(); // and prints it as ever
  });
  context->loadDialect<TitanDialect, func::FuncDialect>();
  module = parseSourceString<ModuleOp>(source, context.get());
  if (!module)
    return;
  PassManager passes(context.get());
  passes.addNestedPass<func::FuncOp>(createFormKernels());
  if (failed(passes.run(*module)))
    return;
  bool planned = true;
  module->walk<WalkOrder::PreOrder>([&](KernelOp kernel) {
    auto plan = analyzeKernel(kernel, options.gpu ? ScheduleOptions::forGpu() : ScheduleOptions());
    planned &= succeeded(plan);
    if (!planned)
      return WalkResult::interrupt();
    sources.push_back({kernel, options.tie ? tieAll(*plan) : KernelTies(),
                       "kernel" + std::to_string(sources.size())});
    kernelPlans.push_back(*plan);
    return WalkResult::skip(); // a batch's kernels are parts of it
  });
  isReady = planned && (options.gpu ? compileGpu() : compileCpu());
}

bool KernelRunner::compileCpu() {
  CpuTargetOptions target;
  target.cpu = options.cpu;
  auto compiled = compileForCpu(sources, target);
  if (failed(compiled))
    return false;
  cpuImage = std::move(*compiled);
  loaded = std::make_unique<LoadedImage>(cpuImage.elf);
  return loaded->error().empty();
}

bool KernelRunner::compileGpu() {
  context->loadDialect<arith::ArithDialect, gpu::GPUDialect, LLVM::LLVMDialect, math::MathDialect,
                       memref::MemRefDialect, NVVM::NVVMDialect, scf::SCFDialect,
                       vector::VectorDialect>();
  OpBuilder builder(context.get());
  gpuModule = ModuleOp::create(builder.getUnknownLoc());
  builder.setInsertionPointToEnd(gpuModule->getBody());
  auto kernels = gpu::GPUModuleOp::create(builder, builder.getUnknownLoc(), "kernels");
  for (const KernelSource &source : sources) {
    auto stages = emitGpuKernel(source.op, source.ties, source.symbol, kernels);
    if (failed(stages))
      return false;
    gpuKernels.push_back(*stages);
  }
  return succeeded(verify(*gpuModule));
}

KernelRunner::~KernelRunner() = default;

void KernelRunner::launchGpu(size_t kernel, const std::vector<void *> &buffers) {
  auto kernels = *gpuModule->getOps<gpu::GPUModuleOp>().begin();
  for (const GpuStage &stage : gpuKernels[kernel]) {
    auto function = kernels.lookupSymbol<gpu::GPUFuncOp>(stage.function);
    const std::string failure = emulate({function, stage.blocks, stage.threads, buffers});
    if (firstFailure.empty())
      firstFailure = failure;
  }
}

void KernelRunner::launch(size_t kernel, const std::vector<void *> &buffers) {
  if (options.gpu)
    return launchGpu(kernel, buffers);
  for (const StageInfo &stage : cpuImage.kernels[kernel]) {
    auto *function = reinterpret_cast<TitanKernelStage *>(loaded->lookup(stage.symbol));
    if (!options.splitBlocks) {
      function(buffers.data(), 0, stage.blocks);
      continue;
    }
    for (int64_t block = stage.blocks; block-- > 0;)
      function(buffers.data(), block, block + 1);
  }
}

std::vector<unsigned> KernelRunner::places() {
  auto function = *module->getOps<func::FuncOp>().begin();
  std::vector<unsigned> places;
  for (Value operand : sources[0].op.getInputs())
    places.push_back(cast<BlockArgument>(operand).getArgNumber());
  Operation *end = function.front().getTerminator();
  for (Value result : sources[0].op.getResults()) {
    auto found = llvm::find(end->getOperands(), result);
    places.push_back(function.getNumArguments() + (found - end->operand_begin()));
  }
  return places;
}

void KernelRunner::call(void *const *buffers) {
  for (const StageInfo &stage : cpuImage.kernels[0])
    reinterpret_cast<TitanKernelStage *>(loaded->lookup(stage.symbol))(buffers, 0, stage.blocks);
}

std::vector<std::vector<double>>
KernelRunner::run(const std::vector<std::vector<double>> &arguments) {
  auto function = *module->getOps<func::FuncOp>().begin();
  // Values share memory only through ties.
  llvm::DenseMap<Value, std::shared_ptr<Bytes>> memory;
  for (auto [argument, values] : llvm::zip_equal(function.getArguments(), arguments))
    memory[argument] = std::make_shared<Bytes>(encode(argument.getType(), values));
  for (auto [index, source] : llvm::enumerate(sources)) {
    KernelOp kernel = source.op;
    std::vector<void *> buffers;
    for (Value operand : kernel.getInputs())
      buffers.push_back(memory[operand]->data());
    for (Value result : kernel.getResults()) {
      const unsigned number = cast<OpResult>(result).getResultNumber();
      std::shared_ptr<Bytes> bytes;
      if (number < source.ties.size() && source.ties[number]) {
        // The operand may be needed again: the kernel gets a copy of it.
        const unsigned operand = *source.ties[number];
        bytes = std::make_shared<Bytes>(*memory[kernel.getInputs()[operand]]);
        buffers[operand] = bytes->data();
      } else {
        auto size = tensorType(result).getNumElements();
        bytes = std::make_shared<Bytes>(encode(
            result.getType(), std::vector<double>(size, std::numeric_limits<double>::quiet_NaN())));
      }
      buffers.push_back(bytes->data());
      memory[result] = bytes;
    }
    std::vector<float> scratch(kernelPlans[index].scratchBytes / sizeof(float),
                               std::numeric_limits<float>::quiet_NaN());
    if (!scratch.empty())
      buffers.push_back(scratch.data());
    launch(index, buffers);
  }
  std::vector<std::vector<double>> results;
  for (Value value : function.front().getTerminator()->getOperands())
    results.push_back(decode(value.getType(), *memory[value]));
  return results;
}

} // namespace titan::testing

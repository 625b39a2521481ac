#include "compiler/KernelImage.h"

#include "compiler/target/CpuTarget.h"
#include "compiler/target/CudaTarget.h"
#include "dialects/exec/Exec.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;

namespace titan {
namespace {

constexpr llvm::StringLiteral kImageName = "kernels";
constexpr llvm::StringLiteral kCubinName = "kernels.cubin";

/// The titan.kernel that an exec.kernel was made of, in a function of `scratch` that provides its
/// operands.
KernelOp rebuildKernel(exec::KernelOp kernel, ModuleOp scratch) {
  Block &body = kernel.getBody().front();
  SmallVector<Location> locations(body.getNumArguments(), kernel.getLoc());
  OpBuilder builder = OpBuilder::atBlockEnd(scratch.getBody());
  auto function = func::FuncOp::create(builder, kernel.getLoc(), kernel.getSymName(),
                                       builder.getFunctionType(body.getArgumentTypes(), {}));
  builder.setInsertionPointToStart(function.addEntryBlock());
  auto result = KernelOp::create(builder, kernel.getLoc(), body.getTerminator()->getOperandTypes(),
                                 function.getArguments());
  result.getBody().takeBody(kernel.getBody());
  func::ReturnOp::create(builder, kernel.getLoc());
  return result;
}

KernelTies getTies(exec::KernelOp kernel) {
  KernelTies ties;
  for (int64_t tie : kernel->getAttrOfType<DenseI64ArrayAttr>("ties").asArrayRef())
    ties.push_back(tie < 0 ? std::nullopt : std::optional<unsigned>(tie));
  return ties;
}

/// The kernel's stages are the image's.
void setStages(exec::KernelOp kernel, ArrayRef<exec::StageAttr> stages) {
  kernel.setStagesAttr(Builder(kernel.getContext())
                           .getArrayAttr(SmallVector<Attribute>(stages.begin(), stages.end())));
  kernel.setImageAttr(FlatSymbolRefAttr::get(kernel.getContext(), kImageName));
  kernel->removeAttr("ties");
}

void declareImage(OpBuilder &builder, Location loc, StringRef name, StringRef target,
                  ArrayRef<StringRef> features, ArrayRef<char> bytes) {
  auto op = exec::ImageOp::create(builder, loc, name, target, builder.getStrArrayAttr(features),
                                  ElementsAttr());
  op.setBytes(bytes);
}

/// "cpu:x86-64-v3" -> "x86-64-v3"; "cpu" -> "host".
StringRef cpuOf(StringRef target) {
  StringRef cpu = target.split(':').second;
  return cpu.empty() ? "host" : cpu;
}

LogicalResult emitCpuImage(OpBuilder &builder, ArrayRef<KernelSource> sources,
                           ArrayRef<exec::KernelOp> kernels, StringRef target) {
  auto image = compileForCpu(sources, {.cpu = cpuOf(target).str(), .linker = ""});
  if (failed(image))
    return failure();
  SmallVector<StringRef> features;
  StringRef(image->features).split(features, ',', /*MaxSplit=*/-1, /*KeepEmpty=*/false);
  declareImage(builder, builder.getUnknownLoc(), kImageName, "cpu", features, image->elf);
  for (auto [kernel, infos] : llvm::zip_equal(kernels, image->kernels)) {
    SmallVector<exec::StageAttr> stages;
    for (const StageInfo &stage : infos)
      stages.push_back(exec::StageAttr::get(builder.getContext(), stage.symbol, stage.blocks));
    setStages(kernel, stages);
  }
  return success();
}

LogicalResult emitCudaImage(OpBuilder &builder, ArrayRef<KernelSource> sources,
                            ArrayRef<exec::KernelOp> kernels, StringRef target) {
  const CudaArchitecture &architecture = *findCudaArchitecture(target.split(':').second);
  auto image = compileForCuda(sources, architecture);
  if (failed(image))
    return failure();
  Location loc = builder.getUnknownLoc();
  // The driver reads the text up to its zero.
  declareImage(builder, loc, kImageName, target, {architecture.ptxVersion},
               ArrayRef(image->ptx.c_str(), image->ptx.size() + 1));
  if (auto ptxas = findPtxas()) {
    auto cubin = assemblePtx(*ptxas, image->ptx, architecture);
    if (!cubin)
      return emitError(loc) << llvm::toString(cubin.takeError());
    declareImage(builder, loc, kCubinName, target, {architecture.name}, *cubin);
  }
  for (auto [kernel, infos] : llvm::zip_equal(kernels, image->kernels)) {
    SmallVector<exec::StageAttr> stages;
    for (const GpuStage &stage : infos)
      stages.push_back(
          exec::StageAttr::get(builder.getContext(), stage.function, stage.blocks, stage.threads));
    setStages(kernel, stages);
  }
  return success();
}

/// The targets of the CPU and what they mean.
constexpr StringLiteral kCpuTargets[] = {"cpu", "cpu:x86-64-v2", "cpu:x86-64-v3", "cpu:x86-64-v4"};

} // namespace

bool isTarget(StringRef target) {
  auto [kind, architecture] = target.split(':');
  return llvm::is_contained(kCpuTargets, target) ||
         (kind == "cuda" && findCudaArchitecture(architecture));
}

std::string listTargets() {
  std::string text = "cpu (this machine's instruction set)";
  for (StringRef target : llvm::drop_begin(ArrayRef(kCpuTargets)))
    text += (", " + target).str();
  for (const CudaArchitecture &architecture : cudaArchitectures())
    text += (&architecture == &cudaArchitectures().back() ? " and cuda:" : ", cuda:") +
            architecture.name.str();
  return text;
}

LogicalResult emitKernelImage(ModuleOp exec, StringRef target) {
  SmallVector<exec::KernelOp> kernels(exec.getOps<exec::KernelOp>());
  if (kernels.empty())
    return success();
  OwningOpRef<ModuleOp> scratch = ModuleOp::create(exec.getLoc());
  std::vector<KernelSource> sources;
  for (exec::KernelOp kernel : kernels)
    sources.push_back(
        {rebuildKernel(kernel, *scratch), getTies(kernel), kernel.getSymName().str()});
  OpBuilder builder(kernels.front());
  return isGpuTarget(target) ? emitCudaImage(builder, sources, kernels, target)
                             : emitCpuImage(builder, sources, kernels, target);
}

} // namespace titan

#include "compiler/KernelImage.h"

#include "compiler/target/CpuTarget.h"
#include "dialects/exec/Exec.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;

namespace titan {
namespace {

constexpr llvm::StringLiteral kImageName = "kernels";

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
void setStages(exec::KernelOp kernel, ArrayRef<StageInfo> stages) {
  Builder builder(kernel.getContext());
  SmallVector<Attribute> attributes;
  for (const StageInfo &stage : stages)
    attributes.push_back(exec::StageAttr::get(kernel.getContext(), stage.symbol, stage.blocks));
  kernel.setStagesAttr(builder.getArrayAttr(attributes));
  kernel.setImageAttr(FlatSymbolRefAttr::get(kernel.getContext(), kImageName));
  kernel->removeAttr("ties");
}

/// "cpu:x86-64-v3" -> "x86-64-v3"; "cpu" -> "host".
StringRef cpuOf(StringRef target) {
  StringRef cpu = target.split(':').second;
  return cpu.empty() ? "host" : cpu;
}

} // namespace

bool isTarget(StringRef target) {
  return target == "cpu" || target == "cpu:x86-64-v2" || target == "cpu:x86-64-v3" ||
         target == "cpu:x86-64-v4";
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
  auto image = compileForCpu(sources, {.cpu = cpuOf(target).str(), .linker = ""});
  if (failed(image))
    return failure();

  OpBuilder builder(kernels.front());
  SmallVector<StringRef> features;
  StringRef(image->features).split(features, ',', /*MaxSplit=*/-1, /*KeepEmpty=*/false);
  auto op = exec::ImageOp::create(builder, exec.getLoc(), kImageName, "cpu",
                                  builder.getStrArrayAttr(features), ElementsAttr());
  op.setBytes(image->elf);
  for (auto [kernel, stages] : llvm::zip_equal(kernels, image->kernels))
    setStages(kernel, stages);
  return success();
}

} // namespace titan

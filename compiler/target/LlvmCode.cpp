#include "compiler/target/LlvmCode.h"

#include "mlir/IR/DialectRegistry.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/Threading.h"

#include "llvm/IR/LegacyPassManager.h"
#include "llvm/Support/raw_ostream.h"

namespace titan {

// Registers and loads what the passes depend on. Each run of a pass manager does so for what is
// missing, without a lock: to be done before several threads run such passes in one context.
static void loadDependentDialects(const mlir::OpPassManager &passes, mlir::MLIRContext &context) {
  mlir::DialectRegistry registry;
  passes.getDependentDialects(registry);
  context.appendDialectRegistry(registry);
  for (llvm::StringRef name : registry.getDialectNames())
    context.getOrLoadDialect(name);
}

mlir::LogicalResult lowerInParallel(llvm::ArrayRef<mlir::ModuleOp> modules,
                                    llvm::function_ref<void(mlir::PassManager &, size_t)> addPasses,
                                    llvm::function_ref<mlir::LogicalResult(size_t)> emit) {
  if (modules.empty())
    return mlir::success();
  mlir::MLIRContext *context = modules.front()->getContext();
  mlir::PassManager first(context);
  addPasses(first, 0);
  loadDependentDialects(first, *context);
  return mlir::failableParallelForEachN(context, 0, modules.size(), [&](size_t index) {
    mlir::PassManager passes(context);
    addPasses(passes, index);
    if (failed(passes.run(modules[index])))
      return mlir::failure();
    return emit(index);
  });
}

std::mutex &targetListMutex() {
  static std::mutex mutex;
  return mutex;
}

void setTarget(llvm::Module &module, const llvm::TargetMachine &machine) {
  module.setTargetTriple(machine.getTargetTriple());
  module.setDataLayout(machine.createDataLayout());
}

void optimize(llvm::Module &module, llvm::TargetMachine &machine,
              const llvm::PipelineTuningOptions &tuning) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager callGraph;
  llvm::ModuleAnalysisManager modules;
  llvm::PassBuilder builder(&machine, tuning);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(callGraph);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, callGraph, modules);
  builder.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O3).run(module, modules);
}

void writeCode(llvm::Module &module, llvm::TargetMachine &machine, llvm::CodeGenFileType type,
               llvm::SmallVectorImpl<char> &out) {
  llvm::raw_svector_ostream stream(out);
  llvm::legacy::PassManager codegen;
  [[maybe_unused]] const bool isRefused =
      machine.addPassesToEmitFile(codegen, stream, nullptr, type);
  assert(!isRefused && "a target that Titan knows writes both kinds of files");
  codegen.run(module);
}

} // namespace titan

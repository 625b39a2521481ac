#include "compiler/Phases.h"

#include "compiler/PhaseVerifiers.h"
#include "passes/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

namespace titan {

static void buildGraphPhase(OpPassManager &, const JobConfig &) {}

static void buildStepPhase(OpPassManager &passes, const JobConfig &job) {
  passes.addPass(createDifferentiate());
  BuildOptimizerOptions options;
  options.optimizer = job.optimizer.name;
  options.beta1 = job.optimizer.beta1;
  options.beta2 = job.optimizer.beta2;
  options.epsilon = job.optimizer.eps;
  options.weightDecay = job.optimizer.weightDecay;
  options.maxNorm = job.training.maxNorm;
  passes.addPass(createBuildOptimizer(options));
}

static void buildLocalPhase(OpPassManager &passes, const JobConfig &job) {
  ChunkLossOptions options;
  options.chunks = job.training.lossChunks;
  passes.addPass(createChunkLoss(options));
  passes.addPass(createCanonicalizerPass());
  passes.addPass(createCSEPass());
}

static void buildKernelsPhase(OpPassManager &passes, const JobConfig &) {
  passes.addNestedPass<func::FuncOp>(createFormKernels());
  passes.addPass(createScheduleInstructions());
}

static void buildExecPhase(OpPassManager &passes, const JobConfig &) {
  passes.addPass(createPlanMemory());
}

llvm::ArrayRef<Phase> allPhases() {
  static constexpr Phase phases[] = {
      {"graph", "the model: one microbatch to the sum of its loss", buildGraphPhase, verifyGraph},
      {"step", "the training step: forward, backward, optimizer", buildStepPhase, verifyStep},
      {"local", "one device's program, head and loss in chunks", buildLocalPhase, verifyLocal},
      {"kernels", "fused kernels, instructions in order", buildKernelsPhase, verifyKernels},
      {"exec", "buffers and instructions", buildExecPhase, verifyExec},
  };
  return phases;
}

const Phase *findPhase(llvm::StringRef name) {
  const Phase *phase =
      llvm::find_if(allPhases(), [&](const Phase &candidate) { return candidate.name == name; });
  return phase == allPhases().end() ? nullptr : phase;
}

} // namespace titan

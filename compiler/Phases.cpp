#include "compiler/Phases.h"

#include "compiler/PhaseVerifiers.h"
#include "passes/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

namespace titan {

static void buildGraphPhase(OpPassManager &passes, const JobConfig &job, const PhaseTarget &) {
  if (job.training.mixedPrecisionParam == "bfloat16")
    passes.addPass(createCastPrecision());
}

static void buildShardedPhase(OpPassManager &passes, const JobConfig &job, const PhaseTarget &) {
  PropagateShardingsOptions options;
  // As torchtitan does: a pipeline's weights would be gathered for each microbatch.
  const ParallelismSection &keys = job.parallelism;
  if (keys.fsdpReshardAfterForward == "never" ||
      (keys.fsdpReshardAfterForward == "default" && keys.pipelineParallelDegree > 1))
    options.placement = GatherPlacement::per_step;
  passes.addPass(createPropagateShardings(options));
}

static void buildStepPhase(OpPassManager &passes, const JobConfig &job, const PhaseTarget &) {
  passes.addPass(createSplitStages());
  DifferentiateOptions differentiate;
  differentiate.reducePerStep = job.parallelism.gradientReduction == "per_step";
  passes.addPass(createDifferentiate(differentiate));
  BuildOptimizerOptions options;
  options.optimizer = job.optimizer.name;
  passes.addPass(createBuildOptimizer(options));
  passes.addPass(createPropagateShardings());
  passes.addPass(createGatherPerStep());
  passes.addPass(createKeepCasts());
}

RematerializeOptions getRematerializeOptions(const JobConfig &job, const PhaseTarget &target) {
  const ActivationCheckpointSection &section = job.activationCheckpoint;
  RematerializeOptions options;
  if (section.mode == "full")
    options.mode = RematMode::full;
  else if (section.mode == "memory_budget")
    options.mode = RematMode::budget;
  else if (section.isLimited() && !target.residualBytes.empty())
    options.mode = RematMode::limit;
  else if (section.mode == "selective" && section.selectiveAcOption == "op")
    options.mode = RematMode::perOp;
  else if (section.mode == "selective")
    options.mode = RematMode::selective;
  if (options.mode == RematMode::selective)
    options.every = std::stoll(section.selectiveAcOption);
  options.budget = section.memoryBudget;
  if (options.mode == RematMode::limit)
    options.bytes.assign(target.residualBytes.begin(), target.residualBytes.end());
  return options;
}

static void buildDevicePhase(OpPassManager &passes, const JobConfig &, const PhaseTarget &) {
  passes.addPass(createPartitionSpmd());
  passes.addPass(createSimplifyCollectives());
  passes.addPass(createCanonicalizerPass());
  passes.addPass(createCSEPass());
  passes.addPass(createSplitBackward());
}

static void buildLocalPhase(OpPassManager &passes, const JobConfig &job,
                            const PhaseTarget &target) {
  passes.addPass(createRematerialize(getRematerializeOptions(job, target)));
  // Behind the cut of a backward: logits never leave a function.
  ChunkLossOptions options;
  if (job.training.lossChunks)
    options.chunks = *job.training.lossChunks;
  else if (target.computeCapability)
    // With fewer rows the float32 gradient of the head, which every chunk is added to, takes a
    // GPU longer to move than the chunk's product takes.
    options.tokensPerChunk = 4096;
  passes.addPass(createChunkLoss(options));
  passes.addPass(createCanonicalizerPass());
  passes.addPass(createCSEPass());
  passes.addPass(createBucketCollectives());
}

static void buildKernelsPhase(OpPassManager &passes, const JobConfig &, const PhaseTarget &target) {
  passes.addNestedPass<func::FuncOp>(createFormKernels());
  passes.addPass(createScheduleInstructions());
  // Of what the schedule puts side by side: before it, a batch of all layers' kernels would hold
  // back what frees their memory.
  if (target.computeCapability)
    passes.addNestedPass<func::FuncOp>(createBatchKernels());
}

static void buildExecPhase(OpPassManager &passes, const JobConfig &, const PhaseTarget &target) {
  PlanMemoryOptions options;
  options.computeCapability = target.computeCapability;
  passes.addPass(createPlanMemory(options));
}

llvm::ArrayRef<Phase> allPhases() {
  static constexpr Phase phases[] = {
      {"graph", "the model: one microbatch to the sum of its loss", buildGraphPhase, verifyGraph},
      {"sharded", "every tensor laid out on the mesh", buildShardedPhase, verifySharded},
      {"step", "the training step: forward, backward, optimizer", buildStepPhase, verifyStep},
      {"device", "one device's program, backwards in halves if the schedule has them",
       buildDevicePhase, verifyDevice},
      {"local", "what the backward recomputes, loss in chunks, collectives in buckets",
       buildLocalPhase, verifyLocal},
      {"kernels", "fused kernels, instructions in order", buildKernelsPhase, verifyKernels},
      {"exec", "buffers and instructions", buildExecPhase, verifyExec},
  };
  return phases;
}

namespace {
/// A phase's verifier as a pass, so that titan-opt can run it.
struct VerifyPhase : PassWrapper<VerifyPhase, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(VerifyPhase)

  VerifyPhase() = default;
  explicit VerifyPhase(llvm::StringRef name) { phase = name.str(); }
  VerifyPhase(const VerifyPhase &other) : PassWrapper(other) {}

  llvm::StringRef getArgument() const override { return "titan-verify-phase"; }
  llvm::StringRef getDescription() const override { return "check what holds after a phase"; }

  void runOnOperation() override {
    const Phase *found = findPhase(phase);
    if (!found) {
      emitError(getOperation().getLoc())
          << "titan-verify-phase: there is no phase '" << phase << "'";
      return signalPassFailure();
    }
    if (failed(found->verify(getOperation())))
      return signalPassFailure();
    markAllAnalysesPreserved();
  }

  Option<std::string> phase{*this, "phase", llvm::cl::desc("name of the phase")};
};
} // namespace

void addPhase(OpPassManager &passes, const Phase &phase, const JobConfig &job,
              const PhaseTarget &target) {
  phase.build(passes, job, target);
  passes.addPass(std::make_unique<VerifyPhase>(phase.name));
}

void registerPhases() {
  PassRegistration<VerifyPhase>();
  for (const Phase &phase : allPhases())
    registerPassPipeline(
        ("titan-phase-" + phase.name).str(), phase.description,
        [&phase](OpPassManager &passes, llvm::StringRef options,
                 llvm::function_ref<LogicalResult(const llvm::Twine &)> errorHandler) {
          if (!options.empty())
            return errorHandler("a phase's pipeline takes no options");
          JobConfig job;
          job.training.mixedPrecisionParam = "float32"; // a printed graph has its casts
          addPhase(passes, phase, job);
          return success();
        },
        [](llvm::function_ref<void(const mlir::detail::PassOptions &)>) {});
}

const Phase *findPhase(llvm::StringRef name) {
  const Phase *phase =
      llvm::find_if(allPhases(), [&](const Phase &candidate) { return candidate.name == name; });
  return phase == allPhases().end() ? nullptr : phase;
}

} // namespace titan

// Training steps of random programs: through every phase, memory planning and machine code, run by
// the executor, against the reference interpreter on the step before any of them. Memory that a
// plan calls dead is poisoned.
#include "compiler/Compile.h"
#include "compiler/Phases.h"
#include "compiler/reference/RandomProgram.h"
#include "compiler/reference/TrainingStep.h"
#include "dialects/titan/TitanDialect.h"
#include "passes/Functions.h"
#include "runtime/device/cpu/CpuDevice.h"
#include "runtime/exec/Executor.h"
#include "runtime/format/ProgramFile.h"
#include "test/unit/TestFolder.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Pass/PassManager.h"

using namespace mlir;
using namespace titan;

namespace {

/// Deviations from the interpreter in doubles, relative to the largest element: sums of single
/// precision, and what rounding elsewhere makes of this program, which differs by what is rounded.
constexpr double kTolerance = 1e-5;
constexpr double kTimesRounding = 10;

class StepExecution : public testing::TestWithParam<uint64_t> {
protected:
  void SetUp() override {
    context.loadDialect<TitanDialect, func::FuncDialect>();
    job.training.lossChunks = 3;
    job.training.maxNorm = 0.5;
    graph = buildRandomProgram(context, GetParam());
    step = OwningOpRef<ModuleOp>(graph->clone());
    PassManager passes(&context);
    job.training.mixedPrecisionParam = "float32"; // bfloat16 leaves nothing to compare
    for (StringRef phase : {"graph", "step"})
      addPhase(passes, *findPhase(phase), job);
    ASSERT_TRUE(succeeded(passes.run(*step)));
    reference = createInterpreter(Precision::ideal);
    rounded = createInterpreter(Precision::typed);
    auto made = makeInputs(*step, names::kForward, GetParam(), kRandomVocabulary);
    ASSERT_TRUE(succeeded(made));
    inputs = *made;
  }

  /// The step with random variables, the same ones every time, in single precision.
  std::unique_ptr<Interpreter> createInterpreter(Precision precision) {
    auto interpreter = std::make_unique<Interpreter>(*step, InterpreterOptions{precision, 0});
    EXPECT_TRUE(succeeded(randomizeVariables(*step, *interpreter, GetParam())));
    for (auto variable : step->getOps<VariableOp>())
      for (double &value : interpreter->variable(variable.getSymName()).values)
        value = static_cast<double>(static_cast<float>(value));
    return interpreter;
  }

  /// The program file of the graph.
  std::string compileGraph() {
    CompileOptions options;
    options.output = (folder / "step.tbin").string();
    Logger logger = Logger::silent();
    const Status status = compile(*graph, options, job, logger, llvm::nulls());
    EXPECT_TRUE(status.ok()) << status.message();
    return options.output;
  }

  template <typename T>
  static void write(Executor &executor, StringRef name, const HostTensor &tensor) {
    const std::vector<T> values(tensor.values.begin(), tensor.values.end());
    auto variable = executor.find(name);
    ASSERT_TRUE(variable.ok()) << variable.status().message();
    const Status status = executor.write(*variable, std::as_bytes(std::span(values)));
    ASSERT_TRUE(status.ok()) << status.message();
  }

  static HostTensor read(Executor &executor, StringRef name, const HostTensor &like) {
    HostTensor tensor = like;
    std::vector<float> values(tensor.values.size());
    auto variable = executor.find(name);
    EXPECT_TRUE(variable.ok()) << variable.status().message();
    if (variable.ok())
      EXPECT_TRUE(executor.read(*variable, std::as_writable_bytes(std::span(values))).ok());
    tensor.values.assign(values.begin(), values.end());
    return tensor;
  }

  MLIRContext context;
  JobConfig job;
  OwningOpRef<ModuleOp> graph, step;
  std::unique_ptr<Interpreter> reference, rounded;
  SmallVector<HostTensor> inputs;
  test::TestFolder folder;
};

} // namespace

TEST_P(StepExecution, MachineCodeComputesWhatTheInterpreterDoes) {
  auto file = format::ProgramFile::open(compileGraph());
  ASSERT_TRUE(file.ok()) << file.status().message();
  cpu::CpuDevice device(2);
  auto loaded = Executor::load(file->program(), device, {.poison = true});
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  Executor &executor = **loaded;

  for (auto variable : step->getOps<VariableOp>())
    write<float>(executor, variable.getSymName(), reference->variable(variable.getSymName()));
  write<int32_t>(executor, "tokens", inputs[0]);
  write<int32_t>(executor, "labels", inputs[1]);

  ASSERT_TRUE(succeeded(runStep(*reference, inputs)));
  ASSERT_TRUE(succeeded(runStep(*rounded, inputs)));
  auto timeline = executor.findTimeline("train");
  ASSERT_TRUE(timeline.ok());
  for (Section section : {Section::prologue, Section::body, Section::epilogue}) {
    const Status status = executor.run(*timeline, section);
    ASSERT_TRUE(status.ok()) << status.message();
  }

  Deviation natural;
  for (auto variable : step->getOps<VariableOp>()) {
    StringRef name = variable.getSymName();
    natural.add(getDeviation(rounded->variable(name), reference->variable(name)), name);
  }
  const double limit = kTolerance + kTimesRounding * natural.value;
  EXPECT_LT(limit, 0.05) << "rounding of " << natural.name << " leaves nothing to compare";
  for (auto variable : step->getOps<VariableOp>()) {
    const HostTensor &expected = reference->variable(variable.getSymName());
    const HostTensor found = read(executor, variable.getSymName(), expected);
    EXPECT_LE(getDeviation(found, expected), limit)
        << variable.getSymName().str() << ", rounding " << natural.value;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, StepExecution, testing::Range<uint64_t>(1, 13));

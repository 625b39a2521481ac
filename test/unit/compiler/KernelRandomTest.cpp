// Random programs of fusible ops: machine code against the reference interpreter. This is where
// groupings and schedules meet that nobody thought of.
#include "compiler/reference/Interpreter.h"
#include "passes/Passes.h"
#include "test/unit/compiler/KernelRunner.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

using namespace titan;
using namespace titan::testing;

namespace {

/// The size of a matrix.
struct Size {
  int rows, columns;
};

/// Odd rows first; then, on a GPU, rows for half a warp, for a warp and for a block.
constexpr Size kSizes[] = {{7, 37}, {16, 64}, {5, 160}, {3, 1064}};

/// Writes a function over tensors of four shapes: whole, one value per row, per column, scalar.
class RandomFunction {
public:
  RandomFunction(unsigned seed, Size size) : size(size), generator(seed) {
    for (int shape = 0; shape < 4; ++shape)
      for (int copy = 0; copy < 2; ++copy)
        arguments.push_back(add(shape));
    const int ops = 4 + static_cast<int>(generator() % 20);
    for (int op = 0; op < ops; ++op)
      addOp();
  }

  std::string text() {
    std::string result = "func.func @f(";
    for (unsigned value : arguments)
      result += (value ? ", " : "") + name(value) + ": " + type(shapes[value]);
    // The last value, and some others.
    std::vector<unsigned> results = {static_cast<unsigned>(shapes.size() - 1)};
    for (unsigned value = arguments.size(); value + 1 < shapes.size(); ++value)
      if (generator() % 4 == 0)
        results.push_back(value);
    std::string types, names;
    for (unsigned value : results) {
      types += (types.empty() ? "" : ", ") + type(shapes[value]);
      names += (names.empty() ? "" : ", ") + name(value);
    }
    return result + ") -> (" + types + ") {\n" + body + "  return " + names + " : " + types +
           "\n}\n";
  }

private:
  enum Shape { whole, perRow, perColumn, scalar };

  static std::string name(unsigned value) { return "%v" + std::to_string(value); }
  std::string type(int shape) const {
    const std::string rows = std::to_string(size.rows), columns = std::to_string(size.columns);
    switch (shape) {
    case whole:
      return "tensor<" + rows + "x" + columns + "xf32>";
    case perRow:
      return "tensor<" + rows + "xf32>";
    case perColumn:
      return "tensor<" + columns + "xf32>";
    default:
      return "tensor<f32>";
    }
  }
  unsigned add(int shape) {
    shapes.push_back(shape);
    return shapes.size() - 1;
  }
  unsigned pick(int shape) {
    std::vector<unsigned> candidates;
    for (unsigned value = 0; value < shapes.size(); ++value)
      if (shapes[value] == shape)
        candidates.push_back(value);
    // Recent values more often: deeper programs.
    const size_t back = std::min<size_t>(candidates.size(), 1 + generator() % 4);
    return candidates[candidates.size() - back];
  }
  void define(int shape, const std::string &text) {
    const unsigned value = add(shape);
    body += "  " + name(value) + " = titan." + text + "\n";
  }
  /// One op with `from` before the arrow.
  void convert(int from, int to, const std::string &op, const std::string &attributes) {
    const std::string operand = name(pick(from));
    define(to, op + " " + operand + " " + attributes + " : " + type(from) + " -> " + type(to));
  }

  void addOp() {
    const int shape = generator() % 2 ? whole : static_cast<int>(generator() % 4);
    switch (generator() % 12) {
    case 0:
    case 1:
      return define(shape,
                    "add " + name(pick(shape)) + ", " + name(pick(shape)) + " : " + type(shape));
    case 2:
      return define(shape, "minimum " + name(pick(shape)) + ", " + name(pick(shape)) + " : " +
                               type(shape));
    case 3:
      return define(shape, "silu " + name(pick(shape)) + " : " + type(shape));
    case 4: {
      const std::string x = name(pick(shape)), y = name(pick(shape));
      return define(shape, "silu_grad " + x + ", " + y + " : " + type(shape));
    }
    case 5:
      return convert(whole, perRow, generator() % 2 ? "reduce sum" : "reduce max", "[1]");
    case 6:
      return convert(whole, perColumn, generator() % 2 ? "reduce sum" : "reduce max", "[0]");
    case 7:
      return reduceAll(generator() % 2 ? whole : perRow);
    case 8:
      return convert(perRow, whole, "broadcast", "[0]");
    case 9:
      return convert(perColumn, whole, "broadcast", "[1]");
    case 10:
      return convert(scalar, static_cast<int>(generator() % 3), "broadcast", "[]");
    default: {
      const unsigned x = pick(whole), w = pick(perColumn);
      const unsigned result = add(whole), rstd = add(perRow);
      body += "  " + name(result) + ", " + name(rstd) + " = titan.rms_norm " + name(x) + ", " +
              name(w) + " epsilon 0.1 : " + type(whole) + ", " + type(perColumn) + " -> " +
              type(whole) + ", " + type(perRow) + "\n";
    }
    }
  }
  void reduceAll(int shape) {
    convert(shape, scalar, "reduce max", shape == whole ? "[0, 1]" : "[0]");
  }

  Size size;
  std::mt19937 generator;
  std::vector<int> shapes;
  std::vector<unsigned> arguments;
  std::string body;
};

} // namespace

static void checkProgram(unsigned seed, Size size) {
  const std::string source = RandomFunction(seed, size).text();
  SCOPED_TRACE(source);
  mlir::MLIRContext context;
  context.loadDialect<TitanDialect, mlir::func::FuncDialect>();
  auto module = mlir::parseSourceString<mlir::ModuleOp>(source, &context);
  ASSERT_TRUE(module);
  auto function = *module->getOps<mlir::func::FuncOp>().begin();
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<std::vector<double>> arguments;
  llvm::SmallVector<HostTensor> tensors;
  for (mlir::Type type : function.getArgumentTypes()) {
    tensors.emplace_back(llvm::cast<mlir::RankedTensorType>(type));
    for (double &value : tensors.back().values)
      value = uniform(generator);
    arguments.push_back(tensors.back().values);
  }
  auto expected = Interpreter(*module).call("f", tensors);
  ASSERT_TRUE(succeeded(expected));
  for (const RunOptions &options :
       {RunOptions{}, RunOptions{.tie = true, .splitBlocks = true}, RunOptions{.gpu = true},
        RunOptions{.tie = true, .gpu = true}}) {
    SCOPED_TRACE(std::string(options.gpu ? "GPU form" : "CPU") + (options.tie ? ", tied" : ""));
    KernelRunner runner(source, options);
    ASSERT_TRUE(runner.ok());
    auto found = runner.run(arguments);
    ASSERT_EQ(runner.failure(), "");
    ASSERT_EQ(found.size(), expected->size());
    for (size_t result = 0; result < found.size(); ++result) {
      const std::vector<double> &values = (*expected)[result].values;
      double scale = 1;
      for (double value : values)
        scale = std::max(scale, std::abs(value));
      for (size_t at = 0; at < values.size(); ++at)
        ASSERT_NEAR(found[result][at], values[at], 1e-4 * scale)
            << "result " << result << ", element " << at;
    }
  }
}

TEST(KernelRandom, ProgramsComputeWhatTheInterpreterDoes) {
  for (unsigned seed = 0; seed < 30 && !HasFailure(); ++seed)
    checkProgram(seed, kSizes[seed % std::size(kSizes)]);
}

// The pass fails if a kernel that it forms has no schedule.
TEST(KernelRandom, GroupsHaveSchedules) {
  mlir::MLIRContext context;
  context.loadDialect<TitanDialect, mlir::func::FuncDialect>();
  for (unsigned seed = 1000; seed < 3000; ++seed) {
    const std::string source = RandomFunction(seed, kSizes[0]).text();
    auto module = mlir::parseSourceString<mlir::ModuleOp>(source, &context);
    ASSERT_TRUE(module) << source;
    mlir::PassManager passes(&context);
    passes.addNestedPass<mlir::func::FuncOp>(createFormKernels());
    ASSERT_TRUE(succeeded(passes.run(*module))) << source;
  }
}

// Attention with positions, the whole way: planned, written to a program file, read back, verified
// and executed by the runtime, against what the ops mean in double precision.
#include "compiler/emit/Emit.h"
#include "compiler/reference/Interpreter.h"
#include "dialects/titan/TitanDialect.h"
#include "passes/Passes.h"
#include "runtime/device/cpu/CpuDevice.h"
#include "runtime/exec/Executor.h"
#include "runtime/format/ProgramFile.h"
#include "runtime/format/Verify.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <random>

using namespace titan;

namespace {

using Positions = std::vector<int32_t>;

struct Sizes {
  int64_t batch, queries, keys, heads, kvHeads, dim;
};

constexpr const char *kResults[] = {"out", "lse", "dq", "dk", "dv"};
constexpr const char *kFloatInputs[] = {"q", "k", "v", "dout"};

std::string type(std::initializer_list<int64_t> shape, const char *element) {
  std::string text = "tensor<";
  for (int64_t size : shape)
    text += std::to_string(size) + "x";
  return text + element + ">";
}

/// Attention and its gradient from variables into variables.
std::string source(const Sizes &n, const std::string &causal) {
  const std::string q = type({n.batch, n.queries, n.heads, n.dim}, "f32");
  const std::string k = type({n.batch, n.keys, n.kvHeads, n.dim}, "f32");
  const std::string lse = type({n.batch, n.heads, n.queries}, "f32");
  const std::string qp = type({n.batch, n.queries}, "i32"), kp = type({n.batch, n.keys}, "i32");
  std::string variables, loads, stores;
  for (auto [name, of] :
       {std::pair("q", &q), {"k", &k}, {"v", &k}, {"dout", &q}, {"qp", &qp}, {"kp", &kp}}) {
    variables += "titan.variable input @" + std::string(name) + " : " + *of + "\n";
    loads += "  %" + std::string(name) + " = titan.load @" + name + " : " + *of + "\n";
  }
  for (auto [name, of] :
       {std::pair("out", &q), {"lse", &lse}, {"dq", &q}, {"dk", &k}, {"dv", &k}}) {
    variables += "titan.variable output @" + std::string(name) + " : " + *of + "\n";
    stores += "  titan.store %" + std::string(name) + ", @" + name + " : " + *of + "\n";
  }
  const std::string positions = "positions(%qp, %kp : " + qp + ", " + kp + ")";
  return variables + "func.func @fwd() {\n" + loads + "  %out, %lse = titan.attention " + causal +
         " %q, %k, %v " + positions + " scale 0.375 : " + q + ", " + k + ", " + k + " -> " + q +
         ", " + lse + "\n  %dq, %dk, %dv = titan.attention_grad " + causal + " %q, %k, %v " +
         positions + " result %out, %lse dresult %dout scale 0.375 : " + q + ", " + k + ", " + k +
         ", " + q + ", " + lse + ", " + q + " -> " + q + ", " + k + ", " + k + "\n" + stores +
         "  return\n}\n";
}

class AttentionExecutionTest : public testing::Test {
protected:
  AttentionExecutionTest() {
    context.loadDialect<TitanDialect, exec::ExecDialect, mlir::func::FuncDialect>();
  }

  /// Runs both sides on random tensors and these positions, and compares every result.
  void check(const Sizes &sizes, const Positions &queryPositions, const Positions &keyPositions,
             const std::string &causal = "causal") {
    auto module = mlir::parseSourceString<mlir::ModuleOp>(source(sizes, causal), &context);
    ASSERT_TRUE(module);
    Interpreter interpreter(*module);
    std::mt19937 generator(3);
    std::normal_distribution<float> normal;
    for (const char *name : kFloatInputs)
      for (double &value : interpreter.variable(name).values)
        value = normal(generator);
    interpreter.variable("qp").values.assign(queryPositions.begin(), queryPositions.end());
    interpreter.variable("kp").values.assign(keyPositions.begin(), keyPositions.end());
    ASSERT_TRUE(succeeded(interpreter.call("fwd", {})));

    mlir::OwningOpRef<mlir::ModuleOp> planned = module->clone();
    mlir::PassManager passes(&context);
    passes.addPass(createPlanMemory());
    ASSERT_TRUE(succeeded(passes.run(*planned)));
    auto exported = exportProgram(*planned);
    ASSERT_TRUE(succeeded(exported));
    const std::string file = format::writeProgram(*exported);
    auto program = format::readProgram(file);
    ASSERT_TRUE(program.ok()) << program.status().message();
    const Status verified = format::verifyProgram(*program);
    ASSERT_TRUE(verified.ok()) << verified.message();
    execute(*program, interpreter);
  }

private:
  void execute(const format::Program &program, Interpreter &interpreter) {
    cpu::CpuDevice device(2);
    auto executor = Executor::load(program, device, {.poison = true});
    ASSERT_TRUE(executor.ok()) << executor.status().message();
    ASSERT_TRUE((*executor)->initialize(1).ok());
    for (const char *name : kFloatInputs)
      write<float>(**executor, name, interpreter.variable(name));
    for (const char *name : {"qp", "kp"})
      write<int32_t>(**executor, name, interpreter.variable(name));
    const auto train = (*executor)->findTimeline("train");
    ASSERT_TRUE(train.ok());
    const Status ran = (*executor)->run(*train, Section::body);
    ASSERT_TRUE(ran.ok()) << ran.message();
    for (const char *name : kResults)
      compare(**executor, name, interpreter.variable(name));
  }

  template <typename T>
  static void write(Executor &executor, const char *name, const HostTensor &tensor) {
    const std::vector<T> values(tensor.values.begin(), tensor.values.end());
    ASSERT_TRUE(executor.write(*executor.find(name), std::as_bytes(std::span(values))).ok());
  }

  static void compare(Executor &executor, const char *name, const HostTensor &expected) {
    SCOPED_TRACE(name);
    std::vector<float> found(expected.values.size());
    ASSERT_TRUE(executor.read(*executor.find(name), std::as_writable_bytes(std::span(found))).ok());
    for (size_t i = 0; i < found.size(); ++i) {
      if (std::isinf(expected.values[i])) {
        ASSERT_EQ(found[i], expected.values[i]) << "element " << i;
        continue;
      }
      ASSERT_NEAR(found[i], expected.values[i], 2e-5) << "element " << i;
    }
  }

  mlir::MLIRContext context;
};

Positions random(int64_t count, int32_t least, int32_t most, uint32_t seed) {
  std::mt19937 generator(seed);
  std::uniform_int_distribution<int32_t> uniform(least, most);
  Positions positions(count);
  for (int32_t &position : positions)
    position = uniform(generator);
  return positions;
}

/// `rows` rows of first, first + 1, ...
Positions consecutive(int64_t rows, int64_t count, int32_t first) {
  Positions positions(rows * count);
  for (int64_t row = 0; row < rows; ++row)
    std::iota(positions.begin() + row * count, positions.begin() + (row + 1) * count, first);
  return positions;
}

} // namespace

TEST_F(AttentionExecutionTest, RandomPositionsThatDifferBetweenRows) {
  const Sizes sizes{3, 45, 70, 4, 2, 8};
  check(sizes, random(3 * 45, 0, 60, 1), random(3 * 70, 0, 60, 2));
}

TEST_F(AttentionExecutionTest, QueriesThatSeeNoKey) {
  const Sizes sizes{2, 33, 20, 2, 1, 16};
  // About half of the queries come before every key.
  check(sizes, random(2 * 33, -30, 30, 3), random(2 * 20, 0, 40, 4));
  // All of them.
  check(sizes, consecutive(2, 33, 0), consecutive(2, 20, 100));
}

TEST_F(AttentionExecutionTest, ASliceOfALongerSequence) {
  const Sizes sizes{2, 64, 200, 2, 2, 16};
  check(sizes, consecutive(2, 64, 128), consecutive(2, 200, 0));
}

TEST_F(AttentionExecutionTest, HeadAndTailOfALongerSequence) {
  // Rank 1 of 2: chunks 1 and 2 of four; the gathered keys are those of both ranks in turn.
  Positions queries(128), keys(256);
  const int chunks[] = {0, 3, 1, 2};
  for (int i = 0; i < 256; ++i)
    keys[i] = chunks[i / 64] * 64 + i % 64;
  std::copy(keys.begin() + 128, keys.end(), queries.begin());
  check({1, 128, 256, 2, 1, 16}, queries, keys);
}

TEST_F(AttentionExecutionTest, WithoutAMaskPositionsDoNotCount) {
  check({1, 20, 30, 2, 2, 8}, random(20, 0, 40, 5), random(30, 0, 40, 6), "");
}

// The plan checker refuses plans with a hazard. A sound plan gets one by changing the function, or
// the ranges that are fixed, after values were placed.
#include "passes/memory/CheckPlacement.h"

#include "mlir/IR/Diagnostics.h"
#include "mlir/Parser/Parser.h"

#include <gtest/gtest.h>

using namespace mlir;
using namespace titan;

namespace {

constexpr int64_t kBytes = 256; ///< of a tensor<8x8xf32>

/// A placed function of 8x8 tensors, and what the checker says of its plan.
class PlacedFunction {
public:
  explicit PlacedFunction(const std::string &body) {
    context.loadDialect<TitanDialect, func::FuncDialect>();
    std::string source = "titan.mesh @mesh [tp = 2]\n";
    for (const char *name : {"x", "y", "z"})
      source += "titan.variable derived @" + std::string(name) + " : tensor<8x8xf32>\n";
    module = parseSourceString<ModuleOp>(source + body, &context);
    EXPECT_TRUE(module);
    function = *module->getOps<func::FuncOp>().begin();
    int64_t offset = 0;
    for (const char *name : {"x", "y", "z"}) {
      variables[name] = range("derived", offset);
      offset += kBytes;
    }
    layout.variables = &variables;
    for (unsigned i = 0; i < function.getNumArguments(); ++i)
      layout.arguments.push_back(range("in", i * kBytes));
    for (unsigned i = 0; i < function.getNumResults(); ++i)
      layout.results.push_back(range("out", i * kBytes));
  }

  FixedRange range(StringRef base, int64_t offset) {
    return {StringAttr::get(&context, base), offset, false};
  }
  void place() {
    placement.emplace(function, layout);
    EXPECT_TRUE(succeeded(placement->run()));
  }

  /// The first error, empty for a sound plan.
  std::string check() {
    std::string message;
    ScopedDiagnosticHandler handler(&context, [&](Diagnostic &diagnostic) {
      if (message.empty())
        message = diagnostic.str();
      return success();
    });
    const LogicalResult result = checkPlacement(function, layout, *placement);
    EXPECT_EQ(failed(result), !message.empty());
    return message;
  }

  /// The n-th op of a name.
  Operation *op(StringRef name, int n = 0) {
    for (Operation &op : function.getBody().front())
      if (op.getName().stripDialect() == name && n-- == 0)
        return &op;
    ADD_FAILURE() << "no op " << name.str();
    return nullptr;
  }

  MLIRContext context;
  OwningOpRef<ModuleOp> module;
  func::FuncOp function;
  llvm::StringMap<FixedRange> variables;
  FunctionLayout layout;
  std::optional<ValuePlacement> placement;
};

// %b is accumulated in the memory of %a.
constexpr const char *kInPlace = R"(
func.func @f(%p: tensor<8x8xf32>, %q: tensor<8x8xf32>) -> tensor<8x8xf32> {
  %a = titan.einsum "mk,kn->mn" %p, %q : tensor<8x8xf32>, tensor<8x8xf32> -> tensor<8x8xf32>
  %b = titan.einsum "mk,kn->mn" %q, %p acc(%a : tensor<8x8xf32>) : tensor<8x8xf32>, tensor<8x8xf32> -> tensor<8x8xf32>
  %c = titan.einsum "mk,kn->mn" %b, %q : tensor<8x8xf32>, tensor<8x8xf32> -> tensor<8x8xf32>
  %d = titan.einsum "mk,kn->mn" %c, %p : tensor<8x8xf32>, tensor<8x8xf32> -> tensor<8x8xf32>
  return %d : tensor<8x8xf32>
})";

} // namespace

TEST(CheckPlacement, AcceptsASoundPlan) {
  PlacedFunction f(kInPlace);
  f.place();
  EXPECT_EQ(f.check(), "");
}

TEST(CheckPlacement, RefusesAReadOfWhatAnAccumulationOverwrote) {
  PlacedFunction f(kInPlace);
  f.place();
  f.op("einsum", 2)->setOperand(0, f.op("einsum", 0)->getResult(0));
  EXPECT_EQ(f.check(), "'titan.einsum' op reads an operand, but its bytes 0 to 256 have been "
                       "overwritten");
}

TEST(CheckPlacement, RefusesAnAccumulatorThatStandsElsewhere) {
  PlacedFunction f(kInPlace);
  f.place();
  f.op("einsum", 1)->setOperand(2, f.function.getArgument(0));
  EXPECT_EQ(f.check(), "'titan.einsum' op expects its accumulator at another place than it has");
}

TEST(CheckPlacement, RefusesAResultOverAnOperand) {
  PlacedFunction f(kInPlace);
  f.place();
  // The last product goes to where its second operand still is, half of it.
  f.layout.arguments[0] = f.range("out", 128);
  f.place();
  EXPECT_EQ(f.check(), "'titan.einsum' op writes #0 over operand #1, which it reads");
}

TEST(CheckPlacement, RefusesTwoResultsAtOnePlace) {
  PlacedFunction f(R"(
func.func @f(%q: tensor<1x8x1x8xf32>) -> (tensor<1x8x1x8xf32>, tensor<1x1x8xf32>) {
  %out, %lse = titan.attention %q, %q, %q scale 1.0 : tensor<1x8x1x8xf32>, tensor<1x8x1x8xf32>, tensor<1x8x1x8xf32> -> tensor<1x8x1x8xf32>, tensor<1x1x8xf32>
  return %out, %lse : tensor<1x8x1x8xf32>, tensor<1x1x8xf32>
})");
  f.place();
  EXPECT_EQ(f.check(), "");
  f.layout.results[1] = f.range("out", 224); // the output's last row
  f.place();
  EXPECT_EQ(f.check(), "'titan.attention' op writes #1 over what it writes as #0");
}

TEST(CheckPlacement, RefusesAResultAtAnotherPlace) {
  PlacedFunction f(kInPlace);
  f.place();
  f.layout.results[0] = f.range("out", 64);
  EXPECT_EQ(f.check(), "'func.return' op expects a result at another place than it has");
}

TEST(CheckPlacement, RefusesVariablesThatOverlap) {
  PlacedFunction f(R"(
func.func @f(%p: tensor<8x8xf32>) {
  %x = titan.load @x : tensor<8x8xf32>
  %a = titan.einsum "mk,kn->mn" %p, %p : tensor<8x8xf32>, tensor<8x8xf32> -> tensor<8x8xf32>
  %b = titan.einsum "mk,kn->mn" %x, %p : tensor<8x8xf32>, tensor<8x8xf32> -> tensor<8x8xf32>
  titan.store %a, @y : tensor<8x8xf32>
  titan.store %b, @z : tensor<8x8xf32>
  return
})");
  f.place();
  EXPECT_EQ(f.check(), "");
  f.variables["y"] = f.range("derived", 252); // the last element of @x
  f.place();
  EXPECT_EQ(f.check(), "'titan.einsum' op reads an operand, but its bytes 252 to 256 have been "
                       "overwritten");
}

TEST(CheckPlacement, RefusesAStoredValueAtAnotherPlace) {
  PlacedFunction f(R"(
func.func @f(%p: tensor<8x8xf32>) {
  %a = titan.einsum "mk,kn->mn" %p, %p : tensor<8x8xf32>, tensor<8x8xf32> -> tensor<8x8xf32>
  %b = titan.einsum "mk,kn->mn" %a, %p : tensor<8x8xf32>, tensor<8x8xf32> -> tensor<8x8xf32>
  titan.store %a, @y : tensor<8x8xf32>
  titan.store %b, @z : tensor<8x8xf32>
  return
})");
  f.place();
  EXPECT_EQ(f.check(), "");
  f.op("store", 1)->setOperand(0, f.op("einsum", 0)->getResult(0));
  EXPECT_EQ(f.check(), "'func.return' op expects a stored value at another place than it has");
}

TEST(CheckPlacement, RefusesAViewOfAnotherValue) {
  PlacedFunction f(R"(
func.func @f(%p: tensor<8x8xf32>, %q: tensor<8x8xf32>) -> tensor<4x8xf32> {
  %s = titan.slice %p at 4 : tensor<8x8xf32> -> tensor<4x8xf32>
  %r = titan.einsum "mk,kn->mn" %s, %q : tensor<4x8xf32>, tensor<8x8xf32> -> tensor<4x8xf32>
  return %r : tensor<4x8xf32>
})");
  f.place();
  EXPECT_EQ(f.check(), "");
  f.op("slice")->setOperand(0, f.function.getArgument(1));
  EXPECT_EQ(f.check(), "'titan.slice' op is a view at another place than its operand");
}

// %c is assembled from %a and %b.
constexpr const char *kAssembled = R"(
func.func @f(%p: tensor<8x8xf32>) -> tensor<16x8xf32> {
  %a = titan.einsum "mk,kn->mn" %p, %p : tensor<8x8xf32>, tensor<8x8xf32> -> tensor<8x8xf32>
  %b = titan.einsum "mk,kn->mn" %a, %p : tensor<8x8xf32>, tensor<8x8xf32> -> tensor<8x8xf32>
  %c = titan.concat %a, %b : tensor<8x8xf32>, tensor<8x8xf32> -> tensor<16x8xf32>
  return %c : tensor<16x8xf32>
})";

TEST(CheckPlacement, RefusesAPartThatStandsElsewhere) {
  PlacedFunction f(kAssembled);
  f.place();
  EXPECT_EQ(f.check(), "");
  f.op("concat")->setOperand(0, f.op("einsum", 1)->getResult(0));
  EXPECT_EQ(f.check(), "'titan.concat' op expects a part at another place than it has");
}

TEST(CheckPlacement, RefusesAResultWithAPartMissing) {
  PlacedFunction f(kAssembled);
  f.place();
  f.op("concat")->eraseOperand(1);
  EXPECT_EQ(f.check(), "'titan.concat' op is assembled from 256 of 512 bytes");
}

// %w is gathered from @x while %a and %b are computed.
constexpr const char *kUnderWay = R"(
func.func @f(%p: tensor<8x8xf32>) -> tensor<16x8xf32> {
  %x = titan.load @x : tensor<8x8xf32>
  %u = titan.start all_gather %x over [tp] : (tensor<8x8xf32>) -> tensor<16x8xf32>
  %a = titan.einsum "mk,kn->mn" %p, %x : tensor<8x8xf32>, tensor<8x8xf32> -> tensor<8x8xf32>
  %b = titan.einsum "mk,kn->mn" %a, %p : tensor<8x8xf32>, tensor<8x8xf32> -> tensor<8x8xf32>
  %w = titan.await %u of %x : (tensor<16x8xf32>, tensor<8x8xf32>) -> tensor<16x8xf32>
  titan.store %b, @y : tensor<8x8xf32>
  return %w : tensor<16x8xf32>
})";

TEST(CheckPlacement, AcceptsWhatRunsBesideACollective) {
  PlacedFunction f(kUnderWay);
  f.place();
  EXPECT_EQ(f.check(), "");
}

TEST(CheckPlacement, RefusesAWriteOfASourceUnderWay) {
  PlacedFunction f(kUnderWay);
  // The variable that %b is stored to begins in the middle of the gather's source.
  f.variables["y"] = f.range("derived", 128);
  f.place();
  EXPECT_EQ(f.check(), "'titan.einsum' op writes bytes 0 to 256 of a collective that is under way");
}

TEST(CheckPlacement, RefusesAWriteOfADestinationUnderWay) {
  PlacedFunction f(kUnderWay);
  f.variables["y"] = f.range("out", 508);
  f.place();
  EXPECT_EQ(f.check(), "'titan.einsum' op writes bytes 0 to 512 of a collective that is under way");
}

TEST(CheckPlacement, RefusesAReadOfADestinationUnderWay) {
  PlacedFunction f(kUnderWay);
  f.layout.arguments[0] = f.range("out", 256);
  f.place();
  EXPECT_EQ(f.check(),
            "'titan.einsum' op reads an operand, but its bytes 256 to 512 have been overwritten");
}

TEST(CheckPlacement, RefusesACollectiveOverItsOperand) {
  PlacedFunction f(kUnderWay);
  f.layout.results[0] = f.range("derived", 252);
  f.place();
  EXPECT_EQ(f.check(), "'titan.start' op writes #0 over operand #0, which it reads");
}

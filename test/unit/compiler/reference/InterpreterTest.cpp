#include "compiler/reference/Interpreter.h"

#include "dialects/titan/TitanDialect.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Parser/Parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

using namespace mlir;

namespace titan {
namespace {

class InterpreterTest : public testing::Test {
protected:
  InterpreterTest()
      : handler(&context, [this](Diagnostic &diagnostic) { message = diagnostic.str(); }) {
    context.loadDialect<arith::ArithDialect, func::FuncDialect, TitanDialect>();
  }

  void load(StringRef source, InterpreterOptions options = {}) {
    module = parseSourceString<ModuleOp>(source, &context);
    ASSERT_TRUE(module) << message;
    interpreter = std::make_unique<Interpreter>(*module, options);
  }

  HostTensor make(ArrayRef<int64_t> shape, std::vector<double> values) {
    HostTensor tensor(RankedTensorType::get(shape, Float32Type::get(&context)));
    tensor.values = std::move(values);
    return tensor;
  }

  /// The values of the first result.
  std::vector<double> call(StringRef function, ArrayRef<HostTensor> arguments = {}) {
    auto results = interpreter->call(function, arguments);
    EXPECT_TRUE(succeeded(results)) << message;
    return succeeded(results) ? results->front().values : std::vector<double>();
  }

  MLIRContext context;
  std::string message;
  ScopedDiagnosticHandler handler;
  OwningOpRef<ModuleOp> module;
  std::unique_ptr<Interpreter> interpreter;
};

TEST_F(InterpreterTest, LoadsSeeTheEntryAndStoresTakeEffectAtTheExit) {
  load(R"(
    titan.variable counter @x : tensor<f32> init #titan.constant<1.0>
    func.func @increment() -> tensor<f32> {
      %old = titan.load @x : tensor<f32>
      %one = titan.full 1.0 : tensor<f32>
      %new = titan.add %old, %one : tensor<f32>
      titan.store %new, @x : tensor<f32>
      %again = titan.load @x : tensor<f32>
      return %again : tensor<f32>
    }
    func.func @caller() -> tensor<f32> {
      %inner = call @increment() : () -> tensor<f32>
      %x = titan.load @x : tensor<f32>
      return %x : tensor<f32>
    })");
  EXPECT_THAT(call("increment"), testing::ElementsAre(1));
  EXPECT_THAT(interpreter->variable("x").values, testing::ElementsAre(2));
  EXPECT_THAT(call("caller"), testing::ElementsAre(2));
  EXPECT_THAT(interpreter->variable("x").values, testing::ElementsAre(3));
}

TEST_F(InterpreterTest, StoresSwapVariables) {
  load(R"(
    titan.variable counter @x : tensor<f32> init #titan.constant<1.0>
    titan.variable counter @y : tensor<f32> init #titan.constant<2.0>
    func.func @swap() {
      %x = titan.load @x : tensor<f32>
      %y = titan.load @y : tensor<f32>
      titan.store %x, @y : tensor<f32>
      titan.store %y, @x : tensor<f32>
      return
    })");
  ASSERT_TRUE(succeeded(interpreter->call("swap", {})));
  EXPECT_THAT(interpreter->variable("x").values, testing::ElementsAre(2));
  EXPECT_THAT(interpreter->variable("y").values, testing::ElementsAre(1));
}

TEST_F(InterpreterTest, AFailedCallChangesNoVariable) {
  load(R"(
    titan.variable counter @x : tensor<f32>
    func.func @f(%t: tensor<1xi32>, %w: tensor<4x2xf32>) -> tensor<1x2xf32> {
      %one = titan.full 1.0 : tensor<f32>
      titan.store %one, @x : tensor<f32>
      %r = titan.embedding %t, %w : tensor<1xi32>, tensor<4x2xf32> -> tensor<1x2xf32>
      return %r : tensor<1x2xf32>
    })");
  HostTensor token(RankedTensorType::get({1}, IntegerType::get(&context, 32)));
  token.values = {4};
  const HostTensor table = make({4, 2}, std::vector<double>(8, 1));
  EXPECT_TRUE(failed(interpreter->call("f", {token, table})));
  EXPECT_EQ(message, "'titan.embedding' op found token 4, expects 0 to 3");
  EXPECT_THAT(interpreter->variable("x").values, testing::ElementsAre(0));
}

TEST_F(InterpreterTest, ValuesAreFreedAtTheirLastUse) {
  load(R"(
    func.func @chain(%a: tensor<10xf32>) -> tensor<10xf32> {
      %b = titan.neg %a : tensor<10xf32>
      %c = titan.neg %b : tensor<10xf32>
      %dead = titan.neg %c : tensor<10xf32>
      %d = titan.neg %c : tensor<10xf32>
      %e = titan.neg %d : tensor<10xf32>
      return %e : tensor<10xf32>
    })");
  EXPECT_EQ(call("chain", make({10}, std::vector<double>(10, 3))), std::vector<double>(10, 3));
  EXPECT_EQ(interpreter->peakElements(), 20);
}

TEST_F(InterpreterTest, TypedModeRoundsEachResult) {
  constexpr StringLiteral source = R"(
    func.func @f(%a: tensor<1xf32>) -> tensor<1xf32> {
      %b = titan.cast %a : tensor<1xf32> -> tensor<1xbf16>
      %c = titan.cast %b : tensor<1xbf16> -> tensor<1xf32>
      %d = titan.add %c, %c : tensor<1xf32>
      return %d : tensor<1xf32>
    })";
  load(source);
  EXPECT_THAT(call("f", make({1}, {1 + 0x1p-8})), testing::ElementsAre(2 + 0x1p-7));
  load(source, {.precision = Precision::typed});
  // A tie, and the even neighbour is 1.
  EXPECT_THAT(call("f", make({1}, {1 + 0x1p-8})), testing::ElementsAre(2));
  EXPECT_THAT(call("f", make({1}, {1 + 0x1p-8 + 0x1p-20})), testing::ElementsAre(2 + 0x1p-6));
}

TEST_F(InterpreterTest, KernelRegionsAreEvaluatedInside) {
  load(R"(
    func.func @f(%a: tensor<2xf32>, %b: tensor<2xf32>) -> (tensor<2xf32>, tensor<2xf32>) {
      %r:2 = titan.kernel (%x = %a, %y = %b) : (tensor<2xf32>, tensor<2xf32>)
          -> (tensor<2xf32>, tensor<2xf32>) {
        %s = titan.add %x, %y : tensor<2xf32>
        %p = titan.mul %s, %y : tensor<2xf32>
        titan.yield %p, %s : tensor<2xf32>, tensor<2xf32>
      }
      return %r#0, %r#1 : tensor<2xf32>, tensor<2xf32>
    })");
  auto results = interpreter->call("f", {make({2}, {1, 2}), make({2}, {3, 4})});
  ASSERT_TRUE(succeeded(results)) << message;
  EXPECT_THAT((*results)[0].values, testing::ElementsAre(12, 24));
  EXPECT_THAT((*results)[1].values, testing::ElementsAre(4, 6));
}

TEST_F(InterpreterTest, AttentionGoesByPositions) {
  load(R"(
    func.func @f(%q: tensor<1x3x1x2xf32>, %k: tensor<1x2x1x2xf32>, %qp: tensor<1x3xi32>,
                 %kp: tensor<1x2xi32>) -> tensor<1x3x1x2xf32> {
      %r, %lse = titan.attention causal %q, %k, %k
          positions(%qp, %kp : tensor<1x3xi32>, tensor<1x2xi32>) scale 1.0
          : tensor<1x3x1x2xf32>, tensor<1x2x1x2xf32>, tensor<1x2x1x2xf32>
          -> tensor<1x3x1x2xf32>, tensor<1x1x3xf32>
      return %r : tensor<1x3x1x2xf32>
    })");
  auto positions = [&](std::vector<double> values) {
    const int64_t shape[] = {1, static_cast<int64_t>(values.size())};
    HostTensor tensor(RankedTensorType::get(shape, IntegerType::get(&context, 32)));
    tensor.values = std::move(values);
    return tensor;
  };
  // Equal scores: a query gets the mean of the values it sees, and 0 when it sees none.
  EXPECT_THAT(
      call("f", {make({1, 3, 1, 2}, std::vector<double>(6, 0)), make({1, 2, 1, 2}, {1, 2, 3, 4}),
                 positions({7, 5, 4}), positions({6, 5})}),
      testing::ElementsAre(2, 3, 3, 4, 0, 0));
}

TEST_F(InterpreterTest, AnOpWithoutTheInterfaceIsNamedWithIt) {
  load(R"(
    func.func @f() -> tensor<2xf32> {
      %c = arith.constant dense<1.0> : tensor<2xf32>
      return %c : tensor<2xf32>
    })");
  EXPECT_TRUE(failed(interpreter->call("f", {})));
  EXPECT_EQ(message, "'arith.constant' op cannot be evaluated: it lacks ReferenceOpInterface");
}

TEST_F(InterpreterTest, WrongCallsAreErrors) {
  load("func.func @f(%a: tensor<2xf32>) { return }\n"
       "func.func @endless() { call @endless() : () -> () return }");
  EXPECT_TRUE(failed(interpreter->call("g", {})));
  EXPECT_EQ(message, "the module has no function @g");
  EXPECT_TRUE(failed(interpreter->call("f", {})));
  EXPECT_EQ(message, "'func.func' op takes 1 arguments, found 0");
  EXPECT_TRUE(failed(interpreter->call("f", {make({3}, {1, 2, 3})})));
  EXPECT_EQ(message, "'func.func' op takes 'tensor<2xf32>' as argument 0, found 'tensor<3xf32>'");
  EXPECT_TRUE(failed(interpreter->call("endless", {})));
  EXPECT_EQ(message, "'func.call' op cannot be evaluated: calls are nested more than 64 deep");
  EXPECT_EQ(interpreter->findVariable("x"), nullptr);
}

TEST_F(InterpreterTest, WhatStandsElsewhereCannotBeEvaluated) {
  load(R"(
    titan.mesh @mesh [tp = 2]
    func.func private @elsewhere()
    func.func @calls() { call @elsewhere() : () -> () return }
    func.func @parts(%x: tensor<1x2xf32>, %w: tensor<3x2xf32>, %l: tensor<1xi32>, %c: tensor<i32>) {
      %a, %v = titan.head_loss %x, %w, %l classes from %c over [tp]
          : (tensor<1x2xf32>, tensor<3x2xf32>, tensor<1xi32>, tensor<i32>)
          -> (tensor<f32>, tensor<f32>)
      return
    })");
  EXPECT_TRUE(failed(interpreter->call("calls", {})));
  EXPECT_EQ(message, "'func.call' op cannot be evaluated: no body of @elsewhere");
  HostTensor label(RankedTensorType::get({1}, IntegerType::get(&context, 32)));
  HostTensor first(RankedTensorType::get({}, IntegerType::get(&context, 32)));
  label.values = first.values = {0};
  EXPECT_TRUE(failed(interpreter->call(
      "parts", {make({1, 2}, {1, 2}), make({3, 2}, std::vector<double>(6)), label, first})));
  EXPECT_EQ(message, "'titan.head_loss' op has a part of the classes, which is evaluated after "
                     "titan-chunk-loss");
}

TEST_F(InterpreterTest, ACollectiveStaysWithinAPipelineRank) {
  load(R"(
    titan.mesh @mesh [pp = 2]
    func.func @f(%x: tensor<2xf32> {titan.global_type = tensor<2xf32, #titan.sharding<[{}]>>})
        -> tensor<2xf32> attributes {titan.pipeline_rank = 1 : i64} {
      %sum = titan.all_reduce sum %x over [pp] : (tensor<2xf32>) -> tensor<2xf32>
      return %sum : tensor<2xf32>
    })");
  EXPECT_TRUE(failed(interpreter->call("f", {make({2}, {1, 2})})));
  EXPECT_EQ(message, "'titan.all_reduce' op cannot be evaluated: it needs rank 0, which is of "
                     "another pipeline rank");
}

} // namespace
} // namespace titan

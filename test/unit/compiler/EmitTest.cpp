// The program file and the exec dialect say the same: file to dialect to file is bit-equal.
#include "compiler/emit/Emit.h"
#include "runtime/format/Dump.h"
#include "runtime/format/ProgramFile.h"
#include "test/unit/format/TestProgram.h"

#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "llvm/Support/raw_ostream.h"

#include <gtest/gtest.h>

using namespace titan;

namespace {

std::string print(mlir::ModuleOp module) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  module.print(stream, mlir::OpPrintingFlags().enableDebugInfo());
  return text;
}

class EmitTest : public testing::Test {
protected:
  EmitTest() { context.loadDialect<exec::ExecDialect>(); }

  /// The program of a module in text, or the diagnostics.
  std::string exportText(llvm::StringRef text) {
    std::string errors;
    mlir::ScopedDiagnosticHandler handler(&context, [&](mlir::Diagnostic &diagnostic) {
      errors += diagnostic.str() + "\n";
      return mlir::success();
    });
    auto module = mlir::parseSourceString<mlir::ModuleOp>(text, &context);
    if (!module)
      return errors;
    auto program = exportProgram(*module);
    return mlir::failed(program) ? errors : format::dumpProgram(*program);
  }

  mlir::MLIRContext context;
};

} // namespace

TEST_F(EmitTest, FileToDialectToFileIsBitEqual) {
  const std::string bytes = format::writeProgram(format::testProgram());
  auto program = format::readProgram(bytes);
  ASSERT_TRUE(program.ok()) << program.status().message();
  auto module = importProgram(&context, *program);
  ASSERT_TRUE(mlir::succeeded(mlir::verify(*module)));
  auto exported = exportProgram(*module);
  ASSERT_TRUE(mlir::succeeded(exported));
  EXPECT_EQ(format::dumpProgram(*exported), format::dumpProgram(*program));
  EXPECT_EQ(format::writeProgram(*exported), bytes);
}

TEST_F(EmitTest, TextInBetweenLosesNothing) {
  const std::string bytes = format::writeProgram(format::testProgram());
  auto module = importProgram(&context, *format::readProgram(bytes));
  auto parsed = mlir::parseSourceString<mlir::ModuleOp>(print(*module), &context);
  ASSERT_TRUE(parsed);
  auto exported = exportProgram(*parsed);
  ASSERT_TRUE(mlir::succeeded(exported));
  EXPECT_EQ(format::writeProgram(*exported), bytes);
}

TEST_F(EmitTest, EveryElementTypeConvertsBack) {
  for (int i = 0; i < kNumDTypes; ++i) {
    const auto type = static_cast<DType>(i);
    const mlir::Type element = getElementType(&context, type);
    EXPECT_TRUE(exec::isElementType(element)) << toString(type);
    EXPECT_EQ(getDType(element), type);
    EXPECT_EQ(exec::getElementBytes(element), byteSize(type));
  }
}

TEST_F(EmitTest, RefusesWhatIsNotFinished) {
  EXPECT_EQ(exportText("exec.segment @s size 64 in device"),
            "needs an exec.program to be written to a file\n");
  EXPECT_EQ(exportText(R"(
    exec.program target "cpu" mesh [] flops_per_token 0 job "" sources []
    exec.kernel @k(read memref<4xf32>) stages [#exec.stage<"s", 1>])"),
            "'exec.kernel' op has not been emitted: it names no image\n");
  EXPECT_EQ(exportText(R"(
    exec.program target "cpu" mesh [] flops_per_token 0 job "" sources []
    exec.image @i target "cpu" features [] contents dense_resource<i> : tensor<4xi8>)"),
            "'exec.image' op names contents that the module does not hold\n");
  EXPECT_EQ(exportText("module { module {} }"),
            "'builtin.module' op has no place in a program file: lower the module to exec first\n");
}

// titan-opt FILE.mlir | model.tbin --titan-...: the usual MLIR driver with Titan's dialects and
// passes. A program file is read as a module in the exec dialect.
#include "compiler/Registration.h"
#include "compiler/emit/Emit.h"

#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/ToolOutputFile.h"
#include "llvm/Support/raw_ostream.h"

static int fail(const llvm::Twine &message) {
  llvm::errs() << "titan-opt: " << message << "\n";
  return 1;
}

/// Runs the driver on a program file.
static int runOnProgram(llvm::StringRef input, llvm::StringRef output,
                        mlir::DialectRegistry &registry) {
  auto file = llvm::MemoryBuffer::getFile(input);
  if (!file)
    return fail(input + ": " + file.getError().message());
  const auto text = titan::printProgram((*file)->getBuffer());
  if (!text.ok())
    return fail(input + ": " + text.status().message());
  std::error_code error;
  llvm::ToolOutputFile out(output, error, llvm::sys::fs::OF_None);
  if (error)
    return fail(output + ": " + error.message());
  if (mlir::failed(mlir::MlirOptMain(out.os(), llvm::MemoryBuffer::getMemBufferCopy(*text, input),
                                     registry, mlir::MlirOptMainConfig::createFromCLOptions())))
    return 1;
  out.keep();
  return 0;
}

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  titan::registerDialects(registry);
  titan::registerPasses();
  const auto [input, output] =
      mlir::registerAndParseCLIOptions(argc, argv, "Titan's passes\n", registry);
  if (llvm::StringRef(input).ends_with(".tbin"))
    return runOnProgram(input, output, registry);
  return mlir::asMainReturnCode(mlir::MlirOptMain(argc, argv, input, output, registry));
}

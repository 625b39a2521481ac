#include "compiler/emit/Emit.h"

#include "runtime/format/ProgramFile.h"

#include "mlir/Tools/mlir-translate/Translation.h"
#include "llvm/Support/SourceMgr.h"

using namespace mlir;

namespace titan {

static std::string_view view(llvm::StringRef bytes) { return {bytes.data(), bytes.size()}; }

StatusOr<std::string> printProgram(llvm::StringRef bytes) {
  TITAN_ASSIGN_OR_RETURN(const format::Program program, format::readProgram(view(bytes)));
  MLIRContext context;
  std::string text;
  llvm::raw_string_ostream stream(text);
  importProgram(&context, program)->print(stream);
  return text;
}

static OwningOpRef<Operation *> importFile(llvm::SourceMgr &sources, MLIRContext *context) {
  const llvm::MemoryBuffer *file = sources.getMemoryBuffer(sources.getMainFileID());
  const auto program = format::readProgram(view(file->getBuffer()));
  if (!program.ok()) {
    emitError(UnknownLoc::get(context)) << program.status().message();
    return {};
  }
  return importProgram(context, *program).release().getOperation();
}

static LogicalResult exportFile(Operation *op, llvm::raw_ostream &out) {
  auto module = dyn_cast<ModuleOp>(op);
  if (!module)
    return op->emitOpError("is no module of a program");
  FailureOr<format::Program> program = exportProgram(module);
  if (failed(program))
    return failure();
  out << format::writeProgram(*program);
  return success();
}

void registerTranslations() {
  static TranslateToMLIRRegistration import(
      "tbin-to-exec", "a program file to the exec dialect", importFile,
      [](DialectRegistry &registry) { registry.insert<exec::ExecDialect>(); });
  static TranslateFromMLIRRegistration exporting(
      "exec-to-tbin", "the exec dialect to a program file", exportFile,
      [](DialectRegistry &registry) { registry.insert<exec::ExecDialect>(); });
}

} // namespace titan

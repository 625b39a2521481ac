// titan-check: compares programs by executing them in the reference interpreter.
#include "compiler/reference/CheckCommand.h"
#include "dialects/titan/TitanDialect.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/Support/SourceMgr.h"

int main(int argc, char **argv) {
  auto options = titan::parseCheckOptions(llvm::ArrayRef(argv, argc).drop_front());
  if (!options.ok()) {
    llvm::errs() << "titan-check: " << options.status().message() << "\n";
    return 1;
  }
  if (options->help) {
    llvm::outs() << titan::getCheckUsage();
    return 0;
  }
  mlir::MLIRContext context;
  context.loadDialect<mlir::func::FuncDialect, titan::TitanDialect>();
  llvm::SourceMgr sources;
  mlir::SourceMgrDiagnosticHandler diagnostics(sources, &context);
  if (titan::Status status = titan::runCheck(*options, context, llvm::outs()); !status.ok()) {
    llvm::errs() << "titan-check: " << status.message() << "\n";
    return 1;
  }
  return 0;
}

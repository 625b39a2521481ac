// The exec dialect to the program file and back.
#pragma once

#include "dialects/exec/Exec.h"
#include "runtime/base/DType.h"
#include "runtime/base/Status.h"
#include "runtime/format/Program.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

#include <optional>

namespace titan {

/// The program of a module in the exec dialect, one struct per op, in the order of the ops. Kernels
/// must have been emitted: each names an image. The images' contents point into the module, which
/// must outlive the program. Fails with an error at the op that does not fit.
mlir::FailureOr<format::Program> exportProgram(mlir::ModuleOp module);

/// The module of a verified program; `exportProgram` of it gives an equal program. Kernels have no
/// body; locations name the op's place in the program, such as "fwd:12".
mlir::OwningOpRef<mlir::ModuleOp> importProgram(mlir::MLIRContext *context,
                                                const format::Program &program);

/// The program file in `bytes` as a module in text. A damaged file is an error.
StatusOr<std::string> printProgram(llvm::StringRef bytes);

/// Registers `tbin-to-exec` and `exec-to-tbin` with titan-translate.
void registerTranslations();

/// The format's name of an element type for which exec::isElementType holds, and the reverse.
DType getDType(mlir::Type type);
mlir::Type getElementType(mlir::MLIRContext *context, DType type);

} // namespace titan

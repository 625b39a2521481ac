// The module in Inputs/ops.mlir, which has every compute op of the titan dialect.
#pragma once

#include "compiler/reference/Interpreter.h"
#include "dialects/titan/TitanDialect.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/StringSet.h"

namespace titan {

class OpSamples {
public:
  OpSamples();

  mlir::MLIRContext &getContext() { return context; }
  mlir::ModuleOp getModule() { return *module; }

  /// The one op of a function's body.
  static mlir::Operation *getOp(mlir::func::FuncOp function) {
    return &function.getBody().front().front();
  }

  /// Random arguments such as the function's attributes ask for.
  llvm::SmallVector<HostTensor> makeArguments(mlir::func::FuncOp function);

  /// Names of the dialect's ops that have the interface and no sample.
  template <typename Interface> std::vector<std::string> findMissing() {
    llvm::StringSet<> sampled;
    getModule().walk([&](mlir::Operation *op) { sampled.insert(op->getName().getStringRef()); });
    std::vector<std::string> missing;
    for (mlir::RegisteredOperationName name : context.getRegisteredOperationsByDialect("titan"))
      if (name.hasInterface<Interface>() && !sampled.contains(name.getStringRef()))
        missing.push_back(name.getStringRef().str());
    return missing;
  }

private:
  mlir::MLIRContext context;
  mlir::OwningOpRef<mlir::ModuleOp> module;
};

} // namespace titan

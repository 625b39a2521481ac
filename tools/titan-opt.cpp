// titan-opt FILE.mlir --titan-...: the usual MLIR driver with Titan's dialects and passes.
#include "compiler/Registration.h"

#include "mlir/Tools/mlir-opt/MlirOptMain.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  titan::registerDialects(registry);
  titan::registerPasses();
  return mlir::asMainReturnCode(mlir::MlirOptMain(argc, argv, "Titan's passes\n", registry));
}

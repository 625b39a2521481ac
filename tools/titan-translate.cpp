// titan-translate --tbin-to-exec | --exec-to-tbin FILE: program files to MLIR and back.
#include "compiler/emit/Emit.h"

#include "mlir/Tools/mlir-translate/MlirTranslateMain.h"

int main(int argc, char **argv) {
  titan::registerTranslations();
  return mlir::failed(mlir::mlirTranslateMain(argc, argv, "program files and MLIR"));
}

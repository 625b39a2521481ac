#include "dialects/titan/TitanDialect.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

#include "dialects/titan/TitanDialect.cpp.inc"
#include "dialects/titan/TitanEnums.cpp.inc"

#define GET_ATTRDEF_CLASSES
#include "dialects/titan/TitanAttrs.cpp.inc"

#define GET_OP_CLASSES
#include "dialects/titan/TitanOps.cpp.inc"

namespace titan {

void TitanDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/titan/TitanAttrs.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/titan/TitanOps.cpp.inc"
      >();
}

LogicalResult NormalInitAttr::verify(function_ref<InFlightDiagnostic()> emitError, double mean,
                                     double std) {
  if (!(std >= 0))
    return emitError() << "expects a standard deviation of at least 0, found " << std;
  return success();
}

LogicalResult TruncatedNormalInitAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                              double mean, double std, double lower,
                                              double upper) {
  if (!(std > 0))
    return emitError() << "expects a standard deviation above 0, found " << std;
  if (!(lower < upper))
    return emitError() << "expects the lower cut to be below the upper one, found " << lower
                       << " and " << upper;
  return success();
}

LogicalResult RopeTableInitAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                        RopeComponent component, double theta, double factor,
                                        double lowFrequency, double highFrequency,
                                        double originalLength) {
  if (!(theta > 0) || !(factor > 0) || !(originalLength > 0))
    return emitError() << "expects theta, factor and original_length above 0, found " << theta
                       << ", " << factor << " and " << originalLength;
  if (!(lowFrequency < highFrequency))
    return emitError() << "expects low_frequency below high_frequency, found " << lowFrequency
                       << " and " << highFrequency;
  return success();
}

} // namespace titan

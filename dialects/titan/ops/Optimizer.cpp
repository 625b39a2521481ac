#include "dialects/titan/TitanDialect.h"

using namespace mlir;

namespace titan {

LogicalResult AdamUpdateOp::verify() {
  auto outside = [](const APFloat &beta) {
    const double value = beta.convertToDouble();
    return !(value >= 0 && value < 1);
  };
  if (outside(getBeta1()) || outside(getBeta2()))
    return emitOpError() << "expects beta1 and beta2 in [0, 1), found "
                         << getBeta1().convertToDouble() << " and " << getBeta2().convertToDouble();
  if (!(getEpsilon().convertToDouble() >= 0))
    return emitOpError() << "expects epsilon of at least 0, found "
                         << getEpsilon().convertToDouble();
  return success();
}

} // namespace titan

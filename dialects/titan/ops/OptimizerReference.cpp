// Evaluation, cost and sharding of the optimizer's step.
#include "dialects/titan/TitanDialect.h"

#include <cmath>

using namespace mlir;

namespace titan {

LogicalResult AdamUpdateOp::evaluate(ReferenceContext &, ArrayRef<const HostTensor *> operands,
                                     MutableArrayRef<HostTensor> results) {
  const HostTensor &parameter = *operands[0], &gradient = *operands[1];
  const HostTensor &expAvg = *operands[2], &expAvgSq = *operands[3];
  const double lr = operands[4]->values[0], scale = operands[5]->values[0];
  const double biasCorrection1 = operands[6]->values[0], biasCorrection2 = operands[7]->values[0];
  if (operands[8]->values[0] == 0) {
    results[0].values = parameter.values;
    results[1].values = expAvg.values;
    results[2].values = expAvgSq.values;
    return success();
  }
  const double rate1 = operands[9]->values[0], rate2 = operands[10]->values[0];
  const double epsilon = operands[11]->values[0], decay = operands[12]->values[0];
  for (int64_t i = 0; i < parameter.size(); ++i) {
    const double p = parameter.values[i];
    const double g = gradient.values[i] * scale + (getDecoupled() ? 0 : decay * p);
    const double m = (1 - rate1) * expAvg.values[i] + rate1 * g;
    const double v = (1 - rate2) * expAvgSq.values[i] + rate2 * g * g;
    const double kept = getDecoupled() ? p * (1 - lr * decay) : p;
    results[0].values[i] =
        kept - lr * (m / biasCorrection1) / (std::sqrt(v / biasCorrection2) + epsilon);
    results[1].values[i] = m;
    results[2].values[i] = v;
  }
  return success();
}

// Per element: 1 for the scaled gradient, 3 and 4 for the moments, 2 for the decay, 7 for the step.
int64_t AdamUpdateOp::getFlops() { return 17 * tensorType(getParameter()).getNumElements(); }

ShardingRule AdamUpdateOp::getShardingRule() { return getPointwiseRule(*this); }

} // namespace titan

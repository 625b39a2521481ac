// Meaning and cost of layouts and collectives.

#include "dialects/titan/TitanDialect.h"

using namespace mlir;

namespace titan {

using Tensors = ArrayRef<const HostTensor *>;
using Outputs = ArrayRef<HostTensor *>;

//===----------------------------------------------------------------------===//
// reshard: the global value does not change
//===----------------------------------------------------------------------===//

LogicalResult ReshardOp::evaluate(ReferenceContext &, Tensors operands,
                                  MutableArrayRef<HostTensor> results) {
  results[0].values = operands[0]->values;
  return success();
}
int64_t ReshardOp::getFlops() { return 0; }

//===----------------------------------------------------------------------===//
// Collectives
//===----------------------------------------------------------------------===//

namespace {
/// A tensor seen as `outer` blocks of `inner` consecutive elements: the dimensions before a
/// dimension, and that dimension with those after it.
struct Blocks {
  int64_t outer = 1, inner = 1;

  Blocks(ArrayRef<int64_t> shape, unsigned dimension) {
    for (auto [i, size] : llvm::enumerate(shape))
      (i < dimension ? outer : inner) *= size;
  }
};
} // namespace

/// Copies part `index` of `whole` to or from `part`.
template <typename Whole, typename Part, typename Move>
static void movePart(Whole &whole, Part &part, unsigned dimension, int64_t index, Move move) {
  const Blocks wholeBlocks(whole.shape(), dimension), partBlocks(part.shape(), dimension);
  for (int64_t outer = 0; outer < wholeBlocks.outer; ++outer)
    for (int64_t i = 0; i < partBlocks.inner; ++i)
      move(whole.values[outer * wholeBlocks.inner + index * partBlocks.inner + i],
           part.values[outer * partBlocks.inner + i]);
}

static void gather(Tensors operands, Outputs results, unsigned dimension) {
  for (HostTensor *result : results)
    for (auto [index, operand] : llvm::enumerate(operands))
      movePart(*result, *operand, dimension, index,
               [](double &whole, double part) { whole = part; });
}

static void reduceScatter(Tensors operands, Outputs results, unsigned dimension) {
  for (auto [index, result] : llvm::enumerate(results))
    for (const HostTensor *operand : operands)
      movePart(*operand, *result, dimension, index,
               [](double whole, double &part) { part += whole; });
}

static void allReduce(Tensors operands, Outputs results, Reduction reduction) {
  HostTensor sum = *operands.front();
  for (const HostTensor *operand : operands.drop_front())
    for (auto [total, value] : llvm::zip_equal(sum.values, operand->values))
      total = reduction == Reduction::sum ? total + value : std::max(total, value);
  for (HostTensor *result : results)
    result->values = sum.values;
}

void AllGatherOp::evaluateGroup(Tensors operands, Outputs results) {
  gather(operands, results, getDimension());
}

void ReduceScatterOp::evaluateGroup(Tensors operands, Outputs results) {
  reduceScatter(operands, results, getDimension());
}

void AllReduceOp::evaluateGroup(Tensors operands, Outputs results) {
  allReduce(operands, results, getReduction());
}

void StartOp::evaluateGroup(Tensors operands, Outputs results) {
  switch (getKind()) {
  case CollectiveKind::allGather:
    return gather(operands, results, getDimension());
  case CollectiveKind::reduceScatter:
    return reduceScatter(operands, results, getDimension());
  case CollectiveKind::allReduce:
    return allReduce(operands, results, getReduction());
  }
}

/// One addition per element that is received.
int64_t AllGatherOp::getFlops() { return 0; }
static int64_t countElements(ValueRange inputs) {
  int64_t elements = 0;
  for (Value input : inputs)
    elements += tensorType(input).getNumElements();
  return elements;
}
int64_t ReduceScatterOp::getFlops() { return countElements(getInputs()); }
int64_t AllReduceOp::getFlops() { return countElements(getInputs()); }
int64_t StartOp::getFlops() {
  return getKind() == CollectiveKind::allGather ? 0 : countElements(getInputs());
}

//===----------------------------------------------------------------------===//
// axis_slice
//===----------------------------------------------------------------------===//

LogicalResult AxisSliceOp::evaluate(ReferenceContext &context, Tensors operands,
                                    MutableArrayRef<HostTensor> results) {
  const auto axes = llvm::to_vector(getAxes().getAsRange<StringAttr>());
  movePart(*operands[0], results[0], getDimension(), context.getCoordinate(axes),
           [](double whole, double &part) { part = whole; });
  return success();
}
int64_t AxisSliceOp::getFlops() { return 0; }

} // namespace titan

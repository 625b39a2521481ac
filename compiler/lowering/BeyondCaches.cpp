#include "compiler/lowering/BeyondCaches.h"

#include "compiler/lowering/ScalarStorage.h"

using namespace mlir;

namespace titan {

/// A kernel that touches this much has pushed its results out of common last-level caches before
/// anybody reads them.
static constexpr int64_t kStreamedBytes = int64_t{64} << 20;
/// Results below this size are not worth a second version of the loops.
static constexpr int64_t kLeastStreamedResult = int64_t{1} << 20;
/// An operand of this size comes from beyond the second-level cache.
static constexpr int64_t kPrefetchedBytes = int64_t{2} << 20;
/// Longer rows are not prefetched: the hardware sees the stream within one.
static constexpr int64_t kPrefetchedRowBytes = int64_t{64} << 10;

int64_t getStorageBytes(Type tensor) {
  auto type = cast<RankedTensorType>(tensor);
  return type.getNumElements() * getStorageType(type.getElementType()).getIntOrFloatBitWidth() / 8;
}

bool isStreamed(KernelOp kernel, const KernelSchedule &schedule, unsigned result) {
  int64_t bytes = 0;
  for (Type type : kernel->getOperandTypes())
    bytes += getStorageBytes(type);
  for (Type type : kernel->getResultTypes())
    bytes += getStorageBytes(type);
  if (bytes < kStreamedBytes ||
      getStorageBytes(kernel.getResult(result).getType()) < kLeastStreamedResult)
    return false;
  return llvm::none_of(schedule.stages, [&](const Stage &stage) {
    return llvm::any_of(stage.evaluations, [&](const Evaluation &evaluation) {
      return evaluation.kind == Evaluation::Kind::reload && evaluation.index == result;
    });
  });
}

llvm::SmallVector<unsigned> findPrefetched(KernelOp kernel, const Stage &stage) {
  llvm::SmallVector<unsigned> found;
  for (const Nest &nest : stage.nests)
    for (unsigned number : nest.evaluations) {
      const Evaluation &evaluation = stage.evaluations[number];
      if (evaluation.kind != Evaluation::Kind::load || nest.columns.size() != 1 ||
          !evaluation.place.isIdentity() || llvm::is_contained(found, evaluation.index))
        continue;
      auto type = cast<RankedTensorType>(kernel.getOperand(evaluation.index).getType());
      const int64_t bytes = getStorageBytes(type);
      if (bytes >= kPrefetchedBytes && bytes / stage.units <= kPrefetchedRowBytes &&
          type.getShape().back() == nest.columns[0])
        found.push_back(evaluation.index);
    }
  return found;
}

} // namespace titan

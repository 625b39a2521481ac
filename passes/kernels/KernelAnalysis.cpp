#include "passes/kernels/KernelAnalysis.h"

#include "passes/kernels/KernelBatch.h"

#include "mlir/IR/OperationSupport.h"

#include <numeric>

using namespace mlir;

namespace titan {

namespace {
/// A point in a launch: stage, then nest. Within a nest, every iteration loads before it stores.
using Moment = std::pair<unsigned, unsigned>;

struct Load {
  Moment moment;
  AffineMap place;
};

struct Stores {
  Moment moment;
  llvm::SmallVector<AffineMap> places;
};
} // namespace

static llvm::SmallVector<llvm::SmallVector<unsigned>> findReusable(KernelOp kernel,
                                                                   const KernelSchedule &schedule) {
  llvm::SmallVector<llvm::SmallVector<Load>> loads(kernel.getNumOperands());
  llvm::SmallVector<Stores> stores(kernel.getNumResults());
  for (auto [stageIndex, stage] : llvm::enumerate(schedule.stages)) {
    for (auto [nestIndex, nest] : llvm::enumerate(stage.nests)) {
      const Moment moment(stageIndex, nestIndex);
      for (unsigned index : nest.evaluations) {
        const Evaluation &evaluation = stage.evaluations[index];
        if (evaluation.kind == Evaluation::Kind::load)
          loads[evaluation.index].push_back({moment, evaluation.place});
      }
      for (const Root &root : nest.roots) {
        if (root.kind != Root::Kind::store)
          continue;
        stores[root.index].moment = moment;
        stores[root.index].places.push_back(root.place);
      }
    }
  }
  llvm::SmallVector<llvm::SmallVector<unsigned>> reusable(kernel.getNumResults());
  for (auto [result, store] : llvm::enumerate(stores)) {
    // The stages before are complete; in the same stage other rows and elements may be anywhere
    // in their work, so that a load must be of the very element that is stored, and not later.
    auto isSafe = [&store = store](const Load &load) {
      if (load.moment.first != store.moment.first)
        return load.moment.first < store.moment.first;
      return load.moment <= store.moment && llvm::is_contained(store.places, load.place);
    };
    for (auto [operand, type] : llvm::enumerate(kernel.getOperandTypes()))
      if (type == kernel.getResult(result).getType() && llvm::all_of(loads[operand], isSafe))
        reusable[result].push_back(operand);
  }
  return reusable;
}

static int64_t product(llvm::ArrayRef<int64_t> sizes) {
  return std::accumulate(sizes.begin(), sizes.end(), int64_t{1}, std::multiplies<int64_t>());
}

// One per scalar body and combination; what several nests need counts several times.
static int64_t countFlops(const KernelSchedule &schedule) {
  int64_t flops = 0;
  for (const Stage &stage : schedule.stages) {
    const int64_t rows = product(stage.rows);
    for (const Nest &nest : stage.nests) {
      const int64_t elements = rows * product(nest.columns);
      for (unsigned index : nest.evaluations) {
        const Evaluation &evaluation = stage.evaluations[index];
        if (evaluation.kind == Evaluation::Kind::compute)
          flops += evaluation.level == Level::element ? elements
                   : evaluation.level == Level::row   ? rows
                                                      : 1;
      }
      for (const Root &root : nest.roots)
        if (root.kind != Root::Kind::store)
          flops += elements;
    }
    for (unsigned reduction : stage.combines)
      flops += schedule.stages[0].blocks * product(schedule.crossReductions[reduction].shape);
  }
  return flops;
}

// The kernels' own plans side by side: their blocks, stage by stage, and their scratch memory.
static llvm::FailureOr<KernelPlan> analyzeBatch(llvm::ArrayRef<BatchPart> parts,
                                                const ScheduleOptions &options) {
  KernelPlan plan;
  for (const BatchPart &part : parts) {
    auto own = analyzeKernel(part.kernel, options);
    if (failed(own))
      return failure();
    for (llvm::ArrayRef<unsigned> reusable : own->reusable) {
      // No other kernel may read it: nothing orders the two.
      auto &added = plan.reusable.emplace_back();
      for (unsigned operand : reusable)
        if (part.kernel->getOperand(operand).hasOneUse())
          added.push_back(part.operands[operand]);
    }
    plan.scratchBytes += own->scratchBytes;
    plan.blocks.resize(std::max(plan.blocks.size(), own->blocks.size()));
    for (auto [all, blocks] : llvm::zip(plan.blocks, own->blocks))
      all += blocks;
    plan.flops += own->flops;
  }
  return plan;
}

static void countBytes(KernelOp kernel, KernelPlan &plan) {
  for (Type type : kernel.getOperandTypes())
    plan.bytesRead += getByteSize(type);
  for (Type type : kernel.getResultTypes())
    plan.bytesWritten += getByteSize(type);
}

llvm::FailureOr<KernelPlan> analyzeKernel(KernelOp kernel, const ScheduleOptions &options) {
  if (const std::vector<BatchPart> parts = getBatch(kernel); !parts.empty()) {
    auto plan = analyzeBatch(parts, options);
    if (succeeded(plan))
      countBytes(kernel, *plan);
    return plan;
  }
  auto schedule = scheduleKernel(kernel, options);
  if (failed(schedule))
    return failure();
  KernelPlan plan;
  plan.reusable = findReusable(kernel, *schedule);
  plan.scratchBytes = schedule->scratchBytes;
  for (const Stage &stage : schedule->stages)
    plan.blocks.push_back(stage.blocks);
  plan.flops = countFlops(*schedule);
  countBytes(kernel, plan);
  return plan;
}

llvm::hash_code hashKernel(KernelOp kernel) {
  llvm::DenseMap<Value, unsigned> numbers;
  auto number = [&](Value value) {
    auto next = static_cast<unsigned>(numbers.size());
    return numbers.try_emplace(value, next).first->second;
  };
  llvm::hash_code hash(0);
  for (BlockArgument argument : kernel.getBody().getArguments())
    hash = llvm::hash_combine(hash, number(argument), argument.getType());
  for (Operation &op : kernel.getBody().front()) {
    hash = llvm::hash_combine(hash, op.getName(), op.hashProperties(),
                              op.getDiscardableAttrDictionary());
    for (Value operand : op.getOperands())
      hash = llvm::hash_combine(hash, number(operand));
    for (Value result : op.getResults())
      hash = llvm::hash_combine(hash, number(result), result.getType());
  }
  return hash;
}

bool kernelsEqual(KernelOp lhs, KernelOp rhs) {
  return OperationEquivalence::isRegionEquivalentTo(&lhs.getBody(), &rhs.getBody(),
                                                    OperationEquivalence::IgnoreLocations);
}

} // namespace titan

#include "compiler/report/RematFacts.h"

#include "compiler/Diagnostics.h"
#include "compiler/report/Names.h"
#include "dialects/titan/TitanDialect.h"
#include "passes/memory/RematRank.h"
#include "passes/sharding/OpMotion.h"

#include <map>

using namespace mlir;

namespace titan {
namespace {

/// Adds up items by name.
class Items {
public:
  void add(Operation *op, int64_t amount) {
    const std::string name =
        withoutNumbers(locationName(op->getLoc())) + ": " + op->getName().stripDialect().str();
    RematFacts::Item &item = items[name];
    item.name = name;
    ++item.count;
    item.amount += amount;
  }
  std::vector<RematFacts::Item> take() {
    std::vector<RematFacts::Item> list;
    for (auto &[name, item] : items)
      list.push_back(std::move(item));
    llvm::sort(list, [](const auto &a, const auto &b) {
      return std::tie(b.amount, a.name) < std::tie(a.amount, b.name);
    });
    return list;
  }

private:
  std::map<std::string, RematFacts::Item> items;
};

double sumWork(func::FuncOp function, const MachineBalance &balance) {
  double work = 0;
  for (Operation &op : function.getBody().front())
    work += static_cast<double>(estimateWork(&op, balance));
  return work;
}

std::optional<std::vector<RematPlan>> choose(const RematRank &rank, size_t index,
                                             const RematerializeOptions &options) {
  if (options.mode == RematMode::limit)
    return rank.planWithin(options.bytes[index]);
  std::vector<RematPlan> plans;
  for (const RematRank::Stage &stage : rank.getStages())
    plans.push_back(choosePlan(stage.problem, {options.mode, options.every, options.budget}));
  return plans;
}

RematFrontier::Point addUp(const RematRank &rank, ArrayRef<RematPlan> plans) {
  RematFrontier::Point point{rank.countBytes(plans), 0};
  for (const RematPlan &plan : plans)
    point.work += plan.work;
  return point;
}

class Collector {
public:
  explicit Collector(const MachineBalance &balance) : balance(balance) {}

  RematFacts::Rank collect(const RematRank &rank, ArrayRef<RematPlan> plans) {
    RematFacts::Rank facts{.rank = rank.getRank()};
    std::vector<RematPlan> none;
    Items kept, rerun;
    for (auto [stage, plan] : llvm::zip_equal(rank.getStages(), plans)) {
      const RematProblem &problem = stage.problem;
      facts.work += sumWork(problem.functions.forward, balance) +
                    sumWork(problem.functions.backward, balance);
      none.push_back(choosePlan(problem, {.mode = RematMode::none}));
      addItems(problem, plan, kept, rerun);
    }
    facts.none = addUp(rank, none);
    facts.chosen = addUp(rank, plans);
    facts.range.push_back(facts.none);
    for (const RematFrontier::Point &point : rank.getFrontier().getPoints())
      if (point.bytes < facts.none.bytes)
        facts.range.push_back(point);
    facts.kept = kept.take();
    facts.rerun = rerun.take();
    return facts;
  }

  int64_t einsumFlops = 0;

private:
  /// Views and pointwise functions take no time to speak of, and are part of other kernels.
  void addItems(const RematProblem &problem, const RematPlan &plan, Items &kept, Items &rerun) {
    for (auto [number, value] : llvm::enumerate(problem.values))
      if (plan.kept[number])
        kept.add(value.getDefiningOp(), problem.graph.values[number].bytes);
    for (auto [number, op] : llvm::enumerate(problem.ops)) {
      if (!plan.rerun[number])
        continue;
      if (!isView(op) && !isPointwise(op))
        rerun.add(op, problem.graph.ops[number].work);
      if (auto einsum = dyn_cast<EinsumOp>(op))
        einsumFlops += einsum.getFlops();
    }
  }

  MachineBalance balance;
};

} // namespace

FailureOr<RematFacts> collectRematFacts(ModuleOp device, const RematerializeOptions &options) {
  const MachineBalance balance{options.flopsPerByte, options.flopsPerNetworkByte};
  auto ranks = collectRematRanks(device, balance);
  if (failed(ranks))
    return failure();
  RematFacts facts;
  Collector collector(balance);
  for (auto [index, rank] : llvm::enumerate(*ranks)) {
    const auto plans = choose(rank, index, options);
    if (!plans)
      return device.emitError("has no plan within the bytes of the mode limit");
    facts.ranks.push_back(collector.collect(rank, *plans));
  }
  facts.einsumFlops = collector.einsumFlops;
  return facts;
}

} // namespace titan

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
  void add(Operation *op, int64_t amount, StringRef remark = "") {
    const std::string name = withoutNumbers(locationName(op->getLoc())) + ": " +
                             op->getName().stripDialect().str() + remark.str();
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

class Collector {
public:
  explicit Collector(const MachineBalance &balance) : balance(balance) {}

  RematFacts::Rank collect(const RematRank &rank, ArrayRef<RematPlan> plans) {
    RematFacts::Rank facts{.rank = rank.getRank()};
    Items kept, rerun;
    for (auto [stage, plan] : llvm::zip_equal(rank.getStages(), plans)) {
      for (func::FuncOp function :
           {stage.functions.forward, stage.functions.backward, stage.functions.weights})
        facts.work += function ? estimateWork(function, balance) : 0;
      addKept(stage, plan, kept);
      addRerun(stage, plan, rerun);
      facts.einsumFlops += sumEinsums(stage, plan);
    }
    facts.none = addUp(*rank.choosePlans({.mode = RematMode::none}));
    facts.chosen = addUp(plans);
    facts.range.push_back(facts.none);
    for (const RematFrontier::Point &point : rank.getFrontier().getPoints())
      if (point.bytes < facts.none.bytes)
        facts.range.push_back(point);
    facts.kept = kept.take();
    facts.rerun = rerun.take();
    return facts;
  }

private:
  static void addKept(const RematProblem &problem, const RematPlan &plan, Items &kept) {
    for (auto [number, value] : llvm::enumerate(problem.values)) {
      Operation *op = value.getDefiningOp();
      if (plan.kept[number])
        kept.add(op, getByteSize(value.getType()));
      else if (op && plan.carried[number])
        kept.add(op, getByteSize(value.getType()), ", from the first half of a backward on");
    }
  }

  /// Views and pointwise functions take no time to speak of, and are part of other kernels.
  void addRerun(const RematProblem &problem, const RematPlan &plan, Items &rerun) {
    auto add = [&](Operation *op, int64_t work) {
      if (!isView(op) && !isPointwise(op))
        rerun.add(op, work);
    };
    for (auto [number, op] : llvm::enumerate(problem.ops)) {
      if (plan.rerun[number])
        add(op, problem.graph.ops[number].work);
      if (plan.rerunInWeights[number])
        add(op, problem.graph.ops[number].workInWeights);
    }
  }

  static int64_t sumEinsums(const RematProblem &problem, const RematPlan &plan) {
    int64_t flops = 0;
    for (auto [number, op] : llvm::enumerate(problem.ops))
      if (auto einsum = dyn_cast<EinsumOp>(op))
        flops += (plan.rerun[number] + plan.rerunInWeights[number]) * einsum.getFlops();
    return flops;
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
    const int64_t bytes = options.mode == RematMode::limit ? options.bytes[index] : 0;
    const auto plans = rank.choosePlans({options.mode, options.every, options.budget, bytes});
    if (!plans)
      return device.emitError("has no plan within the bytes of the mode limit");
    facts.ranks.push_back(collector.collect(rank, *plans));
  }
  return facts;
}

} // namespace titan

#include "dialects/titan/Sharding.h"
#include "passes/Functions.h"
#include "passes/Passes.h"

#include "mlir/IR/PatternMatch.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

using namespace mlir;

namespace titan {

#define GEN_PASS_DEF_SIMPLIFYCOLLECTIVES
#include "passes/Passes.h.inc"

namespace {

/// A collective of one value and nothing else of it: the form that partitioning makes.
template <typename Collective> Collective getSingle(Value value) {
  auto op = value.getDefiningOp<Collective>();
  return op && op->getNumOperands() == 1 ? op : Collective();
}

bool isSum(AllReduceOp op) { return op && op.getReduction() == Reduction::sum; }

bool isGroupOfOne(const MeshShape &mesh, ArrayAttr axes) {
  return mesh.getSize(llvm::to_vector(axes.getAsRange<StringAttr>())) == 1;
}

/// Nothing is exchanged in a group of one rank.
void dropTrivial(func::FuncOp function, const MeshShape &mesh) {
  function.walk([&](Operation *op) {
    if (auto collective = dyn_cast<CollectiveOpInterface>(op)) {
      if (mesh.getSize(collective.getGroupAxes()) == 1) {
        op->replaceAllUsesWith(op->getOperands());
        op->erase();
      }
    } else if (auto slice = dyn_cast<AxisSliceOp>(op)) {
      if (isGroupOfOne(mesh, slice.getAxes())) {
        slice.replaceAllUsesWith(slice.getInput());
        slice.erase();
      }
    }
  });
}

/// axis_slice(all_reduce sum x) -> reduce_scatter x, when the slices are all that is read or their
/// axes those of the sum; axis_slice(all_gather x) -> x.
struct SliceOfCollective : OpRewritePattern<AxisSliceOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(AxisSliceOp op, PatternRewriter &rewriter) const override {
    if (auto gather = getSingle<AllGatherOp>(op.getInput());
        gather && gather.getAxes() == op.getAxes() && gather.getDimension() == op.getDimension()) {
      rewriter.replaceOp(op, gather.getInputs()[0]);
      return success();
    }
    auto sum = getSingle<AllReduceOp>(op.getInput());
    if (!isSum(sum))
      return failure();
    // The sum over other axes than the slice's is taken after the scatter, on less.
    SmallVector<Attribute> rest;
    for (Attribute axis : sum.getAxes())
      if (!llvm::is_contained(op.getAxes(), axis))
        rest.push_back(axis);
    const bool isCovered = rest.size() + op.getAxes().size() == sum.getAxes().size();
    if (!isCovered || !op.getInput().hasOneUse())
      return failure();
    Value part = ReduceScatterOp::create(rewriter, op.getLoc(), TypeRange(op.getType()),
                                         sum.getInputs(), op.getAxes(), op.getDimension())
                     .getResult(0);
    if (!rest.empty())
      part = AllReduceOp::create(rewriter, op.getLoc(), TypeRange(op.getType()), Reduction::sum,
                                 part, rewriter.getArrayAttr(rest))
                 .getResult(0);
    rewriter.replaceOp(op, part);
    return success();
  }
};

/// all_gather(all_gather x over inner) over outer, along one dimension -> one over outer, inner.
struct GatherOfGather : OpRewritePattern<AllGatherOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(AllGatherOp op, PatternRewriter &rewriter) const override {
    if (op->getNumOperands() != 1)
      return failure();
    auto inner = getSingle<AllGatherOp>(op.getInputs()[0]);
    if (!inner || inner.getDimension() != op.getDimension() || !inner->hasOneUse())
      return failure();
    SmallVector<Attribute> axes = llvm::to_vector(op.getAxes().getValue());
    llvm::append_range(axes, inner.getAxes());
    rewriter.replaceOpWithNewOp<AllGatherOp>(op, op.getResultTypes(), inner.getInputs(),
                                             rewriter.getArrayAttr(axes), op.getDimension(),
                                             op.getPlacement());
    return success();
  }
};

/// all_reduce(all_reduce x) -> one over both lists.
struct SumOfSum : OpRewritePattern<AllReduceOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(AllReduceOp op, PatternRewriter &rewriter) const override {
    if (op->getNumOperands() != 1)
      return failure();
    auto inner = getSingle<AllReduceOp>(op.getInputs()[0]);
    if (!inner || inner.getReduction() != op.getReduction() || !inner->hasOneUse())
      return failure();
    SmallVector<Attribute> axes = llvm::to_vector(op.getAxes().getValue());
    llvm::append_range(axes, inner.getAxes());
    rewriter.replaceOpWithNewOp<AllReduceOp>(op, op.getResultTypes(), op.getReduction(),
                                             inner.getInputs(), rewriter.getArrayAttr(axes));
    return success();
  }
};

/// reduce(x) + reduce(y) -> reduce(x + y), for one kind of reduction over the same axes.
struct SumOfReductions : OpRewritePattern<AddOp> {
  using OpRewritePattern::OpRewritePattern;

  template <typename Collective> static bool isPair(Collective left, Collective right) {
    return left && right && left != right && left->hasOneUse() && right->hasOneUse() &&
           left->getAttrDictionary() == right->getAttrDictionary();
  }

  LogicalResult matchAndRewrite(AddOp op, PatternRewriter &rewriter) const override {
    auto leftSum = getSingle<AllReduceOp>(op.getLhs()),
         rightSum = getSingle<AllReduceOp>(op.getRhs());
    if (isPair(leftSum, rightSum) && isSum(leftSum))
      return reduceLater(op, leftSum, rightSum, rewriter);
    auto leftPart = getSingle<ReduceScatterOp>(op.getLhs());
    auto rightPart = getSingle<ReduceScatterOp>(op.getRhs());
    if (isPair(leftPart, rightPart))
      return reduceLater(op, leftPart, rightPart, rewriter);
    return failure();
  }

  static LogicalResult reduceLater(AddOp op, CollectiveOpInterface left,
                                   CollectiveOpInterface right, PatternRewriter &rewriter) {
    Value sum = AddOp::create(rewriter, op.getLoc(), left->getOperand(0), right->getOperand(0));
    rewriter.replaceOp(op, left.buildGrouped(rewriter, sum)->getResults());
    return success();
  }
};

struct SimplifyCollectives : impl::SimplifyCollectivesBase<SimplifyCollectives> {
  using SimplifyCollectivesBase::SimplifyCollectivesBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    const MeshShape mesh = MeshShape::get(module);
    RewritePatternSet patterns(&getContext());
    patterns.add<SliceOfCollective, GatherOfGather, SumOfSum, SumOfReductions>(&getContext());
    const FrozenRewritePatternSet frozen(std::move(patterns));
    for (auto function : module.getOps<func::FuncOp>()) {
      if (function.isExternal())
        continue;
      dropTrivial(function, mesh);
      mergeEqual(function);
      SmallVector<Operation *> ops;
      function.walk([&](Operation *op) {
        if (isa<CollectiveOpInterface, AxisSliceOp, AddOp>(op))
          ops.push_back(op);
      });
      // Only these, and what they become: nothing else of the program is folded here.
      GreedyRewriteConfig config;
      config.setStrictness(GreedyRewriteStrictness::ExistingAndNewOps).enableFolding(false);
      if (failed(applyOpPatternsGreedily(ops, frozen, config)))
        return signalPassFailure();
      eraseDeadOps(function.getBody().front());
      mergeEqual(function);
    }
  }

  /// Equal collectives of equal values: the first one serves all.
  static void mergeEqual(func::FuncOp function);
};

/// A collective's name, operands and attributes.
struct SameCollective : llvm::DenseMapInfo<Operation *> {
  static unsigned getHashValue(const Operation *op) {
    return OperationEquivalence::computeHash(
        const_cast<Operation *>(op), OperationEquivalence::directHashValue,
        OperationEquivalence::ignoreHashValue, OperationEquivalence::IgnoreLocations);
  }
  static bool isEqual(const Operation *left, const Operation *right) {
    if (left == right)
      return true;
    if (left == getEmptyKey() || left == getTombstoneKey() || right == getEmptyKey() ||
        right == getTombstoneKey())
      return false;
    return OperationEquivalence::isEquivalentTo(const_cast<Operation *>(left),
                                                const_cast<Operation *>(right),
                                                OperationEquivalence::IgnoreLocations);
  }
};

void SimplifyCollectives::mergeEqual(func::FuncOp function) {
  llvm::DenseSet<Operation *, SameCollective> known;
  for (Operation &op : llvm::make_early_inc_range(function.getBody().front())) {
    if (!isa<CollectiveOpInterface, AxisSliceOp, ReshapeOp, SliceOp>(op))
      continue;
    auto [first, isNew] = known.insert(&op);
    if (isNew)
      continue;
    op.replaceAllUsesWith(*first);
    op.erase();
  }
}

} // namespace
} // namespace titan

#include "dialects/titan/Sharding.h"
#include "dialects/titan/TitanDialect.h"
#include "dialects/titan/ops/MapScalars.h"
#include "dialects/titan/ops/RegionSyntax.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/IRMapping.h"

using namespace mlir;

namespace titan {

static Type getScalarType(Type tensor) { return getComputeType(getElementTypeOrSelf(tensor)); }

/// Whether an operand is one number for all of several elements.
static bool isOneNumber(MapOp op, Value operand) {
  return tensorType(operand).getRank() == 0 && tensorType(op.getResult(0)).getRank() > 0;
}

//===----------------------------------------------------------------------===//
// Syntax and verification
//===----------------------------------------------------------------------===//

void MapOp::print(OpAsmPrinter &printer) { printRegionOfOperands(printer, *this); }

ParseResult MapOp::parse(OpAsmParser &parser, OperationState &result) {
  return parseRegionOfOperands(parser, result, getScalarType);
}

LogicalResult MapOp::verify() {
  if (getNumResults() == 0)
    return emitOpError("expects at least one result");
  const ArrayRef<int64_t> shape = tensorType(getResult(0)).getShape();
  for (Type type : getResultTypes())
    if (cast<RankedTensorType>(type).getShape() != shape)
      return emitOpError() << "expects results of one shape, found " << getResult(0).getType()
                           << " and " << type;
  for (Value input : getInputs())
    if (!isOneNumber(*this, input) && tensorType(input).getShape() != shape)
      return emitOpError() << "expects operands of the results' shape or of rank 0, found "
                           << input.getType() << " beside " << getResult(0).getType();
  return success();
}

LogicalResult MapOp::verifyRegions() {
  auto scalars = [](TypeRange tensors) { return llvm::map_to_vector(tensors, getScalarType); };
  auto refuse = [&](const char *what, TypeRange wanted, TypeRange found) {
    return emitOpError() << what << ", here (" << wanted << "), found (" << found << ")";
  };
  Block &block = getBody().front();
  const SmallVector<Type> taken = scalars(getOperandTypes()), yielded = scalars(getResultTypes());
  TypeRange returned = block.getTerminator()->getOperandTypes();
  if (block.getArgumentTypes() != TypeRange(taken))
    return refuse("expects one block argument per operand, of the type it is computed in", taken,
                  block.getArgumentTypes());
  if (returned != TypeRange(yielded))
    return refuse("expects the region to yield scalars of the types that the results are "
                  "computed in",
                  yielded, returned);
  for (Operation &op : block.without_terminator())
    if (!isMapScalarOp(&op))
      return op.emitOpError("stands in a titan.map, which may hold ") << listMapScalarOps();
  return success();
}

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

IterationSpace MapOp::getIterationSpace() { return getPointwiseSpace(*this); }

SmallVector<Value> MapOp::emitScalarBody(OpBuilder &builder, ValueRange inputs, ValueRange) {
  Block &block = getBody().front();
  IRMapping mapping;
  mapping.map(block.getArguments(), inputs);
  for (Operation &op : block.without_terminator())
    builder.clone(op, mapping);
  return llvm::map_to_vector(block.getTerminator()->getOperands(),
                             [&](Value value) { return mapping.lookup(value); });
}

int64_t MapOp::getFlops() {
  int64_t flops = 0;
  for (Operation &op : getBody().front().without_terminator())
    flops += countMapScalarFlops(&op);
  return flops * tensorType(getResult(0)).getNumElements();
}

//===----------------------------------------------------------------------===//
// Evaluation and sharding
//===----------------------------------------------------------------------===//

LogicalResult MapOp::evaluate(ReferenceContext &, ArrayRef<const HostTensor *> operands,
                              MutableArrayRef<HostTensor> results) {
  Block &block = getBody().front();
  llvm::DenseMap<Value, double> values;
  SmallVector<double> inputs;
  for (int64_t i = 0; i < results[0].size(); ++i) {
    for (auto [argument, tensor] : llvm::zip_equal(block.getArguments(), operands))
      values[argument] = tensor->values[tensor->type.getRank() == 0 ? 0 : i];
    for (Operation &op : block.without_terminator()) {
      inputs.clear();
      for (Value operand : op.getOperands())
        inputs.push_back(values.lookup(operand));
      values[op.getResult(0)] = evaluateMapScalar(&op, inputs);
    }
    for (auto [result, value] : llvm::zip_equal(results, block.getTerminator()->getOperands()))
      result.values[i] = values.lookup(value);
  }
  return success();
}

ShardingRule MapOp::getShardingRule() { return getPointwiseRule(*this); }

//===----------------------------------------------------------------------===//
// Vector-Jacobian product
//===----------------------------------------------------------------------===//

/// Fills the region of `gradient`, whose operands are those of `op` and then the cotangents of the
/// results that have one: the function, then its reverse.
static void buildGradientBody(MapOp op, MapOp gradient, ArrayRef<Value> cotangents,
                              const llvm::BitVector &needed) {
  Block &primal = op.getBody().front();
  Block &block = gradient.getBody().emplaceBlock();
  for (Value input : gradient.getInputs())
    block.addArgument(getScalarType(input.getType()), input.getLoc());
  auto builder = OpBuilder::atBlockEnd(&block);
  IRMapping mapping;
  mapping.map(primal.getArguments(), block.getArguments().take_front(primal.getNumArguments()));
  for (Operation &scalar : primal.without_terminator())
    builder.clone(scalar, mapping);

  llvm::DenseMap<Value, Value> adjoints;
  auto add = [&](Value value, Value part) {
    Value &sum = adjoints[value];
    sum = sum ? arith::AddFOp::create(builder, op.getLoc(), sum, part).getResult() : part;
  };
  unsigned next = primal.getNumArguments();
  for (auto [value, cotangent] : llvm::zip_equal(primal.getTerminator()->getOperands(), cotangents))
    if (cotangent)
      add(mapping.lookup(value), block.getArgument(next++));
  for (Operation &scalar : llvm::reverse(primal.without_terminator())) {
    Value result = mapping.lookup(scalar.getResult(0));
    if (Value adjoint = adjoints.lookup(result))
      differentiateMapScalar(builder, result.getDefiningOp(), adjoint, add);
  }
  SmallVector<Value> yielded;
  for (unsigned i : needed.set_bits()) {
    BlockArgument argument = block.getArgument(i);
    Value adjoint = adjoints.lookup(argument);
    if (!adjoint)
      adjoint = arith::ConstantOp::create(builder, op.getLoc(),
                                          builder.getFloatAttr(argument.getType(), 0));
    yielded.push_back(adjoint);
  }
  YieldOp::create(builder, op.getLoc(), yielded);
  for (Operation &scalar : llvm::make_early_inc_range(llvm::reverse(block)))
    if (isOpTriviallyDead(&scalar))
      scalar.erase();
}

LogicalResult MapOp::buildVjp(OpBuilder &builder, ArrayRef<Value> cotangents,
                              const llvm::BitVector &needed, Vjp &result) {
  SmallVector<Value> inputs(getInputs());
  llvm::copy_if(cotangents, std::back_inserter(inputs), [](Value v) { return bool(v); });
  const ArrayRef<int64_t> full = tensorType(getResult(0)).getShape();
  const SmallVector<unsigned> primals(needed.set_bits());
  SmallVector<Type> types;
  for (unsigned i : primals) {
    Value input = getInputs()[i];
    // Elements' shares of a number's cotangent are added up unrounded.
    RankedTensorType wanted = result.getType(input, i);
    if (isOneNumber(*this, input))
      types.push_back(RankedTensorType::get(full, getScalarType(input.getType())));
    else
      types.push_back(getScalarType(wanted) == getScalarType(input.getType()) ? wanted
                                                                              : input.getType());
  }
  auto gradient = MapOp::create(builder, getLoc(), types, inputs);
  buildGradientBody(*this, gradient, cotangents, needed);
  result.operands.assign(getNumOperands(), Value());
  for (auto [i, value] : llvm::zip_equal(primals, gradient.getResults())) {
    Value input = getInputs()[i];
    result.operands[i] = value;
    if (!isOneNumber(*this, input))
      continue;
    const auto dimensions = llvm::to_vector(llvm::seq<int64_t>(0, full.size()));
    Type scalar = RankedTensorType::get({}, getScalarType(input.getType()));
    Value sum =
        ReduceOp::create(builder, getLoc(), scalar, Reduction::sum, value, dimensions).getResult();
    if (RankedTensorType wanted = result.getType(input, i); !isSameTensor(wanted, scalar))
      sum = CastOp::create(builder, getLoc(), wanted, sum);
    result.operands[i] = sum;
  }
  return success();
}

} // namespace titan

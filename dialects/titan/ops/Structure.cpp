#include "dialects/titan/Sharding.h"
#include "dialects/titan/ops/RegionSyntax.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

using namespace mlir;

namespace titan {

//===----------------------------------------------------------------------===//
// mesh, sharding_constraint
//===----------------------------------------------------------------------===//

LogicalResult MeshOp::verify() {
  if (getSymName() != kMeshName)
    return emitOpError() << "expects the name @" << kMeshName << ", found @" << getSymName();
  if (getAxes().size() != getSizes().size())
    return emitOpError() << "expects one size per axis, found " << getAxes().size() << " axes and "
                         << getSizes().size() << " sizes";
  llvm::SmallPtrSet<Attribute, 8> seen;
  for (auto [axis, size] : llvm::zip(getAxes(), getSizes())) {
    if (!seen.insert(axis).second)
      return emitOpError() << "axis " << axis << " stands twice";
    if (size < 1)
      return emitOpError() << "axis " << axis << " expects a size of at least 1, found " << size;
  }
  return success();
}

LogicalResult ShardingConstraintOp::verify() {
  const auto rank = static_cast<size_t>(tensorType(getInput()).getRank());
  if (getSharding().getDimensions().size() != rank)
    return emitOpError() << "the sharding has " << getSharding().getDimensions().size()
                         << " dimensions, the tensor " << rank;
  return success();
}

//===----------------------------------------------------------------------===//
// variable, load, store
//===----------------------------------------------------------------------===//

/// Sharded types name axes of the module's mesh, which divide them.
static LogicalResult verifyShardings(VariableOp variable) {
  auto module = variable->getParentOfType<ModuleOp>();
  for (Type type : {variable.getType(), variable.getGlobalType().value_or(Type())}) {
    if (!module || !type || !getSharding(type))
      continue;
    const std::string error = checkSharding(cast<RankedTensorType>(type), MeshShape::get(module));
    if (!error.empty())
      return variable.emitOpError()
             << "@" << variable.getSymName() << ", " << type << ": " << error;
  }
  return success();
}

LogicalResult VariableOp::verify() {
  auto type = dyn_cast<RankedTensorType>(getType());
  if (!type || !isMemoryShape(type))
    return emitOpError() << "expects a static tensor type of 1 to 2^56 elements, found "
                         << getType();
  if (std::optional<Type> global = getGlobalType()) {
    auto whole = dyn_cast<RankedTensorType>(*global);
    if (!whole || !getSharding(whole) || whole.getElementType() != type.getElementType())
      return emitOpError() << "expects a global type with a sharding and elements of type "
                           << type.getElementType() << ", found " << *global;
  }
  if (failed(verifyShardings(*this)))
    return failure();
  auto whole = cast<RankedTensorType>(getGlobalType().value_or(type));
  const int64_t rows = whole.getRank() ? whole.getDimSize(0) : 1;
  if (const auto padding = static_cast<int64_t>(getPadding()); padding < 0 || padding >= rows)
    return emitOpError() << "expects a padding of 0 to " << rows - 1 << " rows of " << whole
                         << ", found " << padding;
  auto initializer = getInitializer();
  if (!initializer)
    return success();
  if (!isa<ConstantInitAttr, NormalInitAttr, TruncatedNormalInitAttr, RopeTableInitAttr,
           AxisIndexInitAttr>(*initializer))
    return emitOpError() << "expects an initializer of the titan dialect, found " << *initializer;
  if (isa<RopeTableInitAttr>(*initializer) && whole.getRank() != 2)
    return emitOpError() << "expects a rope table [positions, pairs], found " << whole;
  if (isa<AxisIndexInitAttr>(*initializer) &&
      (type.getRank() != 0 || !type.getElementType().isInteger(32)))
    return emitOpError() << "expects an axis index to be tensor<i32>, found " << type;
  return success();
}

static LogicalResult verifyAccess(Operation *op, FlatSymbolRefAttr name, Type type,
                                  SymbolTableCollection &symbols) {
  auto variable = symbols.lookupNearestSymbolFrom<VariableOp>(op, name);
  if (!variable)
    return op->emitOpError() << "there is no variable " << name;
  auto variableType = getSeenType(cast<RankedTensorType>(variable.getType()), op);
  if (variableType != type && withoutSharding(variableType) != type)
    return op->emitOpError() << "variable " << name << " has type " << variable.getType()
                             << ", found " << type;
  return success();
}

LogicalResult LoadOp::verifySymbolUses(SymbolTableCollection &symbols) {
  return verifyAccess(*this, getVariableAttr(), getResult().getType(), symbols);
}

LogicalResult StoreOp::verifySymbolUses(SymbolTableCollection &symbols) {
  return verifyAccess(*this, getVariableAttr(), getValue().getType(), symbols);
}

//===----------------------------------------------------------------------===//
// Regions with an argument per operand
//===----------------------------------------------------------------------===//

void printRegionOfOperands(OpAsmPrinter &printer, Operation *op) {
  Region &body = op->getRegion(0);
  printer << " (";
  llvm::interleaveComma(llvm::zip(body.getArguments(), op->getOperands()), printer, [&](auto pair) {
    printer << std::get<0>(pair) << " = " << std::get<1>(pair);
  });
  printer << ") : ";
  printer.printFunctionalType(op);
  printer.printOptionalAttrDictWithKeyword(op->getAttrs());
  printer << ' ';
  printer.printRegion(body, /*printEntryBlockArgs=*/false);
}

ParseResult parseRegionOfOperands(OpAsmParser &parser, OperationState &result,
                                  llvm::function_ref<Type(Type operand)> argumentType) {
  SmallVector<OpAsmParser::Argument> arguments;
  SmallVector<OpAsmParser::UnresolvedOperand> operands;
  FunctionType type;
  auto loc = parser.getCurrentLocation();
  if (parser.parseCommaSeparatedList(
          OpAsmParser::Delimiter::Paren,
          [&] {
            return failure(parser.parseArgument(arguments.emplace_back()) || parser.parseEqual() ||
                           parser.parseOperand(operands.emplace_back()));
          }) ||
      parser.parseColonType(type) || parser.parseOptionalAttrDictWithKeyword(result.attributes) ||
      parser.resolveOperands(operands, type.getInputs(), loc, result.operands))
    return failure();
  result.addTypes(type.getResults());
  for (auto [argument, input] : llvm::zip(arguments, type.getInputs()))
    argument.type = argumentType(input);
  return parser.parseRegion(*result.addRegion(), arguments);
}

//===----------------------------------------------------------------------===//
// kernel
//===----------------------------------------------------------------------===//

void KernelOp::print(OpAsmPrinter &printer) { printRegionOfOperands(printer, *this); }

ParseResult KernelOp::parse(OpAsmParser &parser, OperationState &result) {
  return parseRegionOfOperands(parser, result, [](Type operand) { return operand; });
}

static LogicalResult verifyBatch(KernelOp batch) {
  SmallVector<Value> results;
  for (auto part : batch.getBody().front().getOps<KernelOp>()) {
    for (auto [i, operand] : llvm::enumerate(part.getInputs()))
      if (!isa<BlockArgument>(operand))
        return part.emitOpError("reads as operand #")
               << i << " what another kernel of its batch computes at the same time";
    results.append(part->result_begin(), part->result_end());
  }
  if (ValueRange(results) != batch.getBody().front().getTerminator()->getOperands())
    return batch.emitOpError("expects a batch to yield the results of its kernels in their order");
  return success();
}

LogicalResult KernelOp::verify() {
  if (getBody().getArgumentTypes() != getOperandTypes())
    return emitOpError("expects one block argument per operand, of its type");
  Operation *yield = getBody().front().getTerminator();
  if (yield->getOperandTypes() != getResultTypes())
    return emitOpError("expects the region to yield values of the results' types");
  auto ops = getBody().front().without_terminator();
  if (!ops.empty() && llvm::all_of(ops, llvm::IsaPred<KernelOp>))
    return verifyBatch(*this);
  for (Operation &op : ops)
    if (!isa<FusibleOpInterface>(op))
      return op.emitOpError("stands in a kernel region but is no FusibleOpInterface");
  return success();
}

} // namespace titan

#include "dialects/titan/TitanDialect.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

using namespace mlir;

namespace titan {

//===----------------------------------------------------------------------===//
// variable, load, store
//===----------------------------------------------------------------------===//

LogicalResult VariableOp::verify() {
  auto type = dyn_cast<RankedTensorType>(getType());
  if (!type || !isMemoryShape(type))
    return emitOpError() << "expects a static tensor type of 1 to 2^56 elements, found "
                         << getType();
  auto initializer = getInitializer();
  if (!initializer)
    return success();
  if (!isa<ConstantInitAttr, NormalInitAttr, TruncatedNormalInitAttr, RopeTableInitAttr>(
          *initializer))
    return emitOpError() << "expects an initializer of the titan dialect, found " << *initializer;
  if (isa<RopeTableInitAttr>(*initializer) && type.getRank() != 2)
    return emitOpError() << "expects a rope table [positions, pairs], found " << type;
  return success();
}

static LogicalResult verifyAccess(Operation *op, FlatSymbolRefAttr name, Type type,
                                  SymbolTableCollection &symbols) {
  auto variable = symbols.lookupNearestSymbolFrom<VariableOp>(op, name);
  if (!variable)
    return op->emitOpError() << "there is no variable " << name;
  if (variable.getType() != type)
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
// kernel
//===----------------------------------------------------------------------===//

void KernelOp::print(OpAsmPrinter &printer) {
  printer << " (";
  llvm::interleaveComma(llvm::zip(getBody().getArguments(), getInputs()), printer, [&](auto pair) {
    printer << std::get<0>(pair) << " = " << std::get<1>(pair);
  });
  printer << ") : ";
  printer.printFunctionalType(getOperation());
  printer.printOptionalAttrDictWithKeyword((*this)->getAttrs());
  printer << ' ';
  printer.printRegion(getBody(), /*printEntryBlockArgs=*/false);
}

ParseResult KernelOp::parse(OpAsmParser &parser, OperationState &result) {
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
    argument.type = input;
  return parser.parseRegion(*result.addRegion(), arguments);
}

LogicalResult KernelOp::verify() {
  if (getBody().getArgumentTypes() != getOperandTypes())
    return emitOpError("expects one block argument per operand, of its type");
  Operation *yield = getBody().front().getTerminator();
  if (yield->getOperandTypes() != getResultTypes())
    return emitOpError("expects the region to yield values of the results' types");
  for (Operation &op : getBody().front().without_terminator())
    if (!isa<FusibleOpInterface>(op))
      return op.emitOpError("stands in a kernel region but is no FusibleOpInterface");
  return success();
}

} // namespace titan

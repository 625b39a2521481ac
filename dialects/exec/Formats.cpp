// Hand-written parts of the textual form, and the generated definitions of ops, which call them.
#include "dialects/exec/Exec.h"

using namespace mlir;
using namespace titan::exec;

static ParseResult parseKernelArguments(OpAsmParser &parser, ArrayAttr &types,
                                        ArrayAttr &accesses) {
  SmallVector<Attribute> typeList, accessList;
  auto parseArgument = [&]() -> ParseResult {
    StringRef keyword;
    MemRefType type;
    const SMLoc location = parser.getCurrentLocation();
    if (parser.parseKeyword(&keyword) || parser.parseType(type))
      return failure();
    const auto access = symbolizeAccess(keyword);
    if (!access)
      return parser.emitError(location)
             << "'" << keyword << "' is no access: expected read, write or readwrite";
    typeList.push_back(TypeAttr::get(type));
    accessList.push_back(AccessAttr::get(parser.getContext(), *access));
    return success();
  };
  if (parser.parseCommaSeparatedList(OpAsmParser::Delimiter::Paren, parseArgument))
    return failure();
  types = parser.getBuilder().getArrayAttr(typeList);
  accesses = parser.getBuilder().getArrayAttr(accessList);
  return success();
}

static void printKernelArguments(OpAsmPrinter &printer, Operation *, ArrayAttr types,
                                 ArrayAttr accesses) {
  printer << "(";
  llvm::interleaveComma(llvm::zip(types, accesses), printer, [&](auto argument) {
    auto [type, access] = argument;
    printer << stringifyAccess(cast<AccessAttr>(access).getValue()) << " "
            << cast<TypeAttr>(type).getValue();
  });
  printer << ")";
}

static ParseResult parseSlots(OpAsmParser &parser, ArrayAttr &slots) {
  SmallVector<Attribute> list;
  auto parseSlot = [&]() -> ParseResult {
    FlatSymbolRefAttr residualClass;
    int64_t index = 0;
    if (parser.parseAttribute(residualClass) || parser.parseEqual() || parser.parseInteger(index))
      return failure();
    list.push_back(SlotAttr::get(parser.getContext(), residualClass, index));
    return success();
  };
  if (parser.parseCommaSeparatedList(OpAsmParser::Delimiter::Paren, parseSlot))
    return failure();
  slots = parser.getBuilder().getArrayAttr(list);
  return success();
}

static void printSlots(OpAsmPrinter &printer, Operation *, ArrayAttr slots) {
  printer << "(";
  llvm::interleaveComma(slots.getAsRange<SlotAttr>(), printer, [&](SlotAttr slot) {
    printer << slot.getResidualClass() << " = " << slot.getIndex();
  });
  printer << ")";
}

#define GET_OP_CLASSES
#include "dialects/exec/ExecOps.cpp.inc"

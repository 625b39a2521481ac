#include "dialects/titan/TitanDialect.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

#include "dialects/titan/TitanDialect.cpp.inc"
#include "dialects/titan/TitanEnums.cpp.inc"

#define GET_ATTRDEF_CLASSES
#include "dialects/titan/TitanAttrs.cpp.inc"

// Of assembly formats.
static ParseResult parseAxisNames(OpAsmParser &parser, ArrayAttr &axes) {
  SmallVector<Attribute> names;
  if (parser.parseCommaSeparatedList(OpAsmParser::Delimiter::Square, [&]() -> ParseResult {
        std::string name;
        if (parser.parseKeywordOrString(&name))
          return failure();
        names.push_back(parser.getBuilder().getStringAttr(name));
        return success();
      }))
    return failure();
  axes = parser.getBuilder().getArrayAttr(names);
  return success();
}

static void printAxisNames(OpAsmPrinter &printer, Operation *, ArrayAttr axes) {
  printer << '[';
  llvm::interleaveComma(axes.getAsRange<StringAttr>(), printer,
                        [&](StringAttr axis) { printer.printKeywordOrString(axis.getValue()); });
  printer << ']';
}

static ParseResult parseMeshAxes(OpAsmParser &parser, ArrayAttr &axes, DenseI64ArrayAttr &sizes) {
  SmallVector<Attribute> names;
  SmallVector<int64_t> extents;
  if (parser.parseCommaSeparatedList(OpAsmParser::Delimiter::Square, [&]() -> ParseResult {
        std::string name;
        if (parser.parseKeywordOrString(&name) || parser.parseEqual() ||
            parser.parseInteger(extents.emplace_back()))
          return failure();
        names.push_back(parser.getBuilder().getStringAttr(name));
        return success();
      }))
    return failure();
  axes = parser.getBuilder().getArrayAttr(names);
  sizes = parser.getBuilder().getDenseI64ArrayAttr(extents);
  return success();
}

static void printMeshAxes(OpAsmPrinter &printer, Operation *, ArrayAttr axes,
                          DenseI64ArrayAttr sizes) {
  printer << '[';
  llvm::interleaveComma(llvm::zip(axes.getAsRange<StringAttr>(), sizes.asArrayRef()), printer,
                        [&](auto axis) {
                          printer.printKeywordOrString(std::get<0>(axis).getValue());
                          printer << " = " << std::get<1>(axis);
                        });
  printer << ']';
}

#define GET_OP_CLASSES
#include "dialects/titan/TitanOps.cpp.inc"

namespace titan {

/// Shardings repeat in every type of a function: they are printed once, under short names.
struct ShardingAliases : OpAsmDialectInterface {
  using OpAsmDialectInterface::OpAsmDialectInterface;

  AliasResult getAlias(Attribute attribute, raw_ostream &os) const override {
    if (!isa<ShardingAttr>(attribute))
      return AliasResult::NoAlias;
    os << "sharding";
    return AliasResult::OverridableAlias;
  }
};

void TitanDialect::initialize() {
  addInterfaces<ShardingAliases>();
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/titan/TitanAttrs.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/titan/TitanOps.cpp.inc"
      >();
}

bool isMemoryShape(ShapedType type) {
  if (!type.hasStaticShape())
    return false;
  int64_t left = int64_t(1) << 56; // how much larger the product of dimensions may still become
  for (int64_t size : type.getShape()) {
    if (size < 1 || size > left)
      return false;
    left /= size;
  }
  return true;
}

/// A value for messages.
static double toDouble(const APFloat &value) { return value.convertToDouble(); }

LogicalResult NormalInitAttr::verify(function_ref<InFlightDiagnostic()> emitError, APFloat mean,
                                     APFloat std) {
  if (!(toDouble(std) >= 0))
    return emitError() << "expects a standard deviation of at least 0, found " << toDouble(std);
  return success();
}

LogicalResult TruncatedNormalInitAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                              APFloat mean, APFloat std, APFloat lower,
                                              APFloat upper) {
  if (!(toDouble(std) > 0))
    return emitError() << "expects a standard deviation above 0, found " << toDouble(std);
  if (!(toDouble(lower) < toDouble(upper)))
    return emitError() << "expects the lower cut to be below the upper one, found "
                       << toDouble(lower) << " and " << toDouble(upper);
  return success();
}

LogicalResult RopeTableInitAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                        RopeComponent component, APFloat theta, APFloat factor,
                                        APFloat lowFrequency, APFloat highFrequency,
                                        APFloat originalLength) {
  if (!(toDouble(theta) > 0) || !(toDouble(factor) > 0) || !(toDouble(originalLength) > 0))
    return emitError() << "expects theta, factor and original_length above 0, found "
                       << toDouble(theta) << ", " << toDouble(factor) << " and "
                       << toDouble(originalLength);
  if (!(toDouble(lowFrequency) < toDouble(highFrequency)))
    return emitError() << "expects low_frequency below high_frequency, found "
                       << toDouble(lowFrequency) << " and " << toDouble(highFrequency);
  return success();
}

} // namespace titan

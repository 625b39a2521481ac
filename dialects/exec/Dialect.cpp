#include "dialects/exec/Exec.h"

#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace titan::exec;

#include "dialects/exec/ExecDialect.cpp.inc"
#include "dialects/exec/ExecEnums.cpp.inc"

#define GET_ATTRDEF_CLASSES
#include "dialects/exec/ExecAttrs.cpp.inc"
#define GET_TYPEDEF_CLASSES
#include "dialects/exec/ExecTypes.cpp.inc"

void ExecDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/exec/ExecAttrs.cpp.inc"
      >();
  addTypes<
#define GET_TYPEDEF_LIST
#include "dialects/exec/ExecTypes.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/exec/ExecOps.cpp.inc"
      >();
}

//===----------------------------------------------------------------------------------------===//
// Buffer types
//===----------------------------------------------------------------------------------------===//

bool titan::exec::isElementType(Type type) {
  if (auto integer = dyn_cast<IntegerType>(type)) {
    const unsigned width = integer.getWidth();
    if (integer.isUnsigned())
      return width == 8;
    return integer.isSignless() && (width == 1 || width == 8 || width == 32 || width == 64);
  }
  return isa<Float32Type, BFloat16Type, Float16Type, Float64Type, Float8E4M3FNType, Float8E5M2Type,
             Float8E8M0FNUType>(type);
}

int64_t titan::exec::getElementBytes(Type type) {
  return std::max<int64_t>(1, type.getIntOrFloatBitWidth() / 8);
}

SmallVector<int64_t> titan::exec::getStrides(MemRefType type) {
  return type.getStridesAndOffset().first;
}

bool titan::exec::isBufferType(Type type) {
  auto memref = dyn_cast<MemRefType>(type);
  if (!memref || !memref.hasStaticShape() || memref.getMemorySpace() ||
      memref.getRank() > kMaxRank || !isElementType(memref.getElementType()))
    return false;
  if (llvm::any_of(memref.getShape(), [](int64_t extent) { return extent < 1; }))
    return false;
  SmallVector<int64_t> strides;
  int64_t offset = 0;
  if (failed(memref.getStridesAndOffset(strides, offset)) || offset != 0)
    return false;
  return llvm::all_of(strides, [](int64_t stride) { return stride >= 1; });
}

int64_t titan::exec::getSpan(MemRefType type) {
  int64_t last = 0;
  for (auto [extent, stride] : llvm::zip_equal(type.getShape(), getStrides(type)))
    last += (extent - 1) * stride;
  return last + 1;
}

int64_t titan::exec::getSpanBytes(MemRefType type) {
  return getSpan(type) * getElementBytes(type.getElementType());
}

//===----------------------------------------------------------------------------------------===//
// Attributes
//===----------------------------------------------------------------------------------------===//

unsigned InitializerAttr::getNumNumbers(Distribution distribution) {
  switch (distribution) {
  case Distribution::Constant:
  case Distribution::AxisIndex:
    return 1;
  case Distribution::Normal:
    return 2;
  case Distribution::TruncatedNormal:
    return 4;
  case Distribution::RopeCosine:
  case Distribution::RopeSine:
    return 5;
  }
  llvm_unreachable("every distribution is listed");
}

Attribute InitializerAttr::parse(AsmParser &parser, Type) {
  StringRef keyword;
  const SMLoc location = parser.getCurrentLocation();
  if (parser.parseLess() || parser.parseKeyword(&keyword))
    return {};
  const auto distribution = symbolizeDistribution(keyword);
  if (!distribution) {
    parser.emitError(location) << "'" << keyword
                               << "' is no distribution: expected constant, normal, "
                                  "truncated_normal, rope_cosine, rope_sine or axis_index";
    return {};
  }
  SmallVector<APFloat> numbers;
  ArrayAttr axes;
  while (!axes && succeeded(parser.parseOptionalComma())) {
    const OptionalParseResult list = parser.parseOptionalAttribute(axes);
    if (list.has_value()) {
      if (failed(*list))
        return {};
      continue;
    }
    double number = 0;
    if (parser.parseFloat(number))
      return {};
    numbers.emplace_back(number);
  }
  if (parser.parseGreater())
    return {};
  return parser.getChecked<InitializerAttr>(location, parser.getContext(), *distribution,
                                            ArrayRef<APFloat>(numbers), axes);
}

void InitializerAttr::print(AsmPrinter &printer) const {
  printer << "<" << stringifyDistribution(getDistribution());
  for (const APFloat &number : getNumbers()) {
    printer << ", ";
    printer.printFloat(number);
  }
  if (getAxes())
    printer << ", " << getAxes();
  printer << ">";
}

/// Checks that a list holds names only.
static LogicalResult verifyAxisNames(function_ref<InFlightDiagnostic()> emitError, ArrayAttr axes) {
  for (Attribute axis : axes ? axes.getValue() : ArrayRef<Attribute>())
    if (!isa<StringAttr>(axis))
      return emitError() << "expects names of mesh axes, found " << axis;
  return success();
}

static std::string toText(const APFloat &value) {
  SmallString<16> text;
  value.toString(text);
  return std::string(text);
}

LogicalResult InitializerAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                      Distribution distribution, ArrayRef<APFloat> numbers,
                                      ArrayAttr axes) {
  if (static_cast<bool>(axes) != (distribution == Distribution::AxisIndex))
    return emitError() << stringifyDistribution(distribution)
                       << (axes ? " depends on no mesh axes" : " needs mesh axes");
  if (failed(verifyAxisNames(emitError, axes)))
    return failure();
  if (numbers.size() != getNumNumbers(distribution))
    return emitError() << stringifyDistribution(distribution) << " takes "
                       << getNumNumbers(distribution) << " numbers, found " << numbers.size();
  for (const APFloat &number : numbers)
    if (&number.getSemantics() != &APFloat::IEEEdouble() || !number.isFinite())
      return emitError() << "an initializer's numbers are finite doubles, found " << toText(number);
  if (distribution == Distribution::AxisIndex) {
    if (!numbers[0].isInteger())
      return emitError() << "the scale of an axis_index is an integer, found "
                         << toText(numbers[0]);
    return success();
  }
  if (distribution == Distribution::RopeCosine || distribution == Distribution::RopeSine) {
    for (const APFloat &number : numbers)
      if (!(number > APFloat(0.0)))
        return emitError() << "the numbers of a rotary table are positive, found "
                           << toText(number);
    return success();
  }
  if (distribution != Distribution::Constant && numbers[1] < APFloat(0.0))
    return emitError() << "the standard deviation of an initializer is at least 0, found "
                       << toText(numbers[1]);
  if (distribution != Distribution::TruncatedNormal)
    return success();
  const APFloat &mean = numbers[0], &lower = numbers[2], &upper = numbers[3];
  if (!(lower < upper))
    return emitError() << "the bounds of a truncated_normal are increasing, found " << toText(lower)
                       << " and " << toText(upper);
  if (mean < lower || mean > upper)
    return emitError() << "the mean of a truncated_normal lies within its bounds, found "
                       << toText(mean) << " outside [" << toText(lower) << ", " << toText(upper)
                       << "]";
  return success();
}

LogicalResult StageAttr::verify(llvm::function_ref<InFlightDiagnostic()> emitError,
                                StringRef symbol, int64_t blocks, int64_t threads) {
  if (symbol.empty())
    return emitError() << "a stage needs a symbol, found an empty name";
  if (blocks < 1)
    return emitError() << "a stage has at least 1 block, found " << blocks << " in '" << symbol
                       << "'";
  if (threads != 0 && (threads < 32 || threads > 1024 || !llvm::isPowerOf2_64(threads)))
    return emitError() << "a block's threads are a power of two from 32 to 1024, found " << threads
                       << " in '" << symbol << "'";
  return success();
}

LogicalResult CostAttr::verify(llvm::function_ref<InFlightDiagnostic()> emitError, int64_t flops,
                               int64_t bytes) {
  if (flops < 0 || bytes < 0)
    return emitError() << "a cost is not negative, found flops " << flops << " and bytes " << bytes;
  return success();
}

LogicalResult AxisAttr::verify(llvm::function_ref<InFlightDiagnostic()> emitError, StringRef name,
                               int64_t size) {
  if (name.empty())
    return emitError() << "a mesh axis needs a name, found an empty one";
  if (size < 1)
    return emitError() << "the size of a mesh axis is at least 1, found " << size << " for '"
                       << name << "'";
  return success();
}

//===----------------------------------------------------------------------------------------===//
// What depends on the rank
//===----------------------------------------------------------------------------------------===//

int64_t titan::exec::getNumCoordinates(ModuleOp module, ArrayRef<Attribute> axes) {
  auto programs = module.getOps<ProgramOp>();
  if (programs.empty())
    return 0;
  int64_t count = 1;
  for (auto [i, axis] : llvm::enumerate(axes)) {
    int64_t size = 0;
    for (auto known : (*programs.begin()).getMesh().getAsRange<AxisAttr>())
      if (known.getName() == cast<StringAttr>(axis).getValue())
        size = known.getSize();
    if (llvm::is_contained(axes.take_front(i), axis))
      return 0;
    count *= size;
  }
  return count;
}

LogicalResult ShardingAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                   ArrayAttr dimensions, ArrayAttr partial, ArrayAttr flat,
                                   int64_t granule, int64_t padding) {
  for (Attribute dimension : dimensions) {
    auto axes = dyn_cast<ArrayAttr>(dimension);
    if (!axes)
      return emitError() << "expects a list of mesh axes per dimension, found " << dimension;
    if (failed(verifyAxisNames(emitError, axes)))
      return failure();
  }
  if (granule < 1)
    return emitError() << "the granule is at least 1, found " << granule;
  if (padding < 0)
    return emitError() << "the padding is at least 0 rows, found " << padding;
  if (failed(verifyAxisNames(emitError, partial)))
    return failure();
  return verifyAxisNames(emitError, flat);
}

LogicalResult RotationAttr::verify(function_ref<InFlightDiagnostic()> emitError, ArrayAttr axes,
                                   int64_t stride, int64_t shift) {
  if (stride < 1)
    return emitError() << "the stride of a rotation is at least 1 byte, found " << stride;
  if (shift < 0)
    return emitError() << "the shift of a rotation is at least 0, found " << shift;
  return verifyAxisNames(emitError, axes);
}

LogicalResult WhenAttr::verify(function_ref<InFlightDiagnostic()> emitError, ArrayAttr axes,
                               int64_t value) {
  if (axes.empty())
    return emitError() << "a predicate needs at least 1 mesh axis";
  if (value < 0)
    return emitError() << "the value of a predicate is at least 0, found " << value;
  return verifyAxisNames(emitError, axes);
}

LogicalResult ExecDialect::verifyOperationAttribute(Operation *op, NamedAttribute attribute) {
  if (attribute.getName() != kWhen)
    return op->emitOpError("has an attribute '")
           << attribute.getName().getValue() << "', which the dialect does not know";
  auto when = dyn_cast<WhenAttr>(attribute.getValue());
  if (!when)
    return op->emitOpError() << "expects " << kWhen << " to be an #exec.when, found "
                             << attribute.getValue();
  if (!isa<FuncOp>(op->getParentOp()) || isa<BufferOp, StartOp, AwaitOp>(op))
    return op->emitOpError("is executed by all ranks: it may have no ") << kWhen;
  const int64_t size =
      getNumCoordinates(op->getParentOfType<ModuleOp>(), when.getAxes().getValue());
  if (size == 0)
    return op->emitOpError("the axes of a predicate are the mesh's, each once, found ")
           << when.getAxes();
  if (when.getValue() >= size)
    return op->emitOpError("the value of a predicate is below the ")
           << size << " coordinates, found " << when.getValue();
  return success();
}

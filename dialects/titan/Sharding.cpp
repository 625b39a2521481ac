#include "dialects/titan/Sharding.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

#include "mlir/IR/OpImplementation.h"
#include "llvm/ADT/SmallPtrSet.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace titan {

//===----------------------------------------------------------------------===//
// Meshes
//===----------------------------------------------------------------------===//

MeshShape::MeshShape(MeshOp mesh) {
  for (auto [name, size] : llvm::zip(mesh.getAxes().getAsRange<StringAttr>(), mesh.getSizes()))
    axes.push_back({name, size});
}

MeshShape MeshShape::get(ModuleOp module) {
  auto mesh = module.lookupSymbol<MeshOp>(kMeshName);
  return mesh ? MeshShape(mesh) : MeshShape();
}

bool MeshShape::hasAxis(StringAttr name) const {
  return llvm::any_of(axes, [&](const Axis &axis) { return axis.name == name; });
}

int64_t MeshShape::getSize(StringAttr name) const {
  const Axis *axis = llvm::find_if(axes, [&](const Axis &a) { return a.name == name; });
  return axis == axes.end() ? 1 : axis->size;
}

int64_t MeshShape::getSize(ArrayRef<StringAttr> names) const {
  int64_t size = 1;
  for (StringAttr name : names)
    size *= getSize(name);
  return size;
}

int64_t MeshShape::getNumRanks() const {
  int64_t ranks = 1;
  for (const Axis &axis : axes)
    ranks *= axis.size;
  return ranks;
}

int64_t MeshShape::getCoordinate(int64_t rank, ArrayRef<StringAttr> names) const {
  int64_t coordinate = 0;
  for (StringAttr name : names) {
    int64_t stride = 1;
    for (const Axis &axis : llvm::reverse(axes)) {
      if (axis.name == name) {
        coordinate = coordinate * axis.size + rank / stride % axis.size;
        break;
      }
      stride *= axis.size;
    }
  }
  return coordinate;
}

SmallVector<int64_t> MeshShape::getGroup(int64_t rank, ArrayRef<StringAttr> names) const {
  SmallVector<int64_t> group = {rank};
  for (StringAttr name : names) {
    int64_t stride = 1;
    for (const Axis &axis : llvm::reverse(axes)) {
      if (axis.name != name) {
        stride *= axis.size;
        continue;
      }
      SmallVector<int64_t> wider;
      for (int64_t member : group)
        for (int64_t i = 0; i < axis.size; ++i)
          wider.push_back(member + (i - member / stride % axis.size) * stride);
      group = wider;
      break;
    }
  }
  return group;
}

//===----------------------------------------------------------------------===//
// Types
//===----------------------------------------------------------------------===//

ShardingAttr getSharding(Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  return tensor ? dyn_cast_if_present<ShardingAttr>(tensor.getEncoding()) : ShardingAttr();
}

RankedTensorType withSharding(RankedTensorType type, ShardingAttr sharding) {
  return RankedTensorType::get(type.getShape(), type.getElementType(), sharding);
}

RankedTensorType withoutSharding(RankedTensorType type) {
  return RankedTensorType::get(type.getShape(), type.getElementType());
}

std::optional<int64_t> getPipelineRank(Operation *op) {
  auto function = dyn_cast<func::FuncOp>(op);
  if (!function)
    function = op->getParentOfType<func::FuncOp>();
  auto rank = function ? function->getAttrOfType<IntegerAttr>(kPipelineRank) : IntegerAttr();
  return rank ? std::optional(rank.getInt()) : std::nullopt;
}

RankedTensorType getSeenType(RankedTensorType variable, Operation *op) {
  ShardingAttr sharding = titan::getSharding(variable);
  if (!sharding || !getPipelineRank(op))
    return variable;
  SmallVector<StringAttr> partial(sharding.getPartial());
  llvm::erase_if(partial, [](StringAttr axis) { return axis.getValue() == kPipelineAxis; });
  return withSharding(variable, sharding.withPartial(partial));
}

bool isSameTensor(Type left, Type right) {
  auto a = cast<RankedTensorType>(left), b = cast<RankedTensorType>(right);
  return a.getShape() == b.getShape() && a.getElementType() == b.getElementType();
}

/// The type without its flat axes' cut.
static RankedTensorType divideDimensions(RankedTensorType type, ShardingAttr sharding,
                                         const MeshShape &mesh) {
  SmallVector<int64_t> shape(type.getShape());
  for (auto [i, size] : llvm::enumerate(shape))
    size /= mesh.getSize(sharding.getAxes(i));
  return RankedTensorType::get(shape, type.getElementType());
}

FlatStorage getFlatStorage(RankedTensorType type, const MeshShape &mesh) {
  ShardingAttr sharding = getSharding(type);
  FlatStorage storage;
  storage.whole = divideDimensions(type, sharding, mesh);
  const int64_t elements = storage.whole.getNumElements();
  const int64_t slices = mesh.getSize(sharding.getFlat());
  storage.sliceElements = llvm::alignTo(llvm::divideCeil(elements, slices),
                                        static_cast<uint64_t>(sharding.getGranule()));
  storage.paddingElements = storage.sliceElements * slices - elements;
  return storage;
}

RankedTensorType getLocalType(RankedTensorType type, const MeshShape &mesh) {
  ShardingAttr sharding = getSharding(type);
  if (!sharding)
    return type;
  if (sharding.isFlat())
    return RankedTensorType::get({getFlatStorage(type, mesh).sliceElements}, type.getElementType());
  return divideDimensions(type, sharding, mesh);
}

/// The divisors of a size, for messages: "1, 2, 4, 8".
static std::string listDivisors(int64_t size) {
  SmallVector<std::string> divisors;
  for (int64_t degree = 1; degree <= size && divisors.size() < 16; ++degree)
    if (size % degree == 0)
      divisors.push_back(std::to_string(degree));
  return llvm::join(divisors, ", ");
}

static std::string joinNames(ArrayRef<StringAttr> axes) {
  return llvm::join(llvm::map_range(axes, [](StringAttr axis) { return axis.str(); }), ", ");
}

std::string checkAxes(ShardingAttr sharding, const MeshShape &mesh) {
  SmallVector<StringAttr> named;
  for (unsigned dimension = 0; dimension < sharding.getDimensions().size(); ++dimension)
    llvm::append_range(named, sharding.getAxes(dimension));
  llvm::append_range(named, sharding.getPartial());
  llvm::append_range(named, sharding.getFlat());
  const auto *unknown =
      llvm::find_if_not(named, [&](StringAttr axis) { return mesh.hasAxis(axis); });
  if (unknown == named.end())
    return {};
  const auto axes = llvm::map_to_vector(mesh.getAxes(), [](const auto &axis) { return axis.name; });
  return llvm::formatv("axis '{0}' is not one of the mesh, which has {1}", unknown->getValue(),
                       axes.empty() ? "none" : joinNames(axes));
}

std::string checkSharding(RankedTensorType type, const MeshShape &mesh) {
  ShardingAttr sharding = getSharding(type);
  if (!sharding)
    return {};
  if (std::string error = checkAxes(sharding, mesh); !error.empty())
    return error;
  for (unsigned dimension = 0; dimension < type.getRank(); ++dimension) {
    const SmallVector<StringAttr> axes = sharding.getAxes(dimension);
    const int64_t size = type.getDimSize(dimension), degree = mesh.getSize(axes);
    if (size % degree)
      return llvm::formatv("dimension {0} of size {1} cannot be split over {2}, of degree {3}; it "
                           "divides by {4}",
                           dimension, size, joinNames(axes), degree, listDivisors(size));
  }
  return {};
}

//===----------------------------------------------------------------------===//
// #titan.sharding
//===----------------------------------------------------------------------===//

ShardingAttr ShardingAttr::getReplicated(MLIRContext *context, int64_t rank) {
  return get(context, SmallVector<ArrayAttr>(rank, ArrayAttr::get(context, {})));
}

bool ShardingAttr::isReplicated() const {
  return llvm::all_of(getDimensions(), [](ArrayAttr axes) { return axes.empty(); }) &&
         getPartial().empty() && getFlat().empty();
}

SmallVector<StringAttr> ShardingAttr::getAxes(unsigned dimension) const {
  return llvm::to_vector(getDimensions()[dimension].getAsRange<StringAttr>());
}

ShardingAttr ShardingAttr::withPartial(ArrayRef<StringAttr> partial) const {
  return get(getContext(), getDimensions(), partial, getFlat(), getGranule());
}

ShardingAttr ShardingAttr::withoutFlat() const {
  return get(getContext(), getDimensions(), getPartial());
}

LogicalResult ShardingAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                   ArrayRef<ArrayAttr> dimensions, ArrayRef<StringAttr> partial,
                                   ArrayRef<StringAttr> flat, int64_t granule) {
  llvm::SmallPtrSet<Attribute, 8> seen;
  auto check = [&](auto &&axes) -> LogicalResult {
    for (Attribute axis : axes) {
      if (!isa<StringAttr>(axis))
        return emitError() << "expects names of mesh axes, found " << axis;
      if (!seen.insert(axis).second)
        return emitError() << "axis " << axis << " stands twice; it splits one dimension, or is "
                           << "partial, or flat";
    }
    return success();
  };
  for (ArrayAttr axes : dimensions)
    if (failed(check(axes)))
      return failure();
  if (failed(check(partial)) || failed(check(flat)))
    return failure();
  if (granule < 1)
    return emitError() << "expects a granule of at least 1 element, found " << granule;
  return success();
}

LogicalResult ShardingAttr::verifyEncoding(ArrayRef<int64_t> shape, Type,
                                           function_ref<InFlightDiagnostic()> emitError) const {
  if (shape.size() != getDimensions().size())
    return emitError() << "the sharding has " << getDimensions().size()
                       << " dimensions, the tensor " << shape.size();
  return success();
}

static void printAxes(AsmPrinter &printer, ArrayRef<StringAttr> axes) {
  printer << '{';
  llvm::interleaveComma(axes, printer,
                        [&](StringAttr axis) { printer.printKeywordOrString(axis.getValue()); });
  printer << '}';
}

static ParseResult parseAxes(AsmParser &parser, SmallVectorImpl<StringAttr> &axes,
                             AsmParser::Delimiter delimiter = AsmParser::Delimiter::Braces) {
  return parser.parseCommaSeparatedList(delimiter, [&]() -> ParseResult {
    std::string name;
    if (parser.parseKeywordOrString(&name))
      return failure();
    axes.push_back(StringAttr::get(parser.getContext(), name));
    return success();
  });
}

void ShardingAttr::print(AsmPrinter &printer) const {
  printer << "<[";
  llvm::interleaveComma(llvm::seq<unsigned>(0, getDimensions().size()), printer,
                        [&](unsigned dimension) { printAxes(printer, getAxes(dimension)); });
  printer << ']';
  if (!getPartial().empty()) {
    printer << ", partial ";
    printAxes(printer, getPartial());
  }
  if (!getFlat().empty()) {
    printer << ", flat ";
    printAxes(printer, getFlat());
    printer << " granule " << getGranule();
  }
  printer << '>';
}

Attribute ShardingAttr::parse(AsmParser &parser, Type) {
  SmallVector<ArrayAttr> dimensions;
  SmallVector<StringAttr> partial, flat;
  int64_t granule = 1;
  auto parseDimension = [&]() -> ParseResult {
    SmallVector<StringAttr> axes;
    if (parseAxes(parser, axes))
      return failure();
    SmallVector<Attribute> attributes(axes.begin(), axes.end());
    dimensions.push_back(ArrayAttr::get(parser.getContext(), attributes));
    return success();
  };
  auto loc = parser.getCurrentLocation();
  if (parser.parseLess() ||
      parser.parseCommaSeparatedList(AsmParser::Delimiter::Square, parseDimension))
    return {};
  while (succeeded(parser.parseOptionalComma())) {
    StringRef keyword;
    if (parser.parseKeyword(&keyword))
      return {};
    if (keyword == "partial") {
      if (parseAxes(parser, partial))
        return {};
    } else if (keyword == "flat") {
      if (parseAxes(parser, flat) || parser.parseKeyword("granule") || parser.parseInteger(granule))
        return {};
    } else {
      parser.emitError(loc) << "expects 'partial' or 'flat', found '" << keyword << "'";
      return {};
    }
  }
  if (parser.parseGreater())
    return {};
  auto emitError = [&] { return parser.emitError(loc); };
  return getChecked(function_ref<InFlightDiagnostic()>(emitError), parser.getContext(),
                    ArrayRef<ArrayAttr>(dimensions), ArrayRef<StringAttr>(partial),
                    ArrayRef<StringAttr>(flat), granule);
}

//===----------------------------------------------------------------------===//
// #titan.axis_index
//===----------------------------------------------------------------------===//

void AxisIndexInitAttr::print(AsmPrinter &printer) const {
  printer << '<';
  printAxes(printer, getAxes());
  printer << " times " << getScale() << '>';
}

Attribute AxisIndexInitAttr::parse(AsmParser &parser, Type) {
  SmallVector<StringAttr> axes;
  int64_t scale = 1;
  if (parser.parseLess() || parseAxes(parser, axes) || parser.parseKeyword("times") ||
      parser.parseInteger(scale) || parser.parseGreater())
    return {};
  return get(parser.getContext(), axes, scale);
}

} // namespace titan

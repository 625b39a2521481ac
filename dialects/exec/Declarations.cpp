// Builders and verifiers of what stands at module level, timelines excepted.
#include "dialects/exec/Exec.h"

#include "mlir/IR/DialectResourceBlobManager.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;
using namespace titan::exec;

void ProgramOp::build(OpBuilder &builder, OperationState &state, StringRef target,
                      int64_t flopsPerToken, StringRef job, ArrayRef<StringRef> sources) {
  build(builder, state, target, builder.getArrayAttr({}), flopsPerToken, job,
        builder.getStrArrayAttr(sources));
}

LogicalResult ProgramOp::verify() {
  auto module = cast<ModuleOp>((*this)->getParentOp());
  if (auto programs = module.getOps<ProgramOp>(); *programs.begin() != *this)
    return emitOpError("stands once in a module, found a second one");
  if (getTarget().empty())
    return emitOpError("needs a target such as 'cpu', found an empty string");
  if (getFlopsPerToken() < 0)
    return emitOpError("flops_per_token is at least 0, found ") << getFlopsPerToken();
  llvm::StringSet<> names;
  for (auto axis : getMesh().getAsRange<AxisAttr>())
    if (!names.insert(axis.getName()).second)
      return emitOpError("mesh axis '") << axis.getName() << "' stands twice in the mesh";
  return success();
}

LogicalResult titan::exec::verifyPipelineRank(Operation *op, std::optional<int64_t> rank) {
  if (!rank)
    return success();
  const int64_t size = getNumCoordinates(op->getParentOfType<ModuleOp>(),
                                         {StringAttr::get(op->getContext(), kPipelineAxis)});
  if (*rank < 0 || *rank >= size)
    return op->emitOpError("rank is at least 0 and below the ")
           << size << " of mesh axis '" << kPipelineAxis << "', found " << *rank;
  return success();
}

LogicalResult SegmentOp::verify() {
  if (getSize() < 0)
    return emitOpError("size is at least 0, found ") << getSize();
  return verifyPipelineRank(*this, getPipelineRank());
}

LogicalResult ResidualClassOp::verify() {
  if (getOffset() < 0 || getOffset() % kAlignment)
    return emitOpError("offset is a multiple of ") << kAlignment << ", found " << getOffset();
  if (getSlots() < 1)
    return emitOpError("has at least 1 slot, found ") << getSlots();
  if (getBytes() < 1 || getBytes() % kAlignment)
    return emitOpError("bytes per slot are a positive multiple of ")
           << kAlignment << ", found " << getBytes();
  return success();
}

LogicalResult ResidualClassOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto segment = symbols.lookupNearestSymbolFrom<SegmentOp>(*this, getSegmentAttr());
  if (!segment)
    return emitOpError("'") << getSegment() << "' is no segment";
  const int64_t room = segment.getSize() - getOffset();
  if (room < 0 || getBytes() > room / getSlots())
    return emitOpError() << getSlots() << " slots of " << getBytes() << " bytes at offset "
                         << getOffset() << " exceed segment '" << getSegment() << "' of "
                         << segment.getSize() << " bytes";
  return success();
}

// Checks that [offset, offset + bytes) lies in the segment, or the slot of a residual class.
static LogicalResult verifyPlace(Operation *op, SymbolTableCollection &symbols,
                                 FlatSymbolRefAttr base, int64_t offset, int64_t bytes) {
  Operation *target = symbols.lookupNearestSymbolFrom(op, base);
  int64_t size = 0;
  if (auto segment = dyn_cast_or_null<SegmentOp>(target))
    size = segment.getSize();
  else if (auto residualClass = dyn_cast_or_null<ResidualClassOp>(target))
    size = residualClass.getBytes();
  else
    return op->emitOpError("'") << base.getValue() << "' is no segment and no residual class";
  if (offset > size || bytes > size - offset)
    return op->emitOpError() << bytes << " bytes at offset " << offset << " exceed '"
                             << base.getValue() << "' of " << size << " bytes";
  return success();
}

LogicalResult VariableOp::verify() {
  RankedTensorType type = getTensorType();
  if (!type.hasStaticShape() || type.getRank() > kMaxRank || type.getEncoding() ||
      !isElementType(type.getElementType()) ||
      llvm::any_of(type.getShape(), [](int64_t extent) { return extent < 1; }))
    return emitOpError("type is a plain, static, nonempty tensor of rank at most ")
           << kMaxRank << " over an element type of the program format, found " << type;
  if (getOffset() < 0 || getOffset() % kAlignment)
    return emitOpError("offset is a multiple of ") << kAlignment << ", found " << getOffset();
  if (getRole() == Role::Parameter && !getInitializer())
    return emitOpError("is a parameter and needs an initializer");
  return success();
}

ShardingAttr VariableOp::getSharding() {
  if (!getGlobalType())
    return {};
  return dyn_cast_if_present<ShardingAttr>(cast<RankedTensorType>(*getGlobalType()).getEncoding());
}

/// What a sharding leaves of a global tensor to a rank, or an error. `size` gives the coordinates
/// of some axes.
static FailureOr<SmallVector<int64_t>>
getLocalShape(VariableOp op, RankedTensorType global,
              function_ref<int64_t(ArrayRef<Attribute>)> size) {
  ShardingAttr sharding = op.getSharding();
  const int64_t rows = global.getRank() ? global.getDimSize(0) : 1;
  if (sharding.getPadding() >= rows)
    return op.emitOpError("the padding is below the ")
           << rows << " rows of the global tensor, found " << sharding.getPadding();
  SmallVector<int64_t> shape;
  for (auto [i, axes] : llvm::enumerate(sharding.getDimensions().getAsRange<ArrayAttr>())) {
    const int64_t extent = global.getDimSize(i), parts = size(axes.getValue());
    if (extent % parts)
      return op.emitOpError("dimension ")
             << i << " of size " << extent << " does not divide by " << parts;
    shape.push_back(extent / parts);
  }
  if (!sharding.getFlat())
    return shape;
  const int64_t slices = size(sharding.getFlat().getValue());
  return SmallVector<int64_t>{static_cast<int64_t>(
      llvm::alignTo(llvm::divideCeil(ShapedType::getNumElements(shape), slices),
                    static_cast<uint64_t>(sharding.getGranule())))};
}

static LogicalResult verifySharding(VariableOp op, RankedTensorType type) {
  if (!op.getGlobalType())
    return success();
  auto global = cast<RankedTensorType>(*op.getGlobalType());
  ShardingAttr sharding = op.getSharding();
  if (!sharding || sharding.getDimensions().size() != static_cast<size_t>(global.getRank()) ||
      !global.hasStaticShape() || global.getElementType() != type.getElementType())
    return op.emitOpError(
               "global type is a static tensor of the same elements with an exec.sharding "
               "of its rank as encoding, found ")
           << global;
  SmallVector<Attribute> all;
  for (auto axes : sharding.getDimensions().getAsRange<ArrayAttr>())
    llvm::append_range(all, axes);
  for (ArrayAttr axes : {sharding.getPartial(), sharding.getFlat()})
    if (axes)
      llvm::append_range(all, axes);
  auto size = [&](ArrayRef<Attribute> axes) {
    return getNumCoordinates(op->getParentOfType<ModuleOp>(), axes);
  };
  if (!all.empty() && size(all) == 0)
    return op.emitOpError("the axes of a sharding are the mesh's, each once, found ") << sharding;
  FailureOr<SmallVector<int64_t>> local = getLocalShape(
      op, global, [&](ArrayRef<Attribute> axes) { return axes.empty() ? 1 : size(axes); });
  if (failed(local))
    return failure();
  if (type.getShape() != ArrayRef(*local))
    return op.emitOpError("sharding leaves ")
           << RankedTensorType::get(*local, type.getElementType()) << " to a rank, found " << type;
  return success();
}

static LogicalResult verifyAxisIndex(VariableOp op, RankedTensorType type) {
  InitializerAttr initializer = op.getInitializerAttr();
  if (!initializer || initializer.getDistribution() != Distribution::AxisIndex)
    return success();
  if (type.getRank() != 0 || !type.getElementType().isInteger(32))
    return op.emitOpError("an axis_index is tensor<i32>, found ") << type;
  const int64_t size =
      getNumCoordinates(op->getParentOfType<ModuleOp>(), initializer.getAxes().getValue());
  if (size == 0)
    return op.emitOpError("the axes of an axis_index are the mesh's, each once, found ")
           << initializer.getAxes();
  if (std::abs(initializer.getNumber(0)) * static_cast<double>(size) > INT32_MAX)
    return op.emitOpError("the values of an axis_index are below 2^31, found ")
           << initializer.getNumber(0) << " times " << size;
  return success();
}

LogicalResult VariableOp::verifySymbolUses(SymbolTableCollection &symbols) {
  RankedTensorType type = getTensorType();
  if (failed(verifySharding(*this, type)) || failed(verifyAxisIndex(*this, type)))
    return failure();
  return verifyPlace(*this, symbols, getBaseAttr(), getOffset(),
                     type.getNumElements() * getElementBytes(type.getElementType()));
}

LogicalResult ImageOp::verify() {
  if (getTarget().empty())
    return emitOpError("needs a target such as 'x86-64', found an empty string");
  if (!getContents())
    return success();
  auto contents = dyn_cast<DenseResourceElementsAttr>(*getContents());
  if (!contents || contents.getType().getRank() != 1 ||
      !contents.getType().getElementType().isInteger(8))
    return emitOpError("contents are a dense_resource of rank 1 over i8");
  const AsmResourceBlob *blob = contents.getRawHandle().getBlob();
  if (blob && static_cast<int64_t>(blob->getData().size()) != contents.getType().getNumElements())
    return emitOpError("contents have ") << blob->getData().size() << " bytes, their type says "
                                         << contents.getType().getNumElements();
  return success();
}

ArrayRef<char> ImageOp::getBytes() {
  if (!getContents())
    return {};
  const AsmResourceBlob *blob =
      cast<DenseResourceElementsAttr>(*getContents()).getRawHandle().getBlob();
  return blob ? blob->getData() : ArrayRef<char>();
}

void ImageOp::setBytes(ArrayRef<char> bytes) {
  auto type =
      RankedTensorType::get(static_cast<int64_t>(bytes.size()), IntegerType::get(getContext(), 8));
  setContentsAttr(DenseResourceElementsAttr::get(
      type, getSymName(), HeapAsmResourceBlob::allocateAndCopyWithAlign(bytes, kAlignment)));
}

LogicalResult KernelOp::verify() {
  if (getArgumentTypes().size() != getAccesses().size())
    return emitOpError("has ") << getArgumentTypes().size() << " argument types, but "
                               << getAccesses().size() << " accesses";
  for (auto [i, type] : llvm::enumerate(getArgumentTypes().getAsValueRange<TypeAttr>()))
    if (!isBufferType(type))
      return emitOpError("argument #") << i << " is no buffer type, found " << type;
  if (!getBody().empty() && !getBody().hasOneBlock())
    return emitOpError("body has at most 1 block, found ") << getBody().getBlocks().size();
  if (getBody().empty() && getStages().empty())
    return emitOpError("needs a body or at least 1 stage");
  return success();
}

LogicalResult KernelOp::verifySymbolUses(SymbolTableCollection &symbols) {
  if (FlatSymbolRefAttr image = getImageAttr();
      image && !symbols.lookupNearestSymbolFrom<ImageOp>(*this, image))
    return emitOpError("'") << image.getValue() << "' is no image";
  return success();
}

void FuncOp::build(OpBuilder &builder, OperationState &state, StringRef name) {
  state.getOrAddProperties<Properties>().sym_name = builder.getStringAttr(name);
  state.addRegion()->emplaceBlock();
}

LogicalResult FuncOp::verifyRegions() {
  for (Operation &op : *getBody()) {
    if (op.getDialect() != (*this)->getDialect())
      return op.emitOpError("is no instruction: a function holds exec ops only");
    if (auto await = dyn_cast<AwaitOp>(op); await && getAsync())
      return await.emitOpError("stands in an async function, whose tokens timelines await");
    auto start = dyn_cast<StartOp>(op);
    if (!start || getAsync())
      continue;
    const auto uses = std::distance(start.getToken().use_begin(), start.getToken().use_end());
    if (uses != 1)
      return start.emitOpError("is awaited once in its function, found ") << uses << " awaits";
  }
  if (getAsync() && getBody()->getOps<StartOp>().empty())
    return emitOpError("is async and starts no collective");
  return success();
}

LogicalResult BufferOp::verify() {
  const int64_t alignment = getElementBytes(getType().getElementType());
  if (getOffset() < 0 || getOffset() % alignment)
    return emitOpError("offset is a multiple of the element's ")
           << alignment << " bytes, found " << getOffset();
  return success();
}

LogicalResult BufferOp::verifySymbolUses(SymbolTableCollection &symbols) {
  const int64_t bytes = getSpanBytes(getType());
  RotationAttr rotation = getRotationAttr();
  if (!rotation)
    return verifyPlace(*this, symbols, getBaseAttr(), getOffset(), bytes);
  const int64_t size =
      getNumCoordinates((*this)->getParentOfType<ModuleOp>(), rotation.getAxes().getValue());
  if (size == 0)
    return emitOpError("the axes of a rotation are the mesh's, each once, found ")
           << rotation.getAxes();
  if (rotation.getShift() >= size)
    return emitOpError("the shift of a rotation is below its ")
           << size << " coordinates, found " << rotation.getShift();
  const int64_t alignment = getElementBytes(getType().getElementType());
  if (rotation.getStride() % alignment)
    return emitOpError("the stride of a rotation is a multiple of the element's ")
           << alignment << " bytes, found " << rotation.getStride();
  return verifyPlace(*this, symbols, getBaseAttr(), getOffset(),
                     bytes + (size - 1) * rotation.getStride());
}

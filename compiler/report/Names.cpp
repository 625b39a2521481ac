#include "compiler/report/Names.h"

#include "llvm/ADT/StringExtras.h"

using namespace mlir;

namespace titan {

std::string withoutNumbers(StringRef name) {
  SmallVector<StringRef> parts;
  name.split(parts, '.');
  for (StringRef &part : parts)
    if (!part.empty() && llvm::all_of(part, llvm::isDigit))
      part = "N";
  return llvm::join(parts, ".");
}

int64_t getStoredBytes(exec::VariableOp variable) {
  RankedTensorType type = variable.getTensorType();
  return type.getNumElements() * exec::getElementBytes(type.getElementType());
}

int64_t getWholeBytes(exec::VariableOp variable) {
  exec::ShardingAttr sharding = variable.getSharding();
  if (!sharding)
    return getStoredBytes(variable);
  auto module = variable->getParentOfType<ModuleOp>();
  auto global = cast<RankedTensorType>(*variable.getGlobalType());
  int64_t bytes = exec::getElementBytes(global.getElementType());
  for (auto [size, axes] :
       llvm::zip(global.getShape(), sharding.getDimensions().getAsRange<ArrayAttr>()))
    bytes *= size / std::max<int64_t>(exec::getNumCoordinates(module, axes.getValue()), 1);
  return bytes;
}

int64_t getGlobalBytes(exec::VariableOp variable) {
  exec::ShardingAttr sharding = variable.getSharding();
  if (!sharding)
    return getStoredBytes(variable);
  auto global = cast<RankedTensorType>(*variable.getGlobalType());
  const int64_t rows = global.getRank() ? global.getDimSize(0) : 1;
  return global.getNumElements() / rows * (rows - sharding.getPadding()) *
         exec::getElementBytes(global.getElementType());
}

int64_t getNumParts(exec::VariableOp variable) {
  exec::ShardingAttr sharding = variable.getSharding();
  if (!sharding)
    return 1;
  auto module = variable->getParentOfType<ModuleOp>();
  auto count = [&](ArrayAttr axes) {
    return axes ? std::max<int64_t>(exec::getNumCoordinates(module, axes.getValue()), 1) : 1;
  };
  int64_t parts = count(sharding.getFlat());
  for (auto axes : sharding.getDimensions().getAsRange<ArrayAttr>())
    parts *= count(axes);
  return parts;
}

} // namespace titan

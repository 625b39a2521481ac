#include "compiler/lowering/ScalarStorage.h"

#include "dialects/interfaces/Fusible.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;

namespace titan {

Type getStorageType(Type element) {
  return element.isBF16() ? IntegerType::get(element.getContext(), 16) : element;
}

static Value integer(OpBuilder &builder, Location loc, int64_t value) {
  return arith::ConstantOp::create(builder, loc, builder.getI32IntegerAttr(value));
}

// bf16 is the upper half of a float32.
static Value widenBFloat16(OpBuilder &builder, Location loc, Value bits) {
  Value wide = arith::ExtUIOp::create(builder, loc, builder.getI32Type(), bits);
  wide = arith::ShLIOp::create(builder, loc, wide, integer(builder, loc, 16));
  return arith::BitcastOp::create(builder, loc, builder.getF32Type(), wide);
}

/// Whether code is being emitted for a GPU, which has an instruction for it.
static bool convertsBFloat16(OpBuilder &builder) {
  return builder.getBlock()->getParentOp()->getParentOfType<gpu::GPUModuleOp>() != nullptr;
}

// Adding half a unit, less one unless the last bit that stays is odd, carries into that bit exactly
// when nearest-even rounds up. LLVM's own truncation to bf16 keeps loops from vectorizing.
static Value narrowToBFloat16(OpBuilder &builder, Location loc, Value scalar) {
  if (convertsBFloat16(builder)) {
    Value half = arith::TruncFOp::create(builder, loc, builder.getBF16Type(), scalar);
    return arith::BitcastOp::create(builder, loc, builder.getI16Type(), half);
  }
  Type i32 = builder.getI32Type();
  Value bits = arith::BitcastOp::create(builder, loc, i32, scalar);
  Value sixteen = integer(builder, loc, 16);
  Value odd = arith::ShRUIOp::create(builder, loc, bits, sixteen);
  odd = arith::AndIOp::create(builder, loc, odd, integer(builder, loc, 1));
  Value bias = arith::AddIOp::create(builder, loc, odd, integer(builder, loc, 0x7fff));
  Value rounded = arith::AddIOp::create(builder, loc, bits, bias);
  Value isNan = arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::UNO, scalar, scalar);
  Value kept =
      arith::SelectOp::create(builder, loc, isNan, integer(builder, loc, 0x7fc00000), rounded);
  kept = arith::ShRUIOp::create(builder, loc, kept, sixteen);
  return arith::TruncIOp::create(builder, loc, builder.getI16Type(), kept);
}

Value widenFromStorage(OpBuilder &builder, Location loc, Value stored, Type element) {
  if (element.isBF16())
    return widenBFloat16(builder, loc, stored);
  Type type = getComputeType(element);
  return type == element ? stored : arith::ExtFOp::create(builder, loc, type, stored).getResult();
}

/// What a scalar has been widened from, if it has been.
static Value getStored(Value scalar) {
  if (auto extension = scalar.getDefiningOp<arith::ExtFOp>())
    return extension.getIn();
  auto bits = scalar.getDefiningOp<arith::BitcastOp>();
  auto shift = bits ? bits.getIn().getDefiningOp<arith::ShLIOp>() : arith::ShLIOp();
  auto extension = shift ? shift.getLhs().getDefiningOp<arith::ExtUIOp>() : arith::ExtUIOp();
  if (!extension || !extension.getIn().getType().isInteger(16) ||
      getConstantIntValue(shift.getRhs()) != 16)
    return {};
  return extension.getIn();
}

Value narrowToStorage(OpBuilder &builder, Location loc, Value scalar, Type element) {
  if (scalar.getType() == element)
    return scalar;
  // Rounding twice changes nothing, but costs, and LLVM does not see it.
  if (Value stored = getStored(scalar); stored && stored.getType() == getStorageType(element))
    return stored;
  if (element.isBF16())
    return narrowToBFloat16(builder, loc, scalar);
  return arith::TruncFOp::create(builder, loc, element, scalar);
}

Value roundToElement(OpBuilder &builder, Location loc, Value scalar, Type element) {
  if (scalar.getType() == element || !isa<FloatType>(element))
    return scalar;
  return widenFromStorage(builder, loc, narrowToStorage(builder, loc, scalar, element), element);
}

} // namespace titan

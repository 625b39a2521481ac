#include "compiler/lowering/GpuReduction.h"

#include "compiler/lowering/GpuMapping.h"
#include "compiler/lowering/StageBody.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;

namespace titan {

Value GpuReduction::index(int64_t value) {
  return arith::ConstantIndexOp::create(builder, loc, value);
}

// A butterfly: partners combine the same two values, so both get the same bits.
void GpuReduction::shuffle(Item &item, int64_t group) {
  for (auto distance = static_cast<int32_t>(group / 2); distance >= 1; distance /= 2) {
    auto other = gpu::ShuffleOp::create(builder, loc, item.value, distance,
                                        static_cast<int32_t>(kWarp), gpu::ShuffleMode::XOR);
    item.value = combineScalars(builder, loc, item.combiner, item.value, other.getShuffleResult());
  }
}

void GpuReduction::reduce(llvm::MutableArrayRef<Item> items, int64_t group) {
  for (Item &item : items)
    shuffle(item, std::min(group, kWarp));
  const int64_t warps = group / kWarp;
  if (warps <= 1)
    return;
  isShared = true;
  Value shared = allocate(static_cast<int64_t>(items.size()) * warps);
  Value lane = arith::RemUIOp::create(builder, loc, thread, index(kWarp));
  Value warp = arith::DivUIOp::create(builder, loc, thread, index(kWarp));
  auto placeOf = [&](size_t number, Value part) -> Value {
    return arith::AddIOp::create(builder, loc, part, index(static_cast<int64_t>(number) * warps));
  };
  Value isFirst = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, lane, index(0));
  auto branch = scf::IfOp::create(builder, loc, isFirst);
  {
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPoint(branch.thenYield());
    for (auto [number, item] : llvm::enumerate(items))
      memref::StoreOp::create(builder, loc, item.value, shared, placeOf(number, warp));
  }
  gpu::BarrierOp::create(builder, loc);
  Value part = arith::RemUIOp::create(builder, loc, lane, index(warps));
  for (auto [number, item] : llvm::enumerate(items)) {
    item.value = memref::LoadOp::create(builder, loc, shared, placeOf(number, part));
    shuffle(item, warps);
  }
}

} // namespace titan

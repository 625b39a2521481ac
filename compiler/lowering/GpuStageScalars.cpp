// How elements get into scalars on a GPU, and out of them.
#include "compiler/lowering/GpuStageEmitter.h"

#include "dialects/interfaces/Fusible.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;

namespace titan {

/// The widest access of a GPU; memory is aligned to it.
static constexpr int64_t kAccessBytes = 16;

// `like` is a scalar or a vector.
static Type withElement(Type like, Type element) {
  auto vector = dyn_cast<VectorType>(like);
  return vector ? vector.clone(element) : element;
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

Value GpuStageEmitter::offsetOf(const LinearAccess &access, int64_t constant) {
  Value offset;
  for (auto [coefficient, coordinate] : llvm::zip(access.coefficients, coordinates)) {
    if (coefficient == 0)
      continue;
    Value term = coordinate;
    if (coefficient != 1)
      term = arith::MulIOp::create(builder, loc, term, index(coefficient));
    offset = offset ? arith::AddIOp::create(builder, loc, offset, term).getResult() : term;
  }
  if (!offset)
    return index(constant);
  return constant == 0 ? offset
                       : arith::AddIOp::create(builder, loc, offset, index(constant)).getResult();
}

Value GpuStageEmitter::elementOffset(AffineMap place, llvm::ArrayRef<int64_t> shape) {
  if (auto access = getLinearAccess(place, shape))
    return offsetOf(*access, access->constant);
  Value offset = index(0);
  for (auto [at, size] : llvm::zip_equal(places(place), shape)) {
    offset = arith::MulIOp::create(builder, loc, offset, index(size));
    offset = arith::AddIOp::create(builder, loc, offset, at);
  }
  return offset;
}

// In the compute type: one scalar, or a vector of more elements at an aligned offset.
Value GpuStageEmitter::load(Value memory, Value offset, int64_t elements) {
  Type element = cast<MemRefType>(memory.getType()).getElementType();
  Value loaded;
  if (elements == 1) {
    loaded = memref::LoadOp::create(builder, loc, memory, offset);
  } else {
    auto op =
        vector::LoadOp::create(builder, loc, VectorType::get({elements}, element), memory, offset);
    const int64_t bytes = elements * element.getIntOrFloatBitWidth() / 8;
    op.setAlignment(std::min(kAccessBytes, bytes));
    loaded = op;
  }
  Type wide = withElement(loaded.getType(), getComputeType(element));
  if (wide == loaded.getType())
    return loaded;
  return arith::ExtFOp::create(builder, loc, wide, loaded);
}

void GpuStageEmitter::store(ValueRange scalars, Value memory, Value offset) {
  Type element = cast<MemRefType>(memory.getType()).getElementType();
  const auto elements = static_cast<int64_t>(scalars.size());
  Value value = scalars[0];
  if (elements > 1)
    value = vector::FromElementsOp::create(
        builder, loc, VectorType::get({elements}, scalars[0].getType()), scalars);
  Type narrow = withElement(value.getType(), element);
  if (narrow != value.getType())
    value = arith::TruncFOp::create(builder, loc, narrow, value);
  if (elements == 1) {
    memref::StoreOp::create(builder, loc, value, memory, offset);
    return;
  }
  auto op = vector::StoreOp::create(builder, loc, value, memory, offset);
  const int64_t bytes = elements * element.getIntOrFloatBitWidth() / 8;
  op.setAlignment(std::min(kAccessBytes, bytes));
}

Values GpuStageEmitter::split(Value vector, int64_t elements) {
  if (elements == 1)
    return {vector};
  Values scalars;
  for (int64_t element = 0; element < elements; ++element)
    scalars.push_back(vector::ExtractOp::create(builder, loc, vector, element));
  return scalars;
}

// The two accesses of a pair share one vector.
Value GpuStageEmitter::loadInterleaved(unsigned argument, const LinearAccess &access) {
  const int64_t first = access.constant - access.constant % 2;
  for (const Interleaved &known : interleaved)
    if (known.argument == argument && known.first == first &&
        known.coefficients == access.coefficients)
      return known.vector;
  Value vector = load(frame.buffers[argument], offsetOf(access, first), 2 * width);
  interleaved.push_back({argument, access.coefficients, first, vector});
  return vector;
}

//===----------------------------------------------------------------------===//
// Evaluations
//===----------------------------------------------------------------------===//

void GpuStageEmitter::emitEvaluations(const Nest &nest, OpBuilder::InsertPoint row) {
  auto innermost = builder.saveInsertionPoint();
  for (unsigned number : nest.evaluations) {
    switch (stage.evaluations[number].level) {
    case Level::stage:
      builder.restoreInsertionPoint(preamble);
      break;
    case Level::row:
      builder.restoreInsertionPoint(row);
      break;
    case Level::element:
      builder.restoreInsertionPoint(innermost);
      break;
    }
    emitEvaluation(number);
  }
  builder.restoreInsertionPoint(innermost);
}

void GpuStageEmitter::emitEvaluation(unsigned number) {
  const Evaluation &evaluation = stage.evaluations[number];
  auto &copies = values[number];
  copies.clear();
  switch (evaluation.kind) {
  case Evaluation::Kind::load:
  case Evaluation::Kind::reload:
    emitLoad(number);
    return;
  case Evaluation::Kind::reduced:
    copies = {{reduced.lookup(evaluation.index)}};
    return;
  case Evaluation::Kind::combined:
    copies = {{combined.lookup(evaluation.index)}};
    return;
  case Evaluation::Kind::compute:
    break;
  }
  const int64_t numCopies = evaluation.level == Level::element ? width : 1;
  const Values first = coordinates;
  for (int64_t copy = 0; copy < numCopies; ++copy) {
    if (numCopies > 1)
      coordinates = laneCoordinates[copy];
    Values inputs;
    for (ScalarRef input : evaluation.inputs)
      inputs.push_back(lookup(input, copy));
    copies.push_back(emitCompute(evaluation, inputs));
  }
  coordinates = first;
}

void GpuStageEmitter::emitLoad(unsigned number) {
  const Evaluation &evaluation = stage.evaluations[number];
  auto &copies = values[number];
  auto [tensor, argument] = source(evaluation);
  Value memory = frame.buffers[argument];
  auto keep = [&](ValueRange scalars) {
    for (Value scalar : scalars)
      copies.push_back({scalar});
  };
  if (evaluation.level != Level::element)
    return keep({load(memory, elementOffset(evaluation.place, tensor.getShape()), 1)});
  if (stage.isFlat)
    return keep(split(load(memory, flatIndex, width), width));
  auto access = getLinearAccess(evaluation.place, tensor.getShape());
  switch (access ? formOf(*access) : AccessForm::scattered) {
  case AccessForm::uniform:
    return keep({load(memory, offsetOf(*access, access->constant), 1)});
  case AccessForm::vector:
    return keep(split(load(memory, offsetOf(*access, access->constant), width), width));
  case AccessForm::interleaved: {
    const Values both = split(loadInterleaved(argument, *access), 2 * width);
    for (int64_t neighbor = 0; neighbor < width; ++neighbor)
      copies.push_back({both[2 * neighbor + access->constant % 2]});
    return;
  }
  case AccessForm::scattered:
    break;
  }
  const Values first = coordinates;
  for (int64_t neighbor = 0; neighbor < width; ++neighbor) {
    coordinates = laneCoordinates[neighbor];
    keep({load(memory, elementOffset(evaluation.place, tensor.getShape()), 1)});
  }
  coordinates = first;
}

//===----------------------------------------------------------------------===//
// Roots
//===----------------------------------------------------------------------===//

void GpuStageEmitter::emitElementRoots(const Nest &nest, Values &carried) {
  unsigned next = 0;
  for (const Root &root : nest.roots) {
    if (root.kind == Root::Kind::store) {
      emitStore(nest, root);
    } else if (root.kind == Root::Kind::crossReduction && root.place.getNumResults() != 0) {
      addToColumnSum(root);
    } else {
      Value sum = carried[next];
      for (Value value : lanesOf(root.value))
        sum = combine(combinerOf(root), sum, value);
      carried[next++] = sum;
    }
  }
}

void GpuStageEmitter::emitStore(const Nest &nest, const Root &root) {
  auto tensor = cast<RankedTensorType>(kernel->getResult(root.index).getType());
  Value memory = frame.buffers[resultArgument(root.index)];
  if (stage.isFlat)
    return store(lanesOf(root.value), memory, flatIndex);
  if (nest.columns.empty())
    return storeScattered(root, tensor, memory);
  auto access = getLinearAccess(root.place, tensor.getShape());
  switch (access ? formOf(*access) : AccessForm::scattered) {
  case AccessForm::vector:
    return store(lanesOf(root.value), memory, offsetOf(*access, access->constant));
  case AccessForm::interleaved:
    return storeInterleaved(nest, root, *access);
  default:
    return storeScattered(root, tensor, memory);
  }
}

void GpuStageEmitter::storeScattered(const Root &root, RankedTensorType tensor, Value memory) {
  const Values first = coordinates;
  for (int64_t neighbor = 0; neighbor < width; ++neighbor) {
    coordinates = laneCoordinates[neighbor];
    store({lookup(root.value, neighbor)}, memory, elementOffset(root.place, tensor.getShape()));
  }
  coordinates = first;
}

// With the root that has the elements between: one store for both, at the first of them.
void GpuStageEmitter::storeInterleaved(const Nest &nest, const Root &root,
                                       const LinearAccess &access) {
  auto tensor = cast<RankedTensorType>(kernel->getResult(root.index).getType());
  Value memory = frame.buffers[resultArgument(root.index)];
  const int64_t partnerConstant = access.constant ^ 1;
  const auto *partner = llvm::find_if(nest.roots, [&](const Root &other) {
    if (other.kind != Root::Kind::store || other.index != root.index)
      return false;
    auto place = getLinearAccess(other.place, tensor.getShape());
    return place && place->constant == partnerConstant &&
           place->coefficients == access.coefficients;
  });
  if (partner == nest.roots.end())
    return storeScattered(root, tensor, memory);
  if (access.constant % 2 != 0)
    return; // its partner stores
  Values both;
  for (int64_t neighbor = 0; neighbor < width; ++neighbor) {
    both.push_back(lookup(root.value, neighbor));
    both.push_back(lookup(partner->value, neighbor));
  }
  store(both, memory, offsetOf(access, access.constant));
}

} // namespace titan

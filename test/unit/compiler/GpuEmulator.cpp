#include "test/unit/compiler/GpuEmulator.h"

#include "runtime/base/DType.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/ADT/TypeSwitch.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <map>

using namespace mlir;

namespace titan::testing {

namespace {

constexpr int64_t kWarp = 32;
/// What a block may have of it without asking the driver for more.
constexpr int64_t kMaxSharedBytes = 48 * 1024;

/// A component of a value: the bits of a float (of any type, as a float32), or an integer.
union Cell {
  float real;
  int64_t integer;
};

/// A value in all threads: [thread][component].
using Cells = std::vector<Cell>;
using Mask = std::vector<char>;

/// Who touched an element last, and when.
struct Shadow {
  int64_t block = -1; ///< of the last access
  int32_t writer = -1, reader = -1;
  int64_t writeEpoch = -1, readEpoch = -1;         // of the block's barriers
  int64_t writeWarpEpoch = -1, readWarpEpoch = -1; // of the warp's
  bool manyReaders = false;
  bool wasWritten = false; ///< by `block`, or by another one
};

struct Memory {
  char *bytes;
  int64_t elements;
  Type element;
  bool isShared;
  std::vector<Shadow> *shadow;
};

int64_t sizeOf(Type element) { return element.getIntOrFloatBitWidth() / 8; }

class Emulator {
public:
  explicit Emulator(const GpuLaunch &launch) : launch(launch), threads(launch.threads) {}
  std::string run();

private:
  void runBlock();
  void execute(Block &body, const Mask &mask);
  void execute(Operation &op, const Mask &mask);
  void executeFor(scf::ForOp op, const Mask &mask);
  void executeIf(scf::IfOp op, const Mask &mask);
  void executeSwitch(scf::IndexSwitchOp op, const Mask &mask);
  void executeShuffle(gpu::ShuffleOp op, const Mask &mask);
  void executeBarrier(Operation &op, const Mask &mask);
  void executeWarpBarrier(Operation &op, const Mask &mask);
  void executeAccess(Operation &op, Value memref, Value offset, int64_t count, int64_t alignment,
                     Value stored, Value loaded, const Mask &mask);
  void executeScalar(Operation &op, const Mask &mask);
  void executeConstant(arith::ConstantOp op);
  void record(Operation &op, Memory &memory, int64_t element, int64_t thread, bool isWrite);
  void fail(Operation &op, const std::string &what) {
    if (!error.empty())
      return;
    llvm::raw_string_ostream stream(error);
    stream << what << ": " << op;
  }
  Cells &define(Value value) {
    auto vector = dyn_cast<VectorType>(value.getType());
    Cells &cells = values[value];
    cells.resize(threads * (vector ? vector.getNumElements() : 1));
    return cells;
  }
  void copy(Value from, Value to, const Mask &mask) {
    const Cells source = values[from];
    Cells &target = define(to);
    const size_t width = target.size() / threads;
    for (int64_t thread = 0; thread < threads; ++thread)
      if (mask[thread])
        std::copy_n(&source[thread * width], width, &target[thread * width]);
  }

  const GpuLaunch &launch;
  const int64_t threads;
  int64_t block = 0, epoch = 0;
  std::vector<int64_t> warpEpochs;
  llvm::DenseMap<Value, Cells> values;
  llvm::DenseMap<Value, Memory> memories;
  std::map<char *, std::vector<Shadow>> shadows;
  std::vector<std::vector<char>> sharedMemory;
  std::string error;
};

} // namespace

std::string Emulator::run() {
  gpu::GPUFuncOp function = launch.function;
  // Shared memory comes behind the function's own arguments.
  for (auto [argument, pointer] : llvm::zip_equal(
           function.getArguments().take_front(function.getNumArguments()), launch.arguments)) {
    auto type = cast<MemRefType>(argument.getType());
    auto *bytes = static_cast<char *>(pointer);
    auto &shadow = shadows[bytes];
    shadow.resize(std::max<size_t>(shadow.size(), type.getNumElements()));
    memories[argument] = {bytes, type.getNumElements(), type.getElementType(), false, &shadow};
  }
  for (block = 0; block < launch.blocks && error.empty(); ++block)
    runBlock();
  return error;
}

void Emulator::runBlock() {
  gpu::GPUFuncOp function = launch.function;
  ++epoch;
  warpEpochs.assign((threads + kWarp - 1) / kWarp, 0);
  sharedMemory.clear();
  int64_t sharedBytes = 0;
  for (BlockArgument attribution : function.getWorkgroupAttributions()) {
    auto type = cast<MemRefType>(attribution.getType());
    sharedBytes += type.getNumElements() * sizeOf(type.getElementType());
    // All bits set: a NaN to whoever reads before it writes.
    auto &bytes = sharedMemory.emplace_back(
        type.getNumElements() * sizeOf(type.getElementType()) + 16, char(0xff));
    auto *begin =
        reinterpret_cast<char *>((reinterpret_cast<uintptr_t>(bytes.data()) + 15) / 16 * 16);
    auto &shadow = shadows[begin];
    shadow.assign(type.getNumElements(), {});
    memories[attribution] = {begin, type.getNumElements(), type.getElementType(), true, &shadow};
  }
  if (sharedBytes > kMaxSharedBytes) {
    error = std::to_string(sharedBytes) + " bytes of shared memory, a block has " +
            std::to_string(kMaxSharedBytes);
    return;
  }
  execute(function.getBody().front(), Mask(threads, 1));
}

void Emulator::execute(Block &body, const Mask &mask) {
  for (Operation &op : body) {
    if (!error.empty())
      return;
    execute(op, mask);
  }
}

void Emulator::execute(Operation &op, const Mask &mask) {
  llvm::TypeSwitch<Operation *>(&op)
      .Case([&](scf::ForOp loop) { executeFor(loop, mask); })
      .Case([&](scf::IfOp branch) { executeIf(branch, mask); })
      .Case([&](scf::IndexSwitchOp branch) { executeSwitch(branch, mask); })
      .Case<scf::YieldOp, gpu::ReturnOp>([](auto) {})
      .Case([&](gpu::ShuffleOp shuffle) { executeShuffle(shuffle, mask); })
      .Case([&](gpu::BarrierOp) { executeBarrier(op, mask); })
      .Case([&](NVVM::SyncWarpOp) { executeWarpBarrier(op, mask); })
      .Case([&](gpu::ThreadIdOp id) {
        Cells &cells = define(id);
        for (int64_t thread = 0; thread < threads; ++thread)
          cells[thread].integer = thread;
      })
      .Case([&](gpu::BlockIdOp id) {
        for (Cell &cell : define(id))
          cell.integer = block;
      })
      .Case([&](arith::ConstantOp constant) { executeConstant(constant); })
      .Case([&](memref::LoadOp load) {
        executeAccess(op, load.getMemRef(), load.getIndices()[0], 1, 1, {}, load, mask);
      })
      .Case([&](memref::StoreOp store) {
        executeAccess(op, store.getMemRef(), store.getIndices()[0], 1, 1, store.getValue(), {},
                      mask);
      })
      .Case([&](vector::LoadOp load) {
        executeAccess(op, load.getBase(), load.getIndices()[0],
                      load.getVectorType().getNumElements(), *load.getAlignment(), {},
                      load.getResult(), mask);
      })
      .Case([&](vector::StoreOp store) {
        executeAccess(op, store.getBase(), store.getIndices()[0],
                      store.getVectorType().getNumElements(), *store.getAlignment(),
                      store.getValueToStore(), {}, mask);
      })
      .Case([&](vector::FromElementsOp vector) {
        Cells &cells = define(vector);
        const size_t width = vector.getElements().size();
        for (auto [at, element] : llvm::enumerate(vector.getElements()))
          for (int64_t thread = 0; thread < threads; ++thread)
            cells[thread * width + at] = values[element][thread];
      })
      .Case([&](vector::ExtractOp extract) {
        const Cells &source = values[extract.getSource()];
        const size_t width = source.size() / threads;
        const Cells copied = source;
        Cells &cells = define(extract);
        for (int64_t thread = 0; thread < threads; ++thread)
          cells[thread] = copied[thread * width + extract.getStaticPosition()[0]];
      })
      .Default([&](Operation *) { executeScalar(op, mask); });
}

void Emulator::executeFor(scf::ForOp op, const Mask &mask) {
  copy(op.getLowerBound(), op.getInductionVar(), mask);
  for (auto [start, argument] : llvm::zip_equal(op.getInitArgs(), op.getRegionIterArgs()))
    copy(start, argument, mask);
  Mask active = mask;
  while (error.empty()) {
    bool any = false;
    for (int64_t thread = 0; thread < threads; ++thread) {
      active[thread] = active[thread] && values[op.getInductionVar()][thread].integer <
                                             values[op.getUpperBound()][thread].integer;
      any |= active[thread] != 0;
    }
    if (!any)
      break;
    execute(*op.getBody(), active);
    if (!error.empty())
      return;
    std::vector<Cells> yielded;
    for (Value value : op.getBody()->getTerminator()->getOperands())
      yielded.push_back(values[value]);
    for (auto [cells, argument] : llvm::zip_equal(yielded, op.getRegionIterArgs()))
      for (int64_t thread = 0; thread < threads; ++thread)
        if (active[thread])
          values[argument][thread] = cells[thread];
    for (int64_t thread = 0; thread < threads; ++thread)
      if (active[thread])
        values[op.getInductionVar()][thread].integer += values[op.getStep()][thread].integer;
  }
  for (auto [argument, result] : llvm::zip_equal(op.getRegionIterArgs(), op.getResults()))
    copy(argument, result, mask);
}

void Emulator::executeIf(scf::IfOp op, const Mask &mask) {
  Mask active = mask;
  for (int64_t thread = 0; thread < threads; ++thread)
    active[thread] = mask[thread] && values[op.getCondition()][thread].integer;
  if (llvm::is_contained(active, char(1)))
    execute(*op.thenBlock(), active);
  if (!op.elseBlock())
    return;
  for (int64_t thread = 0; thread < threads; ++thread)
    active[thread] = mask[thread] && !active[thread];
  if (llvm::is_contained(active, char(1)))
    execute(*op.elseBlock(), active);
}

// Of buffers, which all threads choose alike.
void Emulator::executeSwitch(scf::IndexSwitchOp op, const Mask &mask) {
  std::optional<int64_t> number;
  for (int64_t thread = 0; thread < threads; ++thread) {
    if (!mask[thread])
      continue;
    const int64_t own = values[op.getArg()][thread].integer;
    if (number.value_or(own) != own)
      return fail(*op, "threads choose different buffers");
    number = own;
  }
  const auto *found = llvm::find(op.getCases(), *number);
  Block &chosen = found == op.getCases().end() ? op.getDefaultBlock()
                                               : op.getCaseBlock(found - op.getCases().begin());
  for (auto [result, buffer] :
       llvm::zip_equal(op.getResults(), chosen.getTerminator()->getOperands()))
    memories[result] = memories.at(buffer);
}

void Emulator::executeShuffle(gpu::ShuffleOp op, const Mask &mask) {
  if (op.getMode() != gpu::ShuffleMode::XOR)
    return fail(*op, "the emulator shuffles by xor only");
  const Cells source = values[op.getValue()];
  for (Cell &cell : define(op.getValid()))
    cell.integer = 1;
  Cells &cells = define(op.getShuffleResult());
  for (int64_t thread = 0; thread < threads; ++thread) {
    const int64_t partner = thread ^ values[op.getOffset()][thread].integer;
    if (mask[thread] != mask[thread / kWarp * kWarp])
      return fail(*op, "not all threads of a warp shuffle");
    cells[thread] = source[partner];
  }
}

void Emulator::executeBarrier(Operation &op, const Mask &mask) {
  if (llvm::is_contained(mask, char(0)))
    fail(op, "not all threads of a block reach its barrier");
  ++epoch;
}

void Emulator::executeWarpBarrier(Operation &op, const Mask &mask) {
  for (int64_t thread = 0; thread < threads; ++thread) {
    if (mask[thread] != mask[thread / kWarp * kWarp])
      return fail(op, "not all threads of a warp reach its barrier");
    if (mask[thread] && thread % kWarp == 0)
      ++warpEpochs[thread / kWarp];
  }
}

void Emulator::record(Operation &op, Memory &memory, int64_t element, int64_t thread,
                      bool isWrite) {
  Shadow &shadow = (*memory.shadow)[element];
  if (shadow.block != block) {
    if (shadow.block >= 0 && (shadow.wasWritten || isWrite))
      return fail(op, "two blocks race for element " + std::to_string(element));
    shadow = {};
    shadow.block = block;
  }
  const int64_t warp = thread / kWarp, warpEpoch = warpEpochs[warp];
  auto isOrdered = [&](int32_t other, int64_t otherEpoch, int64_t otherWarpEpoch) {
    return other < 0 || other == thread || otherEpoch != epoch ||
           (other / kWarp == warp && otherWarpEpoch != warpEpoch);
  };
  bool ordered = isOrdered(shadow.writer, shadow.writeEpoch, shadow.writeWarpEpoch);
  if (isWrite) {
    const bool severalRead =
        shadow.manyReaders && shadow.readEpoch == epoch && shadow.readWarpEpoch == warpEpoch;
    ordered &= !severalRead && isOrdered(shadow.reader, shadow.readEpoch, shadow.readWarpEpoch);
    shadow.writer = static_cast<int32_t>(thread);
    shadow.writeEpoch = epoch;
    shadow.writeWarpEpoch = warpEpoch;
    shadow.wasWritten = true;
  } else {
    const bool isSameTime = shadow.readEpoch == epoch && shadow.readWarpEpoch == warpEpoch;
    shadow.manyReaders = isSameTime && (shadow.manyReaders || shadow.reader != thread);
    shadow.reader = static_cast<int32_t>(thread);
    shadow.readEpoch = epoch;
    shadow.readWarpEpoch = warpEpoch;
  }
  if (!ordered)
    fail(op, "two threads race for element " + std::to_string(element));
}

void Emulator::executeAccess(Operation &op, Value memref, Value offset, int64_t count,
                             int64_t alignment, Value stored, Value loaded, const Mask &mask) {
  Memory &memory = memories[memref];
  const int64_t size = sizeOf(memory.element);
  Cells *result = loaded ? &define(loaded) : nullptr;
  for (int64_t thread = 0; thread < threads && error.empty(); ++thread) {
    if (!mask[thread])
      continue;
    const int64_t first = values[offset][thread].integer;
    if (first < 0 || first + count > memory.elements)
      return fail(op, "element " + std::to_string(first) + " is out of bounds");
    if (first * size % alignment != 0)
      return fail(op, "element " + std::to_string(first) + " is not aligned");
    for (int64_t at = 0; at < count; ++at) {
      record(op, memory, first + at, thread, stored != nullptr);
      char *place = memory.bytes + (first + at) * size;
      const bool isFloat = isa<FloatType>(memory.element);
      if (stored) {
        const Cell cell = values[stored][thread * count + at];
        if (memory.element.isF32())
          std::memcpy(place, &cell.real, 4);
        else if (memory.element.isBF16())
          *reinterpret_cast<uint16_t *>(place) = toBFloat16(cell.real);
        else if (memory.element.isF16())
          *reinterpret_cast<_Float16 *>(place) = static_cast<_Float16>(cell.real);
        else
          fail(op, "the emulator does not store this type");
        continue;
      }
      Cell &cell = (*result)[thread * count + at];
      if (!isFloat)
        cell.integer = *reinterpret_cast<int32_t *>(place);
      else if (memory.element.isF32())
        std::memcpy(&cell.real, place, 4);
      else if (memory.element.isBF16())
        cell.real = fromBFloat16(*reinterpret_cast<uint16_t *>(place));
      else
        cell.real = static_cast<float>(*reinterpret_cast<_Float16 *>(place));
    }
  }
}

void Emulator::executeConstant(arith::ConstantOp op) {
  Cell cell;
  cell.integer = 0;
  if (auto number = dyn_cast<FloatAttr>(op.getValue()))
    cell.real = number.getValue().convertToFloat();
  else
    cell.integer = cast<IntegerAttr>(op.getValue()).getValue().getSExtValue();
  for (Cell &it : define(op))
    it = cell;
}

static bool compare(arith::CmpFPredicate predicate, float a, float b) {
  switch (predicate) {
  case arith::CmpFPredicate::OEQ:
    return a == b;
  case arith::CmpFPredicate::UNE:
    return a != b;
  case arith::CmpFPredicate::OLT:
    return a < b;
  case arith::CmpFPredicate::OGT:
    return a > b;
  case arith::CmpFPredicate::UNO:
    return std::isnan(a) || std::isnan(b);
  default:
    llvm::report_fatal_error("the emulator lacks a comparison of floats");
  }
}

static bool compare(arith::CmpIPredicate predicate, int64_t a, int64_t b) {
  switch (predicate) {
  case arith::CmpIPredicate::eq:
    return a == b;
  case arith::CmpIPredicate::ne:
    return a != b;
  case arith::CmpIPredicate::slt:
    return a < b;
  case arith::CmpIPredicate::sge:
    return a >= b;
  default:
    llvm::report_fatal_error("the emulator lacks a comparison of integers");
  }
}

// NaN if either is.
static float maximum(float a, float b) { return std::isnan(a) ? a : a > b ? a : b; }
static float minimum(float a, float b) { return std::isnan(a) ? a : a < b ? a : b; }

// Rounds as a conversion to the element type does.
static float roundTo(Type type, float value) {
  Type element = getElementTypeOrSelf(type);
  if (element.isBF16())
    return fromBFloat16(toBFloat16(value));
  return element.isF16() ? static_cast<float>(static_cast<_Float16>(value)) : value;
}

// One component of an op that works on each by itself.
static Cell evaluate(Operation &op, llvm::ArrayRef<Cell> in, bool &isKnown) {
  Cell out;
  out.integer = 0;
  isKnown = true;
  llvm::TypeSwitch<Operation *>(&op)
      .Case([&](arith::AddIOp) { out.integer = in[0].integer + in[1].integer; })
      .Case([&](arith::SubIOp) { out.integer = in[0].integer - in[1].integer; })
      .Case([&](arith::MulIOp) { out.integer = in[0].integer * in[1].integer; })
      .Case([&](arith::DivUIOp) { out.integer = in[0].integer / in[1].integer; })
      .Case([&](arith::RemUIOp) { out.integer = in[0].integer % in[1].integer; })
      .Case([&](arith::MinSIOp) { out.integer = std::min(in[0].integer, in[1].integer); })
      .Case([&](arith::AndIOp) { out.integer = in[0].integer & in[1].integer; })
      .Case([&](arith::IndexCastOp) { out.integer = in[0].integer; })
      // On bits: of 32, or of the 16 that a bf16 has.
      .Case([&](arith::ExtUIOp) { out.integer = in[0].integer; })
      .Case([&](arith::TruncIOp) { out.integer = static_cast<uint16_t>(in[0].integer); })
      .Case([&](arith::ShLIOp) {
        out.integer = static_cast<uint32_t>(in[0].integer << in[1].integer);
      })
      .Case([&](arith::ShRUIOp) {
        out.integer = static_cast<uint32_t>(in[0].integer) >> in[1].integer;
      })
      .Case([&](arith::BitcastOp cast) {
        if (cast.getType().isF32())
          out.real = std::bit_cast<float>(static_cast<uint32_t>(in[0].integer));
        else // of a float32, or of a bf16, which is kept as one
          out.integer =
              std::bit_cast<uint32_t>(in[0].real) >> (cast.getType().isInteger(16) ? 16 : 0);
      })
      .Case([&](arith::CmpIOp cmp) {
        out.integer = compare(cmp.getPredicate(), in[0].integer, in[1].integer);
      })
      .Case([&](arith::CmpFOp cmp) {
        out.integer = compare(cmp.getPredicate(), in[0].real, in[1].real);
      })
      .Case([&](arith::SelectOp) { out = in[0].integer ? in[1] : in[2]; })
      .Case([&](arith::SIToFPOp) { out.real = static_cast<float>(in[0].integer); })
      .Case([&](arith::AddFOp) { out.real = in[0].real + in[1].real; })
      .Case([&](arith::SubFOp) { out.real = in[0].real - in[1].real; })
      .Case([&](arith::MulFOp) { out.real = in[0].real * in[1].real; })
      .Case([&](arith::DivFOp) { out.real = in[0].real / in[1].real; })
      .Case([&](arith::NegFOp) { out.real = -in[0].real; })
      .Case([&](arith::MaximumFOp) { out.real = maximum(in[0].real, in[1].real); })
      .Case([&](arith::MinimumFOp) { out.real = minimum(in[0].real, in[1].real); })
      .Case([&](arith::ExtFOp) { out = in[0]; })
      .Case([&](arith::TruncFOp cast) { out.real = roundTo(cast.getType(), in[0].real); })
      .Case([&](math::ExpOp) { out.real = std::exp(in[0].real); })
      .Case([&](math::LogOp) { out.real = std::log(in[0].real); })
      .Case([&](math::SqrtOp) { out.real = std::sqrt(in[0].real); })
      .Case([&](math::TanhOp) { out.real = std::tanh(in[0].real); })
      .Case([&](math::ErfOp) { out.real = std::erf(in[0].real); })
      .Case([&](math::AbsFOp) { out.real = std::fabs(in[0].real); })
      .Default([&](Operation *) { isKnown = false; });
  return out;
}

void Emulator::executeScalar(Operation &op, const Mask &mask) {
  if (op.getNumResults() != 1)
    return fail(op, "the emulator lacks this op");
  std::vector<const Cells *> operands;
  Cells &cells = define(op.getResult(0));
  for (Value operand : op.getOperands())
    operands.push_back(&values.find(operand)->second);
  const size_t width = cells.size() / threads;
  llvm::SmallVector<Cell> in(operands.size());
  for (int64_t thread = 0; thread < threads; ++thread) {
    if (!mask[thread])
      continue;
    for (size_t at = thread * width; at < (thread + 1) * width; ++at) {
      for (auto [cell, operand] : llvm::zip_equal(in, operands))
        cell = (*operand)[at];
      bool isKnown;
      cells[at] = evaluate(op, in, isKnown);
      if (!isKnown)
        return fail(op, "the emulator lacks this op");
    }
  }
}

std::string emulate(const GpuLaunch &launch) { return Emulator(launch).run(); }

} // namespace titan::testing

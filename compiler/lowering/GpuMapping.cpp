#include "compiler/lowering/GpuMapping.h"

#include "compiler/lowering/StageBody.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace titan {

/// Rows up to this many vectors are a warp's: four for each lane.
static constexpr int64_t kWarpVectors = 128;
static constexpr int64_t kWarpsPerBlock = 8;
/// Of a block. Two or three of these share a multiprocessor, so that some compute while others wait
/// at a barrier; with 1024 threads ptxas spills registers to have two.
static constexpr int64_t kMaxThreads = 512;
static constexpr int64_t kFlatThreads = 256;
/// What a thread of a flat space may hold of its tensors at a time: AdamW that also writes a
/// bfloat16 copy, 8 tensors, has registers for 4 neighbors and not for the copy's 8.
static constexpr int64_t kFlatScalars = 48;
/// Blocks that walk a long flat space: several for each multiprocessor.
static constexpr int64_t kMaxFlatBlocks = 4096;

//===----------------------------------------------------------------------===//
// Accesses
//===----------------------------------------------------------------------===//

namespace {
/// A linear function under construction.
struct Linear {
  llvm::SmallVector<int64_t> coefficients;
  int64_t constant = 0;

  bool isConstant() const {
    return llvm::all_of(coefficients, [](int64_t value) { return value == 0; });
  }
  void addScaled(const Linear &other, int64_t scale) {
    for (auto [mine, theirs] : llvm::zip_equal(coefficients, other.coefficients))
      mine += theirs * scale;
    constant += other.constant * scale;
  }
};
} // namespace

static std::optional<Linear> linearize(AffineExpr expression, unsigned numDims) {
  Linear result{llvm::SmallVector<int64_t>(numDims, 0)};
  if (auto dim = dyn_cast<AffineDimExpr>(expression)) {
    result.coefficients[dim.getPosition()] = 1;
    return result;
  }
  if (auto constant = dyn_cast<AffineConstantExpr>(expression)) {
    result.constant = constant.getValue();
    return result;
  }
  auto binary = dyn_cast<AffineBinaryOpExpr>(expression);
  if (!binary)
    return std::nullopt;
  auto lhs = linearize(binary.getLHS(), numDims), rhs = linearize(binary.getRHS(), numDims);
  if (!lhs || !rhs)
    return std::nullopt;
  if (binary.getKind() == AffineExprKind::Add) {
    lhs->addScaled(*rhs, 1);
    return lhs;
  }
  if (binary.getKind() != AffineExprKind::Mul)
    return std::nullopt;
  if (!rhs->isConstant())
    std::swap(lhs, rhs);
  result.addScaled(*lhs, rhs->constant);
  return result;
}

std::optional<LinearAccess> getLinearAccess(AffineMap place, llvm::ArrayRef<int64_t> shape) {
  Linear sum{llvm::SmallVector<int64_t>(place.getNumDims(), 0)};
  int64_t stride = 1;
  for (size_t dim = shape.size(); dim-- > 0; stride *= shape[dim]) {
    auto linear = linearize(place.getResult(dim), place.getNumDims());
    if (!linear)
      return std::nullopt;
    sum.addScaled(*linear, stride);
  }
  return LinearAccess{sum.coefficients, sum.constant};
}

AccessForm classifyAccess(const LinearAccess &access, unsigned innermost, int64_t width) {
  const int64_t step = access.coefficients[innermost];
  if (step == 0)
    return AccessForm::uniform;
  if (step > 2 || step < 0)
    return AccessForm::scattered;
  const int64_t alignment = step * width;
  for (auto [dim, coefficient] : llvm::enumerate(access.coefficients))
    if (dim != innermost && coefficient % alignment != 0)
      return AccessForm::scattered;
  if (access.constant % alignment >= step)
    return AccessForm::scattered;
  return step == 1 ? AccessForm::vector : AccessForm::interleaved;
}

//===----------------------------------------------------------------------===//
// Grids
//===----------------------------------------------------------------------===//

static int64_t getBits(Type tensor) {
  return cast<RankedTensorType>(tensor).getElementType().getIntOrFloatBitWidth();
}

// The largest step along the nest's last column loop in an access of an element, and the narrowest
// type of what is accessed so.
static void measureNest(KernelOp kernel, const Stage &stage, const Nest &nest, int64_t &step,
                        int64_t &bits) {
  auto measure = [&](AffineMap place, Type tensor) {
    auto access = getLinearAccess(place, cast<RankedTensorType>(tensor).getShape());
    const unsigned innermost = stage.rows.size() + nest.columns.size() - 1;
    if (!access || innermost >= access->coefficients.size() || access->coefficients[innermost] == 0)
      return;
    bits = std::min(bits, getBits(tensor));
    if (access->coefficients[innermost] == 2)
      step = 2;
  };
  for (unsigned number : nest.evaluations) {
    const Evaluation &evaluation = stage.evaluations[number];
    if (evaluation.kind == Evaluation::Kind::load)
      measure(evaluation.place, kernel->getOperand(evaluation.index).getType());
    else if (evaluation.kind == Evaluation::Kind::reload)
      measure(evaluation.place, kernel->getResult(evaluation.index).getType());
  }
  for (const Root &root : nest.roots)
    if (root.kind == Root::Kind::store)
      measure(root.place, kernel->getResult(root.index).getType());
}

// As many neighbors as 16 bytes of the narrowest type hold, if they divide the loop.
static int64_t chooseWidth(KernelOp kernel, const Stage &stage, const Nest &nest, int64_t extent) {
  int64_t step = 1, bits = 32;
  measureNest(kernel, stage, nest, step, bits);
  int64_t width = std::max<int64_t>(128 / bits / step, 1);
  while (extent % width != 0)
    width /= 2;
  return width;
}

static int64_t powerOfTwo(int64_t value, int64_t low, int64_t high) {
  return std::clamp<int64_t>(llvm::PowerOf2Ceil(std::max<int64_t>(value, 1)), low, high);
}

GpuMapping mapFlat(KernelOp kernel, const Stage &stage, bool reduces, int64_t threads) {
  GpuMapping mapping;
  // All accesses walk the elements in their order, or are of scalars.
  int64_t bits = 32, numTensors = 0;
  for (Type type : llvm::concat<const Type>(llvm::to_vector(kernel->getOperandTypes()),
                                            llvm::to_vector(kernel->getResultTypes())))
    if (cast<RankedTensorType>(type).getNumElements() == stage.units) {
      bits = std::min(bits, getBits(type));
      ++numTensors;
    }
  int64_t width = 128 / bits;
  while (stage.units % width != 0 || (width > 4 && width * numTensors > kFlatScalars))
    width /= 2;
  mapping.widths = {width};
  const int64_t vectors = stage.units / width;
  mapping.threads =
      std::max(threads, powerOfTwo(vectors, kWarp, reduces ? kMaxThreads : kFlatThreads));
  mapping.group = mapping.threads;
  mapping.blocks =
      reduces ? stage.blocks
              : std::min<int64_t>(kMaxFlatBlocks, llvm::divideCeil(vectors, mapping.threads));
  return mapping;
}

GpuMapping mapRows(KernelOp kernel, const Stage &stage, bool reduces) {
  GpuMapping mapping;
  int64_t vectors = 1;
  bool hasColumnSums = false;
  std::optional<std::pair<llvm::ArrayRef<int64_t>, int64_t>> form;
  for (const Nest &nest : stage.nests) {
    const int64_t width =
        nest.columns.empty() ? 1 : chooseWidth(kernel, stage, nest, nest.columns.back());
    mapping.widths.push_back(width);
    if (nest.columns.empty())
      continue;
    vectors = std::max(vectors, product(nest.columns) / width);
    std::pair<llvm::ArrayRef<int64_t>, int64_t> own(nest.columns, width);
    mapping.separateNests |= form && *form != own;
    form = own;
    hasColumnSums |= llvm::any_of(nest.roots, [](const Root &root) {
      return root.kind == Root::Kind::crossReduction && root.place.getNumResults() != 0;
    });
  }
  // A column's partial sum belongs to one thread, which is why its block takes rows one by one.
  const bool isBlock = vectors > kWarpVectors || hasColumnSums || mapping.separateNests;
  if (isBlock) {
    mapping.threads = powerOfTwo(vectors, kWarp, kMaxThreads);
    mapping.group = mapping.threads;
  } else {
    mapping.group = powerOfTwo(vectors, 1, kWarp);
    mapping.threads = kWarp * kWarpsPerBlock;
    // A part of a warp shuffles together with the rest of it: all have the same number of rows.
    const int64_t groups = mapping.groups();
    if (mapping.group < kWarp &&
        (stage.units % groups != 0 || (reduces && stage.unitsPerBlock % groups != 0)))
      mapping.group = kWarp;
  }
  mapping.rowsPerBlock = reduces ? stage.unitsPerBlock : mapping.groups();
  mapping.blocks = llvm::divideCeil(stage.units, mapping.rowsPerBlock);
  return mapping;
}

} // namespace titan

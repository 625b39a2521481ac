#include "dialects/titan/ops/Einsum.h"

#include "dialects/titan/Sharding.h"

#include "llvm/ADT/StringSet.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;

namespace titan {

static bool contains(StringRef letters, char letter) {
  return letters.find(letter) != StringRef::npos;
}

static std::string checkLetters(StringRef part) {
  for (auto [i, letter] : llvm::enumerate(part)) {
    if (letter < 'a' || letter > 'z')
      return llvm::formatv("expects letters a to z, found '{0}'", letter);
    if (contains(part.drop_front(i + 1), letter))
      return llvm::formatv("letter '{0}' stands twice in '{1}'", letter, part);
  }
  return {};
}

/// Sorts the letters into groups, each in the order of the tensor that decides it.
static std::string groupLetters(EinsumSpec &spec) {
  for (char letter : spec.out) {
    const bool inLhs = contains(spec.lhs, letter), inRhs = contains(spec.rhs, letter);
    if (inLhs && inRhs)
      spec.batch += letter;
    else if (inLhs)
      spec.m += letter;
    else if (inRhs)
      spec.n += letter;
    else
      return llvm::formatv("letter '{0}' of the result stands in no operand", letter);
  }
  for (char letter : spec.lhs) {
    if (contains(spec.out, letter))
      continue;
    if (!contains(spec.rhs, letter))
      return llvm::formatv("letter '{0}' stands in one operand only", letter);
    spec.k += letter;
  }
  for (char letter : spec.rhs)
    if (!contains(spec.out, letter) && !contains(spec.lhs, letter))
      return llvm::formatv("letter '{0}' stands in one operand only", letter);
  return {};
}

std::optional<EinsumSpec> parseEinsum(StringRef equation, std::string &error) {
  EinsumSpec spec;
  auto [operands, out] = equation.split("->");
  auto [lhs, rhs] = operands.split(',');
  spec.lhs = lhs.str();
  spec.rhs = rhs.str();
  spec.out = out.str();
  if (!equation.contains("->") || !operands.contains(',')) {
    error = "expects 'LETTERS,LETTERS->LETTERS' such as \"bsd,nd->bsn\"";
    return std::nullopt;
  }
  for (StringRef part : {lhs, rhs, out})
    if (error = checkLetters(part); !error.empty())
      return std::nullopt;
  if (error = groupLetters(spec); !error.empty())
    return std::nullopt;

  auto reject = [&](const char *what, const std::string &found, const std::string &wanted) {
    error = llvm::formatv("the {0}'s letters '{1}' are not the groups batch '{2}', M '{3}', "
                          "N '{4}', K '{5}' in an order that is one matrix product, such as '{6}'",
                          what, found, spec.batch, spec.m, spec.n, spec.k, wanted);
    return std::nullopt;
  };
  spec.transposeLhs = spec.lhs != spec.batch + spec.m + spec.k;
  if (spec.transposeLhs && spec.lhs != spec.batch + spec.k + spec.m)
    return reject("left operand", spec.lhs, spec.batch + spec.m + spec.k);
  spec.transposeRhs = spec.rhs != spec.batch + spec.k + spec.n;
  if (spec.transposeRhs && spec.rhs != spec.batch + spec.n + spec.k)
    return reject("right operand", spec.rhs, spec.batch + spec.k + spec.n);
  if (spec.out != spec.batch + spec.m + spec.n)
    return reject("result", spec.out, spec.batch + spec.m + spec.n);
  return spec;
}

EinsumSizes getEinsumSizes(const EinsumSpec &spec, RankedTensorType lhs, RankedTensorType rhs) {
  auto product = [](StringRef letters, StringRef group, RankedTensorType type) {
    int64_t size = 1;
    for (char letter : group)
      size *= type.getDimSize(letters.find(letter));
    return size;
  };
  return {product(spec.lhs, spec.batch, lhs), product(spec.lhs, spec.m, lhs),
          product(spec.rhs, spec.n, rhs), product(spec.lhs, spec.k, lhs)};
}

LogicalResult EinsumOp::verify() {
  std::string error;
  auto spec = parseEinsum(getEquation(), error);
  if (!spec)
    return emitOpError("equation \"") << getEquation() << "\": " << error;
  llvm::SmallDenseMap<char, int64_t> sizes;
  auto check = [&](const char *what, StringRef letters, RankedTensorType type) -> LogicalResult {
    if (static_cast<int64_t>(letters.size()) != type.getRank())
      return emitOpError() << "the " << what << " has rank " << type.getRank()
                           << ", the equation gives it " << letters.size() << " letters";
    for (auto [letter, size] : llvm::zip(letters, type.getShape())) {
      auto [known, isNew] = sizes.try_emplace(letter, size);
      if (!isNew && known->second != size)
        return emitOpError() << "letter '" << std::string(1, letter) << "' has size "
                             << known->second << " and, in the " << what << ", " << size;
    }
    return success();
  };
  if (failed(check("left operand", spec->lhs, tensorType(getLhs()))) ||
      failed(check("right operand", spec->rhs, tensorType(getRhs()))) ||
      failed(check("result", spec->out, tensorType(getResult()))))
    return failure();
  if (getAcc() && !isSameTensor(getAcc().getType(), getResult().getType()))
    return emitOpError() << "the accumulator's type " << getAcc().getType()
                         << " is not the result's " << getResult().getType();
  return success();
}

/// The gradient of one operand: of the two tensors in `first` and `second`, the one that holds the
/// result's leading letters after the batch goes to the left.
static Value buildProduct(OpBuilder &builder, Location loc, StringRef firstLetters, Value first,
                          StringRef secondLetters, Value second, StringRef outLetters,
                          size_t batchLetters, Type type) {
  const bool swap =
      outLetters.size() > batchLetters && !contains(firstLetters, outLetters[batchLetters]);
  if (swap) {
    std::swap(first, second);
    std::swap(firstLetters, secondLetters);
  }
  const std::string equation =
      llvm::formatv("{0},{1}->{2}", firstLetters, secondLetters, outLetters);
  return EinsumOp::create(builder, loc, type, equation, first, second, Value());
}

LogicalResult EinsumOp::buildVjp(OpBuilder &builder, ArrayRef<Value> cotangents,
                                 const llvm::BitVector &needed, Vjp &result) {
  std::string error;
  EinsumSpec spec = *parseEinsum(getEquation(), error);
  const size_t batch = spec.batch.size();
  Value dout = cotangents[0];
  result.operands.assign(getNumOperands(), Value());
  if (needed[0])
    result.operands[0] = buildProduct(builder, getLoc(), spec.out, dout, spec.rhs, getRhs(),
                                      spec.lhs, batch, result.getType(getLhs(), 0));
  if (needed[1])
    result.operands[1] = buildProduct(builder, getLoc(), spec.out, dout, spec.lhs, getLhs(),
                                      spec.rhs, batch, result.getType(getRhs(), 1));
  if (getAcc() && needed[2])
    result.operands[2] = dout;
  return success();
}

ResultPlacement EinsumOp::getPlacement(unsigned) {
  return getAcc() ? ResultPlacement::inPlace(2) : ResultPlacement::fresh();
}

LogicalResult EinsumOp::emitInstructions(OpBuilder &builder, ValueRange operands,
                                         ValueRange results) {
  std::string error;
  EinsumSpec spec = *parseEinsum(getEquation(), error);
  const EinsumSizes sizes = getEinsumSizes(spec, tensorType(getLhs()), tensorType(getRhs()));
  auto integer = [&](int64_t value) { return builder.getI64IntegerAttr(value); };
  auto flag = [&](bool value) { return value ? builder.getUnitAttr() : UnitAttr(); };
  exec::GemmOp::create(builder, getLoc(), operands[0], operands[1], results[0],
                       /*workspace=*/Value(), flag(spec.transposeLhs), flag(spec.transposeRhs),
                       flag(static_cast<bool>(getAcc())), integer(sizes.m), integer(sizes.n),
                       integer(sizes.k), integer(spec.transposeLhs ? sizes.m : sizes.k),
                       integer(spec.transposeRhs ? sizes.k : sizes.n), integer(sizes.n),
                       integer(sizes.batch), integer(sizes.batch > 1 ? sizes.m * sizes.k : 0),
                       integer(sizes.batch > 1 ? sizes.k * sizes.n : 0),
                       integer(sizes.batch > 1 ? sizes.m * sizes.n : 0));
  return success();
}

} // namespace titan

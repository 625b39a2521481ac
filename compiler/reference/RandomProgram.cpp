#include "compiler/reference/RandomProgram.h"

#include "compiler/reference/Initializers.h"
#include "passes/Functions.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

#include <cmath>

using namespace mlir;

namespace titan {
namespace {

class RandomProgram {
public:
  RandomProgram(MLIRContext &context, uint64_t seed)
      : builder(&context), loc(builder.getUnknownLoc()), generator(seed, "random program"),
        rows(draw(1, 3)), sequence(draw(2, 6)), pairs(draw(1, 3)), kvHeads(draw(1, 2)),
        heads(kvHeads * draw(1, 2)), dim(2 * pairs * heads),
        rowType(getType({rows, sequence, dim})) {}

  OwningOpRef<ModuleOp> build() {
    OwningOpRef<ModuleOp> owner = ModuleOp::create(builder, loc);
    module = owner.get();
    auto tokenType = RankedTensorType::get({rows, sequence}, builder.getI32Type());
    auto scalar = getType({});
    builder.setInsertionPointToEnd(module.getBody());
    function =
        func::FuncOp::create(builder, loc, names::kLoss,
                             builder.getFunctionType({tokenType, tokenType}, {scalar, scalar}));
    function.setArgAttr(0, names::kInputName, builder.getStringAttr("tokens"));
    function.setArgAttr(1, names::kInputName, builder.getStringAttr("labels"));
    builder.setInsertionPointToEnd(function.addEntryBlock());

    Value table = addParameter("embedding", {kRandomVocabulary, dim}, 1.0);
    values.push_back(
        EmbeddingOp::create(builder, loc, rowType, function.getArgument(0), table, Value()));
    for (int64_t blocks = draw(3, 14); blocks > 0; --blocks)
      values.push_back(addBlock());
    const bool isTied = draw(0, 2) == 0;
    Value last = normalize(sumUnused());
    const int64_t padding = isTied || draw(0, 3) ? 0 : 4;
    Value head =
        isTied ? table : addParameter("head", {kRandomVocabulary + padding, dim}, 0.5, padding);
    auto loss = HeadLossOp::create(
        builder, loc, scalar, scalar, last, head, function.getArgument(1), Value(), ArrayAttr(),
        /*whole_logits=*/false,
        padding ? builder.getI64IntegerAttr(kRandomVocabulary) : IntegerAttr());
    func::ReturnOp::create(builder, loc, loss.getResults());
    return owner;
  }

private:
  using Block = Value (RandomProgram::*)();

  int64_t draw(int64_t low, int64_t high) {
    const double span = static_cast<double>(high - low + 1);
    return low + static_cast<int64_t>(generator.uniform(counter++) * span);
  }

  RankedTensorType getType(ArrayRef<int64_t> shape) {
    return RankedTensorType::get(shape, builder.getF32Type());
  }

  Value pick() { return values[draw(0, static_cast<int64_t>(values.size()) - 1)]; }

  /// A new parameter's value; every use loads it by itself, as inlined layers do.
  Value addParameter(StringRef kind, ArrayRef<int64_t> shape, double scale, int64_t padding = 0) {
    const std::string name = ("random." + Twine(parameterCount++) + "." + kind).str();
    VariableOp variable =
        createVariable(module, loc, name, Role::parameter, getType(shape), padding);
    const double fanIn = shape.size() > 1 ? static_cast<double>(shape.back()) : 1;
    variable.setInitializerAttr(
        NormalInitAttr::get(builder.getContext(), 0.0, scale / std::sqrt(fanIn)));
    return LoadOp::create(builder, loc, variable.getType(), name);
  }

  /// The values that nothing uses, added up: no block is dead.
  Value sumUnused() {
    Value sum;
    for (Value value : values)
      if (value.use_empty())
        sum = sum ? add(sum, value) : value;
    return sum;
  }

  // Ops of one result.
  Value add(Value a, Value b) { return AddOp::create(builder, loc, a.getType(), a, b); }
  Value mul(Value a, Value b) { return MulOp::create(builder, loc, a.getType(), a, b); }
  Value full(Type type, double value) {
    return FullOp::create(builder, loc, type, builder.getF64FloatAttr(value));
  }
  Value reshape(Value value, ArrayRef<int64_t> shape) {
    return ReshapeOp::create(builder, loc, getType(shape), value);
  }
  Value transpose(Value value, ArrayRef<int64_t> shape, ArrayRef<int64_t> permutation) {
    return TransposeOp::create(builder, loc, getType(shape), value, permutation);
  }
  Value broadcast(Value value, ArrayRef<int64_t> dimensions) {
    return BroadcastOp::create(builder, loc, rowType, value, dimensions);
  }
  Value silu(Value value) { return SiluOp::create(builder, loc, value.getType(), value); }
  /// value [.., width] times a new weight [size, width] transposed.
  Value project(Value value, int64_t size) {
    const int64_t width = tensorType(value).getShape().back();
    Value weight = addParameter("weight", {size, width}, 1.0);
    return EinsumOp::create(builder, loc, getType({rows, sequence, size}), "bsd,nd->bsn", value,
                            weight, Value());
  }
  Value normalize(Value value) {
    Value weight = addParameter("norm", {dim}, 1.0);
    auto norm = RmsNormOp::create(builder, loc, rowType, getType({rows, sequence}), value, weight,
                                  builder.getF64FloatAttr(1e-2));
    return norm.getResult();
  }
  /// 1 + x^2: positive, and smooth where logarithms and roots are taken.
  Value squarePlusOne(Value x) { return add(mul(x, x), full(x.getType(), 1)); }

  // Blocks: each makes a value of the shape [rows, sequence, dim]. What draws or creates stands in
  // a statement of its own: the order in which arguments are evaluated is the compiler's choice.
  Value addBlock() {
    static constexpr Block blocks[] = {&RandomProgram::combine,     &RandomProgram::applyFunction,
                                       &RandomProgram::applyNorm,   &RandomProgram::applyBias,
                                       &RandomProgram::feedForward, &RandomProgram::attend,
                                       &RandomProgram::mixRows,     &RandomProgram::turn,
                                       &RandomProgram::stack,       &RandomProgram::narrow};
    return (this->*blocks[draw(0, std::size(blocks) - 1)])();
  }

  Value combine() {
    Value a = pick(), b = pick();
    switch (draw(0, 3)) {
    case 0:
      return add(a, b);
    case 1:
      // A value less itself would make all that comes after it zero, and errors there invisible.
      return a == b ? silu(a) : SubOp::create(builder, loc, rowType, a, b).getResult();
    case 2: {
      Value left = normalize(a), right = normalize(b);
      return mul(left, right);
    }
    default:
      return DivOp::create(builder, loc, rowType, a, squarePlusOne(b));
    }
  }

  Value applyFunction() {
    Value x = pick();
    switch (draw(0, 6)) {
    case 0:
      return silu(x);
    case 1:
      return NegOp::create(builder, loc, rowType, x);
    case 2: {
      Value root = RsqrtOp::create(builder, loc, rowType, squarePlusOne(x));
      return ExpOp::create(builder, loc, rowType, mul(x, root));
    }
    case 3:
      return LogOp::create(builder, loc, rowType, squarePlusOne(x));
    case 4:
      return SqrtOp::create(builder, loc, rowType, squarePlusOne(x));
    case 5:
      return applyMap(x);
    default:
      return RsqrtOp::create(builder, loc, rowType, squarePlusOne(x));
    }
  }

  /// tanh(x) times a parameter's number.
  Value applyMap(Value x) {
    Value inputs[] = {x, addParameter("number", {}, 1.0)};
    auto op = MapOp::create(builder, loc, rowType, inputs);
    mlir::Block &block = op.getBody().emplaceBlock();
    Type scalar = rowType.getElementType();
    block.addArguments({scalar, scalar}, {loc, loc});
    auto inside = OpBuilder::atBlockEnd(&block);
    Value bounded = math::TanhOp::create(inside, loc, block.getArgument(0));
    Value scaled = arith::MulFOp::create(inside, loc, bounded, block.getArgument(1));
    YieldOp::create(inside, loc, scaled);
    return op.getResult(0);
  }

  Value applyNorm() { return normalize(pick()); }

  Value applyBias() {
    Value x = pick(), bias = addParameter("bias", {dim}, 1.0);
    return add(x, broadcast(bias, {2}));
  }

  Value feedForward() {
    Value x = normalize(pick());
    const int64_t hidden = draw(3, 9);
    Value gate = project(x, hidden), up = project(x, hidden);
    return project(mul(silu(gate), up), dim);
  }

  Value attend() {
    Value x = normalize(pick());
    const int64_t width = 2 * pairs;
    auto toHeads = [&](int64_t count) {
      return reshape(project(x, count * width), {rows, sequence, count, width});
    };
    Value query = toHeads(heads), key = toHeads(kvHeads), value = toHeads(kvHeads);
    if (draw(0, 1)) {
      Value cosine = addTable(RopeComponent::cosine), sine = addTable(RopeComponent::sine);
      query = RopeOp::create(builder, loc, query.getType(), query, cosine, sine, UnitAttr());
      key = RopeOp::create(builder, loc, key.getType(), key, cosine, sine, UnitAttr());
    }
    UnitAttr causal = draw(0, 3) ? builder.getUnitAttr() : UnitAttr();
    auto attention = AttentionOp::create(
        builder, loc, query.getType(), getType({rows, heads, sequence}), query, key, value, Value(),
        Value(), builder.getF64FloatAttr(1 / std::sqrt(static_cast<double>(width))), causal);
    Value mixed = project(reshape(attention.getResult(), {rows, sequence, dim}), dim);
    return add(pick(), mixed);
  }

  Value addTable(RopeComponent component) {
    const std::string name = ("rope." + stringifyRopeComponent(component)).str();
    RankedTensorType type = getType({sequence, pairs});
    if (!module.lookupSymbol(name)) {
      VariableOp table = createVariable(module, loc, name, Role::derived, type);
      table.setInitializerAttr(
          RopeTableInitAttr::get(builder.getContext(), component, 100.0, 1.0, 1.0, 4.0, 8192.0));
    }
    return LoadOp::create(builder, loc, type, name);
  }

  /// Each row minus its mean, or plus its sum.
  Value mixRows() {
    Value x = pick();
    Value sum = ReduceOp::create(builder, loc, getType({rows, sequence}), Reduction::sum, x,
                                 ArrayRef<int64_t>{2});
    Value spread = broadcast(sum, {0, 1});
    const double weight = draw(0, 1) ? -1.0 / static_cast<double>(dim) : 0.5;
    return add(x, mul(spread, full(rowType, weight)));
  }

  /// A function of the transposed value.
  Value turn() {
    Value turned = silu(transpose(pick(), {dim, rows, sequence}, {2, 0, 1}));
    return transpose(turned, {rows, sequence, dim}, {1, 2, 0});
  }

  /// Two values one after another, added up again after a function.
  Value stack() {
    const int64_t tokens = rows * sequence;
    Value parts[] = {reshape(pick(), {tokens, dim}), reshape(pick(), {tokens, dim})};
    Value both = silu(ConcatOp::create(builder, loc, getType({2 * tokens, dim}), parts));
    Value pair = reshape(both, {2, tokens, dim});
    Value sum = ReduceOp::create(builder, loc, getType({tokens, dim}), Reduction::sum, pair,
                                 ArrayRef<int64_t>{0});
    return reshape(sum, {rows, sequence, dim});
  }

  /// To a narrower type and back: the rounding of mixed precision.
  Value narrow() {
    auto type = RankedTensorType::get(rowType.getShape(), builder.getBF16Type());
    Value x = CastOp::create(builder, loc, type, pick());
    return CastOp::create(builder, loc, rowType, SiluOp::create(builder, loc, type, x));
  }

  OpBuilder builder;
  Location loc;
  CounterGenerator generator;
  uint64_t counter = 0;
  int64_t rows, sequence, pairs, kvHeads, heads, dim;
  RankedTensorType rowType;
  ModuleOp module;
  func::FuncOp function;
  SmallVector<Value> values;
  int64_t parameterCount = 0;
};

} // namespace

OwningOpRef<ModuleOp> buildRandomProgram(MLIRContext &context, uint64_t seed) {
  return RandomProgram(context, seed).build();
}

} // namespace titan

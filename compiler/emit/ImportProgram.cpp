#include "compiler/emit/Emit.h"

using namespace mlir;

namespace titan {

Type getElementType(MLIRContext *context, DType type) {
  switch (type) {
  case DType::f32:
    return Float32Type::get(context);
  case DType::bf16:
    return BFloat16Type::get(context);
  case DType::f16:
    return Float16Type::get(context);
  case DType::f64:
    return Float64Type::get(context);
  case DType::i32:
    return IntegerType::get(context, 32);
  case DType::i64:
    return IntegerType::get(context, 64);
  case DType::i8:
    return IntegerType::get(context, 8);
  case DType::u8:
    return IntegerType::get(context, 8, IntegerType::Unsigned);
  case DType::boolean:
    return IntegerType::get(context, 1);
  case DType::f8E4M3FN:
    return Float8E4M3FNType::get(context);
  case DType::f8E5M2:
    return Float8E5M2Type::get(context);
  case DType::f8E8M0FNU:
    return Float8E8M0FNUType::get(context);
  }
  llvm_unreachable("every element type is listed");
}

namespace {

template <typename To, typename From> To convert(From value) {
  return static_cast<To>(static_cast<int>(value));
}

/// Builds the ops of a program at the end of a module.
class ProgramImporter {
public:
  ProgramImporter(ModuleOp module, const format::Program &program)
      : builder(OpBuilder::atBlockEnd(module.getBody())), context(module.getContext()),
        program(program), location(UnknownLoc::get(context)) {}

  void run();

private:
  ArrayAttr strings(const std::vector<std::string> &texts) {
    SmallVector<StringRef> list(texts.begin(), texts.end());
    return builder.getStrArrayAttr(list);
  }
  MemRefType getType(const format::View &view) {
    ArrayRef<int64_t> shape(view.shape.data(), view.rank), strides(view.strides.data(), view.rank);
    Type element = getElementType(context, view.type);
    auto dense = MemRefType::get(shape, element);
    if (exec::getStrides(dense) == SmallVector<int64_t>(strides))
      return dense;
    return MemRefType::get(shape, element, StridedLayoutAttr::get(context, 0, strides));
  }
  /// Null for an empty list.
  ArrayAttr stringsIfAny(const std::vector<std::string> &texts) {
    return texts.empty() ? ArrayAttr() : strings(texts);
  }
  TypeAttr getGlobalType(const format::Variable &variable);
  exec::InitializerAttr getInitializer(const format::Variable &variable);
  exec::CostAttr getCost(const std::optional<format::Cost> &cost) {
    return cost ? exec::CostAttr::get(context, cost->flops, cost->bytes) : exec::CostAttr();
  }
  StringRef getBase(const format::Place &place) {
    return place.residualClass == format::kNone ? program.segments[place.segment].name
                                                : program.residualClasses[place.residualClass].name;
  }

  void importFacts();
  /// Null for what all ranks have.
  IntegerAttr getRank(int64_t pipelineRank);
  void importMemory();
  void importKernels();
  void importFunction(const format::Function &function);
  void importSection(Region &region, const std::vector<format::Action> &actions);

  // Each returns the op's token, or null.
  Value importOp(const format::Launch &op);
  Value importOp(const format::Gemm &op);
  Value importOp(const format::Attention &op);
  Value importOp(const format::AttentionGrad &op);
  Value importOp(const format::Embedding &op);
  Value importOp(const format::EmbeddingGrad &op);
  Value importOp(const format::Fill &op);
  Value importOp(const format::Copy &op);
  Value importOp(const format::CheckFinite &op);
  Value importOp(const format::Start &op);
  Value importOp(const format::Await &op);

  Value buffer(uint32_t index) { return index == format::kNone ? Value() : buffers[index]; }
  SmallVector<Value> list(const std::vector<uint32_t> &indices) {
    SmallVector<Value> values;
    for (uint32_t index : indices)
      values.push_back(buffers[index]);
    return values;
  }

  OpBuilder builder;
  MLIRContext *context;
  const format::Program &program;
  Location location;
  /// Of the function being built: buffers, and the token of each instruction.
  SmallVector<Value> buffers, tokens;
};

} // namespace

void ProgramImporter::importFacts() {
  SmallVector<Attribute> mesh;
  for (const format::Axis &axis : program.mesh)
    mesh.push_back(exec::AxisAttr::get(context, axis.name, axis.size));
  exec::ProgramOp::create(builder, location, program.target, builder.getArrayAttr(mesh),
                          program.flopsPerToken, program.job, strings(program.sources));
}

TypeAttr ProgramImporter::getGlobalType(const format::Variable &variable) {
  if (!variable.sharding)
    return {};
  const format::Sharding &from = *variable.sharding;
  SmallVector<Attribute> dimensions;
  for (const auto &axes : from.dimensions)
    dimensions.push_back(strings(axes));
  auto sharding =
      exec::ShardingAttr::get(context, builder.getArrayAttr(dimensions), stringsIfAny(from.partial),
                              stringsIfAny(from.flat), from.granule, from.padding);
  return TypeAttr::get(
      RankedTensorType::get(from.shape, getElementType(context, variable.view.type), sharding));
}

exec::InitializerAttr ProgramImporter::getInitializer(const format::Variable &variable) {
  if (!variable.initializer)
    return {};
  const format::Initializer &from = *variable.initializer;
  if (from.distribution == format::Distribution::axisIndex)
    return exec::InitializerAttr::get(context, strings(from.axes), from.numbers[0]);
  return exec::InitializerAttr::get(context, convert<exec::Distribution>(from.distribution),
                                    ArrayRef<double>(from.numbers));
}

IntegerAttr ProgramImporter::getRank(int64_t pipelineRank) {
  return pipelineRank < 0 ? IntegerAttr() : builder.getI64IntegerAttr(pipelineRank);
}

void ProgramImporter::importMemory() {
  for (const format::Segment &it : program.segments)
    exec::SegmentOp::create(builder, location, it.name, it.size, convert<exec::Space>(it.space),
                            getRank(it.pipelineRank));
  for (const format::ResidualClass &it : program.residualClasses)
    exec::ResidualClassOp::create(builder, location, it.name, program.segments[it.segment].name,
                                  it.offset, it.slots, it.bytes);
  for (const format::Variable &it : program.variables) {
    auto type = RankedTensorType::get(ArrayRef(it.view.shape.data(), it.view.rank),
                                      getElementType(context, it.view.type));
    exec::VariableOp::create(builder, location, builder.getStringAttr(it.name), TypeAttr::get(type),
                             getGlobalType(it),
                             exec::RoleAttr::get(context, convert<exec::Role>(it.role)),
                             FlatSymbolRefAttr::get(context, getBase(it.place)),
                             builder.getI64IntegerAttr(it.place.offset), getInitializer(it));
  }
}

void ProgramImporter::importKernels() {
  for (const format::Image &it : program.images) {
    auto op = exec::ImageOp::create(builder, location, it.name, it.target, strings(it.features),
                                    ElementsAttr());
    if (!it.contents.empty())
      op.setBytes(ArrayRef(it.contents.data(), it.contents.size()));
  }
  for (const format::Kernel &it : program.kernels) {
    SmallVector<Attribute> types, accesses, stages;
    for (const format::Argument &argument : it.arguments) {
      types.push_back(TypeAttr::get(getType(argument.view)));
      accesses.push_back(exec::AccessAttr::get(context, convert<exec::Access>(argument.access)));
    }
    for (const format::Stage &stage : it.stages)
      stages.push_back(exec::StageAttr::get(context, stage.symbol, stage.blocks, stage.threads));
    exec::KernelOp::create(builder, location, it.name, builder.getArrayAttr(types),
                           builder.getArrayAttr(accesses), builder.getArrayAttr(stages),
                           getCost(it.cost),
                           FlatSymbolRefAttr::get(context, program.images[it.image].name));
  }
}

Value ProgramImporter::importOp(const format::Launch &op) {
  exec::LaunchOp::create(builder, location, program.kernels[op.kernel].name, list(op.buffers));
  return {};
}

Value ProgramImporter::importOp(const format::Gemm &op) {
  exec::GemmOp::create(builder, location, buffer(op.a), buffer(op.b), buffer(op.c),
                       buffer(op.workspace), op.transA, op.transB, op.accumulate, op.m, op.n, op.k,
                       op.lda, op.ldb, op.ldc, op.batch, op.strideA, op.strideB, op.strideC);
  return {};
}

Value ProgramImporter::importOp(const format::Attention &op) {
  exec::AttentionOp::create(builder, location, buffer(op.q), buffer(op.k), buffer(op.v),
                            buffer(op.queryPositions), buffer(op.keyPositions), buffer(op.out),
                            buffer(op.lse), buffer(op.scratch), APFloat(op.scale), op.causal);
  return {};
}

Value ProgramImporter::importOp(const format::AttentionGrad &op) {
  exec::AttentionGradOp::create(builder, location, buffer(op.q), buffer(op.k), buffer(op.v),
                                buffer(op.queryPositions), buffer(op.keyPositions), buffer(op.out),
                                buffer(op.lse), buffer(op.dout), buffer(op.dq), buffer(op.dk),
                                buffer(op.dv), buffer(op.scratch), APFloat(op.scale), op.causal);
  return {};
}

Value ProgramImporter::importOp(const format::Embedding &op) {
  exec::EmbeddingOp::create(builder, location, buffer(op.tokens), buffer(op.table), buffer(op.out),
                            buffer(op.firstRow));
  return {};
}

Value ProgramImporter::importOp(const format::EmbeddingGrad &op) {
  exec::EmbeddingGradOp::create(builder, location, buffer(op.dout), buffer(op.tokens),
                                buffer(op.dtable), buffer(op.scratch), buffer(op.firstRow));
  return {};
}

Value ProgramImporter::importOp(const format::Fill &op) {
  exec::FillOp::create(builder, location, buffer(op.buffer), APFloat(op.value));
  return {};
}

Value ProgramImporter::importOp(const format::Copy &op) {
  exec::CopyOp::create(builder, location, buffer(op.source), buffer(op.destination));
  return {};
}

Value ProgramImporter::importOp(const format::CheckFinite &op) {
  exec::CheckFiniteOp::create(builder, location, list(op.values), buffer(op.flag));
  return {};
}

Value ProgramImporter::importOp(const format::Start &op) {
  return exec::StartOp::create(builder, location, exec::TokenType::get(context),
                               convert<exec::Collective>(op.collective),
                               convert<exec::Reduction>(op.reduction), strings(op.axes),
                               op.peer < 0 ? IntegerAttr() : builder.getI64IntegerAttr(op.peer),
                               op.channel, list(op.sources), list(op.destinations));
}

Value ProgramImporter::importOp(const format::Await &op) {
  exec::AwaitOp::create(builder, location, tokens[op.start]);
  return {};
}

void ProgramImporter::importFunction(const format::Function &function) {
  auto op = exec::FuncOp::create(builder, location, function.name);
  op.setAsync(function.isAsync);
  if (function.cost)
    op.setCostAttr(getCost(function.cost));
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(&op.getBodyRegion().front());
  buffers.clear();
  tokens.clear();
  for (const format::Buffer &it : function.buffers) {
    exec::RotationAttr rotation;
    if (it.rotation)
      rotation = exec::RotationAttr::get(context, strings(it.rotation->axes), it.rotation->stride,
                                         it.rotation->shift);
    buffers.push_back(exec::BufferOp::create(builder, location, getType(it.view),
                                             FlatSymbolRefAttr::get(context, getBase(it.place)),
                                             builder.getI64IntegerAttr(it.place.offset), rotation));
  }
  auto file = StringAttr::get(context, function.name);
  auto predicate = function.predicates.begin();
  for (auto [i, instruction] : llvm::enumerate(function.instructions)) {
    location = FileLineColLoc::get(file, static_cast<unsigned>(i), 0);
    if (!function.sources.empty() && function.sources[i] != format::kNone)
      location =
          NameLoc::get(StringAttr::get(context, program.sources[function.sources[i]]), location);
    tokens.push_back(std::visit([&](const auto &it) { return importOp(it); }, instruction));
    if (predicate == function.predicates.end() || predicate->instruction != i)
      continue;
    op.getBody()->back().setAttr(
        exec::ExecDialect::kWhen,
        exec::WhenAttr::get(context, strings(predicate->axes), predicate->value));
    ++predicate;
  }
  location = UnknownLoc::get(context);
}

void ProgramImporter::importSection(Region &region, const std::vector<format::Action> &actions) {
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(&region.front());
  for (const format::Action &action : actions) {
    SmallVector<Attribute> slots;
    for (const format::SlotBinding &slot : action.slots)
      slots.push_back(exec::SlotAttr::get(
          context,
          FlatSymbolRefAttr::get(context, program.residualClasses[slot.residualClass].name),
          slot.index));
    exec::ActionOp::create(builder, location, convert<exec::Mode>(action.mode),
                           convert<exec::Action>(action.letter),
                           program.functions[action.function].name, action.stage, action.microbatch,
                           builder.getArrayAttr(slots));
  }
}

void ProgramImporter::run() {
  importFacts();
  importMemory();
  importKernels();
  for (const format::Function &function : program.functions)
    importFunction(function);
  for (const format::Timeline &timeline : program.timelines) {
    auto op = exec::TimelineOp::create(builder, location, timeline.name);
    op.setPipelineRankAttr(getRank(timeline.pipelineRank));
    importSection(op.getPrologue(), timeline.prologue);
    importSection(op.getBodyRegion(), timeline.body);
    importSection(op.getEpilogue(), timeline.epilogue);
  }
}

OwningOpRef<ModuleOp> importProgram(MLIRContext *context, const format::Program &program) {
  context->getOrLoadDialect<exec::ExecDialect>();
  OwningOpRef<ModuleOp> module = ModuleOp::create(UnknownLoc::get(context));
  ProgramImporter(*module, program).run();
  return module;
}

} // namespace titan

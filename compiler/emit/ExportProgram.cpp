#include "compiler/emit/Emit.h"

#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace titan {

DType getDType(Type type) {
  return llvm::TypeSwitch<Type, DType>(type)
      .Case([](Float32Type) { return DType::f32; })
      .Case([](BFloat16Type) { return DType::bf16; })
      .Case([](Float16Type) { return DType::f16; })
      .Case([](Float64Type) { return DType::f64; })
      .Case([](Float8E4M3FNType) { return DType::f8E4M3FN; })
      .Case([](Float8E5M2Type) { return DType::f8E5M2; })
      .Case([](Float8E8M0FNUType) { return DType::f8E8M0FNU; })
      .Case([](IntegerType integer) {
        switch (integer.getWidth()) {
        case 1:
          return DType::boolean;
        case 8:
          return integer.isUnsigned() ? DType::u8 : DType::i8;
        case 32:
          return DType::i32;
        default:
          return DType::i64;
        }
      });
}

namespace {

// The enumerations of the dialect and of the format have the same values.
template <typename To, typename From> To convert(From value) {
  return static_cast<To>(static_cast<int>(value));
}

template <typename Attr> std::optional<format::Cost> convertCost(std::optional<Attr> cost) {
  if (!cost)
    return std::nullopt;
  return format::Cost{cost->getFlops(), cost->getBytes()};
}

std::vector<std::string> convertStrings(ArrayAttr strings) {
  std::vector<std::string> result;
  if (strings)
    for (StringRef text : strings.getAsValueRange<StringAttr>())
      result.push_back(text.str());
  return result;
}

std::optional<format::Rotation> convertRotation(exec::BufferOp op) {
  exec::RotationAttr rotation = op.getRotationAttr();
  if (!rotation)
    return std::nullopt;
  return format::Rotation{convertStrings(rotation.getAxes()), rotation.getStride(),
                          rotation.getShift()};
}

std::optional<format::Sharding> convertSharding(exec::VariableOp op) {
  exec::ShardingAttr from = op.getSharding();
  if (!from)
    return std::nullopt;
  format::Sharding sharding;
  auto global = cast<RankedTensorType>(*op.getGlobalType());
  sharding.shape.assign(global.getShape().begin(), global.getShape().end());
  for (auto axes : from.getDimensions().getAsRange<ArrayAttr>())
    sharding.dimensions.push_back(convertStrings(axes));
  sharding.partial = convertStrings(from.getPartial());
  sharding.flat = convertStrings(from.getFlat());
  sharding.granule = from.getGranule();
  sharding.padding = from.getPadding();
  return sharding;
}

format::View convertView(MemRefType type) {
  format::View view;
  view.type = getDType(type.getElementType());
  view.rank = static_cast<uint8_t>(type.getRank());
  llvm::copy(type.getShape(), view.shape.begin());
  llvm::copy(exec::getStrides(type), view.strides.begin());
  return view;
}

/// Numbers the buffers and instructions of one function while it converts them.
class FunctionExporter {
public:
  FunctionExporter(const llvm::StringMap<uint32_t> &kernels,
                   llvm::function_ref<format::Place(FlatSymbolRefAttr, int64_t)> getPlace,
                   llvm::function_ref<uint32_t(Location)> getSource)
      : kernels(kernels), getPlace(getPlace), getSource(getSource) {}

  format::Function run(exec::FuncOp op);

private:
  uint32_t index(Value buffer) { return buffer ? buffers.lookup(buffer) : format::kNone; }
  std::vector<uint32_t> indices(ValueRange values) {
    std::vector<uint32_t> result;
    for (Value value : values)
      result.push_back(index(value));
    return result;
  }

  format::Instruction convertOp(exec::LaunchOp op) {
    return format::Launch{kernels.lookup(op.getKernel()), indices(op.getOperands())};
  }
  format::Instruction convertOp(exec::GemmOp op);
  format::Instruction convertOp(exec::AttentionOp op);
  format::Instruction convertOp(exec::AttentionGradOp op);
  format::Instruction convertOp(exec::EmbeddingOp op) {
    return format::Embedding{index(op.getTokens()), index(op.getTable()), index(op.getOut()),
                             index(op.getFirstRow())};
  }
  format::Instruction convertOp(exec::EmbeddingGradOp op) {
    return format::EmbeddingGrad{index(op.getDout()), index(op.getTokens()), index(op.getDtable()),
                                 index(op.getScratch()), index(op.getFirstRow())};
  }
  format::Instruction convertOp(exec::FillOp op) {
    return format::Fill{index(op.getBuffer()), op.getValue().convertToDouble()};
  }
  format::Instruction convertOp(exec::CopyOp op) {
    return format::Copy{index(op.getSource()), index(op.getDestination())};
  }
  format::Instruction convertOp(exec::CheckFiniteOp op) {
    return format::CheckFinite{indices(op.getValues()), index(op.getFlag())};
  }
  format::Instruction convertOp(exec::StartOp op);
  format::Instruction convertOp(exec::AwaitOp op) {
    return format::Await{starts.lookup(op.getToken())};
  }

  const llvm::StringMap<uint32_t> &kernels;
  llvm::function_ref<format::Place(FlatSymbolRefAttr, int64_t)> getPlace;
  llvm::function_ref<uint32_t(Location)> getSource;
  DenseMap<Value, uint32_t> buffers;
  DenseMap<Value, uint32_t> starts;
};

} // namespace

format::Instruction FunctionExporter::convertOp(exec::GemmOp op) {
  return format::Gemm{
      index(op.getA()), index(op.getB()), index(op.getC()),   index(op.getWorkspace()),
      op.getTransA(),   op.getTransB(),   op.getAccumulate(), op.getM(),
      op.getN(),        op.getK(),        op.getLda(),        op.getLdb(),
      op.getLdc(),      op.getBatch(),    op.getStrideA(),    op.getStrideB(),
      op.getStrideC()};
}

format::Instruction FunctionExporter::convertOp(exec::AttentionOp op) {
  return format::Attention{index(op.getQ()),
                           index(op.getK()),
                           index(op.getV()),
                           index(op.getQueryPositions()),
                           index(op.getKeyPositions()),
                           index(op.getOut()),
                           index(op.getLse()),
                           index(op.getScratch()),
                           op.getScale().convertToFloat(),
                           op.getCausal()};
}

format::Instruction FunctionExporter::convertOp(exec::AttentionGradOp op) {
  return format::AttentionGrad{index(op.getQ()),
                               index(op.getK()),
                               index(op.getV()),
                               index(op.getQueryPositions()),
                               index(op.getKeyPositions()),
                               index(op.getOut()),
                               index(op.getLse()),
                               index(op.getDout()),
                               index(op.getDq()),
                               index(op.getDk()),
                               index(op.getDv()),
                               index(op.getScratch()),
                               op.getScale().convertToFloat(),
                               op.getCausal()};
}

format::Instruction FunctionExporter::convertOp(exec::StartOp op) {
  return format::Start{convert<format::Collective>(op.getCollective()),
                       convert<format::Reduction>(op.getReduction()),
                       convertStrings(op.getAxes()),
                       op.getPeer().value_or(-1),
                       indices(op.getSources()),
                       indices(op.getDestinations()),
                       op.getChannel()};
}

format::Function FunctionExporter::run(exec::FuncOp op) {
  format::Function result{
      op.getSymName().str(), op.getAsync(), convertCost(op.getCost()), {}, {}, {}};
  for (Operation &inner : op.getBodyRegion().front()) {
    if (auto buffer = dyn_cast<exec::BufferOp>(inner)) {
      buffers[buffer] = static_cast<uint32_t>(result.buffers.size());
      result.buffers.push_back({getPlace(buffer.getBaseAttr(), buffer.getOffset()),
                                convertView(buffer.getType()), convertRotation(buffer)});
      continue;
    }
    if (auto when = inner.getAttrOfType<exec::WhenAttr>(exec::ExecDialect::kWhen))
      result.predicates.push_back({static_cast<uint32_t>(result.instructions.size()),
                                   convertStrings(when.getAxes()), when.getValue()});
    if (auto start = dyn_cast<exec::StartOp>(inner))
      starts[start.getToken()] = static_cast<uint32_t>(result.instructions.size());
    result.sources.push_back(getSource(inner.getLoc()));
    result.instructions.push_back(
        llvm::TypeSwitch<Operation *, format::Instruction>(&inner)
            .Case<exec::LaunchOp, exec::GemmOp, exec::AttentionOp, exec::AttentionGradOp,
                  exec::EmbeddingOp, exec::EmbeddingGradOp, exec::FillOp, exec::CopyOp,
                  exec::CheckFiniteOp, exec::StartOp, exec::AwaitOp>(
                [&](auto instruction) { return convertOp(instruction); }));
  }
  if (llvm::all_of(result.sources, [](uint32_t source) { return source == format::kNone; }))
    result.sources.clear();
  return result;
}

namespace {

/// Converts a module op by op. Symbols are numbered first, since ops may refer forward.
class ProgramExporter {
public:
  explicit ProgramExporter(ModuleOp module) : module(module) {}

  FailureOr<format::Program> run();

private:
  template <typename Op> void number(llvm::StringMap<uint32_t> &indices) {
    for (Op op : module.getOps<Op>())
      indices.try_emplace(op.getSymName(), static_cast<uint32_t>(indices.size()));
  }

  format::Place getPlace(FlatSymbolRefAttr base, int64_t offset) const;
  uint32_t getSource(Location location);
  LogicalResult exportFacts();
  void exportMemory();
  LogicalResult exportKernel(exec::KernelOp op);
  std::vector<format::Action> exportSection(Region &section);

  ModuleOp module;
  format::Program program;
  llvm::StringMap<uint32_t> segments, residualClasses, images, kernels, functions, sources;
  llvm::DenseMap<Location, uint32_t> sourceOfLocation;
};

} // namespace

format::Place ProgramExporter::getPlace(FlatSymbolRefAttr base, int64_t offset) const {
  if (auto found = residualClasses.find(base.getValue()); found != residualClasses.end())
    return {program.residualClasses[found->second].segment, found->second, offset};
  return {segments.lookup(base.getValue()), format::kNone, offset};
}

/// The names that a location holds: "layers.0, layers.0.ffn_norm". A kernel of many ops has many.
static std::string describe(Location location) {
  constexpr size_t kMostNames = 3;
  llvm::SmallSetVector<StringRef, 8> names;
  location->walk([&](Location inner) {
    if (auto name = dyn_cast<NameLoc>(inner))
      names.insert(name.getName());
    return WalkResult::advance();
  });
  std::string text = llvm::join(names.getArrayRef().take_front(kMostNames), ", ");
  if (names.size() > kMostNames)
    text += " and " + std::to_string(names.size() - kMostNames) + " more";
  return text;
}

uint32_t ProgramExporter::getSource(Location location) {
  auto [known, isNew] = sourceOfLocation.try_emplace(location, format::kNone);
  if (!isNew)
    return known->second;
  const std::string name = describe(location);
  if (name.empty())
    return format::kNone;
  auto [source, isNewName] =
      sources.try_emplace(name, static_cast<uint32_t>(program.sources.size()));
  if (isNewName)
    program.sources.push_back(name);
  return known->second = source->second;
}

LogicalResult ProgramExporter::exportFacts() {
  auto programs = module.getOps<exec::ProgramOp>();
  if (programs.empty())
    return module.emitError("needs an exec.program to be written to a file");
  exec::ProgramOp op = *programs.begin();
  program.target = op.getTarget().str();
  for (auto axis : op.getMesh().getAsRange<exec::AxisAttr>())
    program.mesh.push_back({axis.getName().str(), axis.getSize()});
  program.flopsPerToken = op.getFlopsPerToken();
  program.job = op.getJob().str();
  program.sources = convertStrings(op.getSources());
  for (auto [i, name] : llvm::enumerate(program.sources))
    sources.try_emplace(name, static_cast<uint32_t>(i));
  return success();
}

void ProgramExporter::exportMemory() {
  for (auto op : module.getOps<exec::SegmentOp>())
    program.segments.push_back({op.getSymName().str(), op.getSize(),
                                convert<format::Space>(op.getSpace()),
                                op.getPipelineRank().value_or(-1)});
  for (auto op : module.getOps<exec::ResidualClassOp>())
    program.residualClasses.push_back({op.getSymName().str(), segments.lookup(op.getSegment()),
                                       op.getOffset(), op.getSlots(), op.getBytes()});
  for (auto op : module.getOps<exec::VariableOp>()) {
    const RankedTensorType type = op.getTensorType();
    format::Variable variable;
    variable.name = op.getSymName().str();
    variable.view = format::denseView(getDType(type.getElementType()), type.getShape().data(),
                                      static_cast<int>(type.getRank()));
    variable.role = convert<format::Role>(op.getRole());
    variable.place = getPlace(op.getBaseAttr(), op.getOffset());
    if (auto initializer = op.getInitializer()) {
      variable.initializer.emplace();
      variable.initializer->distribution =
          convert<format::Distribution>(initializer->getDistribution());
      for (const APFloat &value : initializer->getNumbers())
        variable.initializer->numbers.push_back(value.convertToDouble());
      variable.initializer->axes = convertStrings(initializer->getAxes());
    }
    variable.sharding = convertSharding(op);
    program.variables.push_back(std::move(variable));
  }
}

LogicalResult ProgramExporter::exportKernel(exec::KernelOp op) {
  if (!op.getImage())
    return op.emitOpError("has not been emitted: it names no image");
  format::Kernel kernel;
  kernel.name = op.getSymName().str();
  for (unsigned i = 0; i < op.getNumArguments(); ++i)
    kernel.arguments.push_back(
        {convert<format::Access>(op.getAccess(i)), convertView(op.getArgumentType(i))});
  for (auto stage : op.getStages().getAsRange<exec::StageAttr>())
    kernel.stages.push_back({stage.getSymbol().str(), stage.getBlocks(), stage.getThreads()});
  kernel.cost = convertCost(op.getCost());
  kernel.image = images.lookup(*op.getImage());
  program.kernels.push_back(std::move(kernel));
  return success();
}

std::vector<format::Action> ProgramExporter::exportSection(Region &section) {
  std::vector<format::Action> actions;
  for (auto op : section.getOps<exec::ActionOp>()) {
    format::Action action{convert<format::Mode>(op.getMode()),
                          convert<format::Letter>(op.getLetter()),
                          functions.lookup(op.getFunction()),
                          op.getStage(),
                          op.getMicrobatch(),
                          {}};
    for (auto slot : op.getSlots().getAsRange<exec::SlotAttr>())
      action.slots.push_back(
          {residualClasses.lookup(slot.getResidualClass().getValue()), slot.getIndex()});
    actions.push_back(std::move(action));
  }
  return actions;
}

FailureOr<format::Program> ProgramExporter::run() {
  for (Operation &op : *module.getBody())
    if (!isa<exec::ExecDialect>(op.getDialect()))
      return op.emitOpError("has no place in a program file: lower the module to exec first");
  number<exec::SegmentOp>(segments);
  number<exec::ResidualClassOp>(residualClasses);
  number<exec::ImageOp>(images);
  number<exec::KernelOp>(kernels);
  number<exec::FuncOp>(functions);
  if (failed(exportFacts()))
    return failure();
  exportMemory();
  for (auto op : module.getOps<exec::ImageOp>()) {
    // A module that was printed without its resources still names them.
    if (op.getContents() && op.getBytes().empty())
      return op.emitOpError("names contents that the module does not hold");
    program.images.push_back({op.getSymName().str(), op.getTarget().str(),
                              convertStrings(op.getFeatures()),
                              std::string_view(op.getBytes().data(), op.getBytes().size())});
  }
  for (auto op : module.getOps<exec::KernelOp>())
    if (failed(exportKernel(op)))
      return failure();
  auto place = [&](FlatSymbolRefAttr base, int64_t offset) { return getPlace(base, offset); };
  auto source = [&](Location location) { return getSource(location); };
  for (auto op : module.getOps<exec::FuncOp>())
    program.functions.push_back(FunctionExporter(kernels, place, source).run(op));
  for (auto op : module.getOps<exec::TimelineOp>())
    program.timelines.push_back({op.getSymName().str(), exportSection(op.getPrologue()),
                                 exportSection(op.getBodyRegion()), exportSection(op.getEpilogue()),
                                 op.getPipelineRank().value_or(-1)});
  return std::move(program);
}

FailureOr<format::Program> exportProgram(ModuleOp module) { return ProgramExporter(module).run(); }

} // namespace titan

#include "runtime/format/Serialize.h"

#include "runtime/format/program_generated.h"

#include <algorithm>
#include <cstring>

namespace titan::format {
namespace {

template <typename T> using List = flatbuffers::Vector<flatbuffers::Offset<T>>;

std::string text(const flatbuffers::String *from) { return from ? from->str() : std::string(); }

std::string at(const char *table, size_t index) {
  return std::string(table) + " " + std::to_string(index);
}

/// The elements of a vector of numbers. Copied as bytes, since the FlatBuffers verifier does not
/// check that elements of 8 bytes are aligned.
template <typename T> std::vector<T> copyNumbers(const flatbuffers::Vector<T> *from) {
  std::vector<T> to(from ? from->size() : 0);
  if (!to.empty())
    std::memcpy(to.data(), from->Data(), to.size() * sizeof(T));
  return to;
}

Status readEnum(uint8_t value, int count, const char *what) {
  if (value < count)
    return okStatus();
  return dataLoss(std::string(what) + " is below " + std::to_string(count) + ", found " +
                  std::to_string(value));
}

/// Stores a number into an enumeration with `count` values.
template <typename E> Status readEnum(uint8_t value, int count, const char *what, E &to) {
  TITAN_RETURN_IF_ERROR(readEnum(value, count, what));
  to = static_cast<E>(value);
  return okStatus();
}

Status readNumbers(const flatbuffers::Vector<int64_t> *from, const char *what, uint8_t &rank,
                   std::array<int64_t, kMaxRank> &to) {
  const std::vector<int64_t> numbers = copyNumbers(from);
  if (numbers.size() > kMaxRank)
    return dataLoss("rank of the " + std::string(what) + " is at most " + std::to_string(kMaxRank) +
                    ", found " + std::to_string(numbers.size()));
  std::copy(numbers.begin(), numbers.end(), to.begin());
  rank = static_cast<uint8_t>(numbers.size());
  return okStatus();
}

Status readView(const fb::View *from, View &to) {
  if (!from)
    return dataLoss("the view is missing");
  TITAN_RETURN_IF_ERROR(readEnum(from->type(), kNumDTypes, "element type", to.type));
  TITAN_RETURN_IF_ERROR(readNumbers(from->shape(), "shape", to.rank, to.shape));
  uint8_t rank = 0;
  TITAN_RETURN_IF_ERROR(readNumbers(from->strides(), "strides", rank, to.strides));
  if (rank != to.rank)
    return dataLoss("shape and strides have one rank, found " + std::to_string(to.rank) + " and " +
                    std::to_string(rank));
  return okStatus();
}

Status readPlace(const fb::Place *from, Place &to) {
  if (!from)
    return dataLoss("the place is missing");
  to = {from->segment(), from->residual_class(), from->offset()};
  return okStatus();
}

void readCost(const fb::Cost *from, std::optional<Cost> &to) {
  if (from)
    to = Cost{from->flops(), from->bytes()};
}

std::vector<std::string> readStrings(const List<flatbuffers::String> *from) {
  std::vector<std::string> to;
  if (from)
    for (const flatbuffers::String *element : *from)
      to.push_back(text(element));
  return to;
}

/// Reads every element of a list; a failure names the table and the index.
template <typename T, typename U, typename F>
Status readList(const List<T> *from, const char *table, std::vector<U> &to, F read) {
  if (!from)
    return okStatus();
  to.resize(from->size());
  for (size_t i = 0; i < to.size(); ++i)
    if (Status status = read(*from->Get(static_cast<flatbuffers::uoffset_t>(i)), to[i]);
        !status.ok())
      return status.withContext(at(table, i));
  return okStatus();
}

Status readSharding(const fb::Sharding &from, Sharding &to) {
  to.shape = copyNumbers(from.shape());
  TITAN_RETURN_IF_ERROR(readList(from.dimensions(), "dimension", to.dimensions,
                                 [](const fb::Axes &axes, std::vector<std::string> &result) {
                                   result = readStrings(axes.names());
                                   return okStatus();
                                 }));
  to.partial = readStrings(from.partial());
  to.flat = readStrings(from.flat());
  to.granule = from.granule();
  to.padding = from.padding();
  return okStatus();
}

Status readVariable(const fb::Variable &from, Variable &to) {
  to.name = text(from.name());
  TITAN_RETURN_IF_ERROR(readEnum(from.type(), kNumDTypes, "element type", to.view.type));
  TITAN_RETURN_IF_ERROR(readNumbers(from.shape(), "shape", to.view.rank, to.view.shape));
  TITAN_RETURN_IF_ERROR(readEnum(from.role(), 7, "role", to.role));
  TITAN_RETURN_IF_ERROR(readPlace(from.place(), to.place));
  if (const fb::Initializer *initializer = from.initializer()) {
    Initializer value;
    TITAN_RETURN_IF_ERROR(
        readEnum(initializer->distribution(), 6, "distribution", value.distribution));
    value.numbers = copyNumbers(initializer->numbers());
    value.axes = readStrings(initializer->axes());
    to.initializer = value;
  }
  if (const fb::Sharding *sharding = from.sharding())
    TITAN_RETURN_IF_ERROR(readSharding(*sharding, to.sharding.emplace()).withContext("sharding"));
  // A variable is dense. Its extents are not verified yet, so its strides may not overflow here.
  int64_t stride = 1;
  for (int i = to.view.rank - 1; i >= 0; --i) {
    to.view.strides[i] = stride;
    if (__builtin_mul_overflow(stride, to.view.shape[i], &stride))
      return dataLoss("the shape of '" + to.name + "' has too many elements");
  }
  return okStatus();
}

Status readImage(const fb::Image &from, std::string_view file, Image &to) {
  to.name = text(from.name());
  to.target = text(from.target());
  to.features = readStrings(from.features());
  if (from.offset() % kAlignment)
    return dataLoss("offset is a multiple of " + std::to_string(kAlignment) + ", found " +
                    std::to_string(from.offset()));
  if (from.offset() > file.size() || from.size() > file.size() - from.offset())
    return dataLoss(std::to_string(from.size()) + " bytes at offset " +
                    std::to_string(from.offset()) + " exceed the file of " +
                    std::to_string(file.size()) + " bytes");
  to.contents = file.substr(from.offset(), from.size());
  return okStatus();
}

Status readKernel(const fb::Kernel &from, Kernel &to) {
  to.name = text(from.name());
  TITAN_RETURN_IF_ERROR(readList(from.arguments(), "argument", to.arguments,
                                 [](const fb::Argument &argument, Argument &result) -> Status {
                                   TITAN_RETURN_IF_ERROR(
                                       readEnum(argument.access(), 3, "access", result.access));
                                   return readView(argument.view(), result.view);
                                 }));
  TITAN_RETURN_IF_ERROR(
      readList(from.stages(), "stage", to.stages, [](const fb::Stage &stage, Stage &result) {
        result = {text(stage.symbol()), stage.blocks(), stage.threads()};
        return okStatus();
      }));
  readCost(from.cost(), to.cost);
  to.image = from.image();
  return okStatus();
}

Status readStart(const fb::Start &from, Start &to) {
  TITAN_RETURN_IF_ERROR(readEnum(from.collective(), 7, "collective", to.collective));
  TITAN_RETURN_IF_ERROR(readEnum(from.reduction(), 3, "reduction", to.reduction));
  to.axes = readStrings(from.axes());
  to.peer = from.peer();
  to.sources = copyNumbers(from.sources());
  to.destinations = copyNumbers(from.destinations());
  to.channel = from.channel();
  return okStatus();
}

Gemm readGemm(const fb::Gemm &op) {
  return {op.a(),          op.b(),     op.c(),        op.workspace(), op.trans_a(), op.trans_b(),
          op.accumulate(), op.m(),     op.n(),        op.k(),         op.lda(),     op.ldb(),
          op.ldc(),        op.batch(), op.stride_a(), op.stride_b(),  op.stride_c()};
}

/// The FlatBuffers verifier has checked each table against its type.
template <typename T> const T &as(const void *table) { return *static_cast<const T *>(table); }

Status readInstruction(uint8_t type, const void *table, Instruction &to) {
  switch (type) {
  case fb::Instruction_Launch: {
    const auto &op = as<fb::Launch>(table);
    to = Launch{op.kernel(), copyNumbers(op.buffers())};
    return okStatus();
  }
  case fb::Instruction_Gemm:
    to = readGemm(as<fb::Gemm>(table));
    return okStatus();
  case fb::Instruction_Attention: {
    const auto &op = as<fb::Attention>(table);
    to = Attention{op.q(),   op.k(),   op.v(),       op.query_positions(), op.key_positions(),
                   op.out(), op.lse(), op.scratch(), op.scale(),           op.causal()};
    return okStatus();
  }
  case fb::Instruction_AttentionGrad: {
    const auto &op = as<fb::AttentionGrad>(table);
    to = AttentionGrad{op.q(),
                       op.k(),
                       op.v(),
                       op.query_positions(),
                       op.key_positions(),
                       op.out(),
                       op.lse(),
                       op.dout(),
                       op.dq(),
                       op.dk(),
                       op.dv(),
                       op.scratch(),
                       op.scale(),
                       op.causal()};
    return okStatus();
  }
  case fb::Instruction_Embedding: {
    const auto &op = as<fb::Embedding>(table);
    to = Embedding{op.tokens(), op.table_(), op.out(), op.first_row()};
    return okStatus();
  }
  case fb::Instruction_EmbeddingGrad: {
    const auto &op = as<fb::EmbeddingGrad>(table);
    to = EmbeddingGrad{op.dout(), op.tokens(), op.dtable(), op.scratch(), op.first_row()};
    return okStatus();
  }
  case fb::Instruction_Fill: {
    const auto &op = as<fb::Fill>(table);
    to = Fill{op.buffer(), op.value()};
    return okStatus();
  }
  case fb::Instruction_Copy: {
    const auto &op = as<fb::Copy>(table);
    to = Copy{op.source(), op.destination()};
    return okStatus();
  }
  case fb::Instruction_CheckFinite: {
    const auto &op = as<fb::CheckFinite>(table);
    to = CheckFinite{copyNumbers(op.values()), op.flag()};
    return okStatus();
  }
  case fb::Instruction_Start: {
    Start start;
    TITAN_RETURN_IF_ERROR(readStart(as<fb::Start>(table), start));
    to = std::move(start);
    return okStatus();
  }
  case fb::Instruction_Await:
    to = Await{as<fb::Await>(table).start()};
    return okStatus();
  default:
    return dataLoss("instruction type " + std::to_string(type) + " is unknown");
  }
}

Status readBuffer(const fb::Buffer &from, Buffer &to) {
  TITAN_RETURN_IF_ERROR(readPlace(from.place(), to.place));
  if (const fb::Rotation *rotation = from.rotation())
    to.rotation = Rotation{readStrings(rotation->axes()), rotation->stride(), rotation->shift()};
  return readView(from.view(), to.view);
}

Status readFunction(const fb::Function &from, Function &to) {
  to.name = text(from.name());
  to.isAsync = from.is_async();
  readCost(from.cost(), to.cost);
  TITAN_RETURN_IF_ERROR(readList(from.buffers(), "buffer", to.buffers, readBuffer));
  const auto *types = from.instructions_type();
  const auto *tables = from.instructions();
  const size_t count = tables ? tables->size() : 0;
  to.instructions.resize(count);
  for (size_t i = 0; i < count; ++i) {
    const auto index = static_cast<flatbuffers::uoffset_t>(i);
    if (Status status = readInstruction(types->Get(index), tables->Get(index), to.instructions[i]);
        !status.ok())
      return status.withContext(at("instruction", i));
  }
  to.sources = copyNumbers(from.sources());
  return readList(from.predicates(), "predicate", to.predicates,
                  [](const fb::Predicate &predicate, Predicate &result) {
                    result = {predicate.instruction(), readStrings(predicate.axes()),
                              predicate.value()};
                    return okStatus();
                  });
}

Status readAction(const fb::Action &from, Action &to) {
  TITAN_RETURN_IF_ERROR(readEnum(from.mode(), 3, "mode", to.mode));
  TITAN_RETURN_IF_ERROR(readEnum(from.letter(), 11, "letter", to.letter));
  to.function = from.function();
  to.stage = from.stage();
  to.microbatch = from.microbatch();
  const std::vector<uint32_t> classes = copyNumbers(from.slot_classes());
  const std::vector<int64_t> indices = copyNumbers(from.slot_indices());
  if (indices.size() != classes.size())
    return dataLoss("slots have as many classes as indices, found " +
                    std::to_string(classes.size()) + " and " + std::to_string(indices.size()));
  for (size_t i = 0; i < indices.size(); ++i)
    to.slots.push_back({classes[i], indices[i]});
  return okStatus();
}

Status readTimeline(const fb::Timeline &from, Timeline &to) {
  to.name = text(from.name());
  to.pipelineRank = from.pipeline_rank();
  TITAN_RETURN_IF_ERROR(readList(from.prologue(), "prologue entry", to.prologue, readAction));
  TITAN_RETURN_IF_ERROR(readList(from.body(), "body entry", to.body, readAction));
  return readList(from.epilogue(), "epilogue entry", to.epilogue, readAction);
}

Status readMemory(const fb::Program &from, Program &to) {
  TITAN_RETURN_IF_ERROR(readList(from.segments(), "segment", to.segments,
                                 [](const fb::Segment &segment, Segment &result) {
                                   result.name = text(segment.name());
                                   result.size = segment.size();
                                   result.pipelineRank = segment.pipeline_rank();
                                   return readEnum(segment.space(), 3, "space", result.space);
                                 }));
  TITAN_RETURN_IF_ERROR(readList(from.residual_classes(), "residual class", to.residualClasses,
                                 [](const fb::ResidualClass &table, ResidualClass &result) {
                                   result = {text(table.name()), table.segment(), table.offset(),
                                             table.slots(), table.bytes()};
                                   return okStatus();
                                 }));
  return readList(from.variables(), "variable", to.variables, readVariable);
}

Status readProgram(const fb::Program &from, std::string_view file, Program &to) {
  to.target = text(from.target());
  to.flopsPerToken = from.flops_per_token();
  to.job = text(from.job());
  to.sources = readStrings(from.sources());
  TITAN_RETURN_IF_ERROR(
      readList(from.mesh(), "mesh axis", to.mesh, [](const fb::Axis &axis, Axis &result) {
        result = {text(axis.name()), axis.size()};
        return okStatus();
      }));
  TITAN_RETURN_IF_ERROR(readMemory(from, to));
  TITAN_RETURN_IF_ERROR(
      readList(from.images(), "image", to.images, [&](const fb::Image &image, Image &result) {
        return readImage(image, file, result);
      }));
  TITAN_RETURN_IF_ERROR(readList(from.kernels(), "kernel", to.kernels, readKernel));
  TITAN_RETURN_IF_ERROR(readList(from.functions(), "function", to.functions, readFunction));
  return readList(from.timelines(), "timeline", to.timelines, readTimeline);
}

} // namespace

StatusOr<Program> deserialize(std::string_view buffer, std::string_view file) {
  // The depth of the schema is below 16; the number of tables is bounded by the buffer's size, so
  // that overlapping tables cannot make a small file expand without limit.
  flatbuffers::Verifier verifier(reinterpret_cast<const uint8_t *>(buffer.data()), buffer.size(),
                                 /*max_depth=*/16,
                                 static_cast<flatbuffers::uoffset_t>(buffer.size() / 4 + 1));
  if (!fb::VerifyProgramBuffer(verifier))
    return dataLoss("the program's FlatBuffer of " + std::to_string(buffer.size()) +
                    " bytes is damaged: an offset or a length leaves it");
  Program program;
  TITAN_RETURN_IF_ERROR(readProgram(*fb::GetProgram(buffer.data()), file, program));
  return program;
}

} // namespace titan::format

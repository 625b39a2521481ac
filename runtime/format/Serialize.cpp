#include "runtime/format/Serialize.h"

#include "runtime/format/program_generated.h"

namespace titan::format {
namespace {

using flatbuffers::FlatBufferBuilder;
using flatbuffers::Offset;

/// Writes a Program, depth first, children before parents.
class Writer {
public:
  std::string write(const Program &program, std::span<const ImageRange> images);

private:
  template <typename T, typename Source, typename F>
  Offset<flatbuffers::Vector<Offset<T>>> list(const Source &source, F convert) {
    std::vector<Offset<T>> offsets;
    offsets.reserve(source.size());
    for (const auto &element : source)
      offsets.push_back(convert(element));
    return builder.CreateVector(offsets);
  }
  auto strings(const std::vector<std::string> &source) {
    return list<flatbuffers::String>(
        source, [&](const std::string &text) { return builder.CreateString(text); });
  }
  auto numbers(const int64_t *values, int count) {
    return builder.CreateVector(values, static_cast<size_t>(count));
  }

  Offset<fb::View> view(const View &view) {
    auto shape = numbers(view.shape.data(), view.rank);
    auto strides = numbers(view.strides.data(), view.rank);
    return fb::CreateView(builder, static_cast<uint8_t>(view.type), shape, strides);
  }
  Offset<fb::Place> place(const Place &place) {
    return fb::CreatePlace(builder, place.segment, place.residualClass, place.offset);
  }
  Offset<fb::Cost> cost(const std::optional<Cost> &cost) {
    return cost ? fb::CreateCost(builder, cost->flops, cost->bytes) : Offset<fb::Cost>();
  }
  Offset<fb::Sharding> sharding(const std::optional<Sharding> &sharding);
  Offset<fb::Variable> variable(const Variable &variable);
  Offset<fb::Buffer> buffer(const Buffer &buffer);
  Offset<fb::Image> image(const Image &image, ImageRange range);
  Offset<fb::Kernel> kernel(const Kernel &kernel);
  Offset<fb::Function> function(const Function &function);
  Offset<fb::Timeline> timeline(const Timeline &timeline);

  std::pair<fb::Instruction, Offset<void>> write(const Launch &op);
  std::pair<fb::Instruction, Offset<void>> write(const Gemm &op);
  std::pair<fb::Instruction, Offset<void>> write(const Attention &op);
  std::pair<fb::Instruction, Offset<void>> write(const AttentionGrad &op);
  std::pair<fb::Instruction, Offset<void>> write(const Embedding &op);
  std::pair<fb::Instruction, Offset<void>> write(const EmbeddingGrad &op);
  std::pair<fb::Instruction, Offset<void>> write(const Fill &op);
  std::pair<fb::Instruction, Offset<void>> write(const Copy &op);
  std::pair<fb::Instruction, Offset<void>> write(const CheckFinite &op);
  std::pair<fb::Instruction, Offset<void>> write(const Start &op);
  std::pair<fb::Instruction, Offset<void>> write(const Await &op);

  FlatBufferBuilder builder{4096};
};

Offset<fb::Sharding> Writer::sharding(const std::optional<Sharding> &sharding) {
  if (!sharding)
    return {};
  auto shape = builder.CreateVector(sharding->shape);
  auto dimensions = list<fb::Axes>(sharding->dimensions, [&](const std::vector<std::string> &axes) {
    auto names = strings(axes);
    return fb::CreateAxes(builder, names);
  });
  auto partial = strings(sharding->partial);
  auto flat = strings(sharding->flat);
  return fb::CreateSharding(builder, shape, dimensions, partial, flat, sharding->granule,
                            sharding->padding);
}

Offset<fb::Variable> Writer::variable(const Variable &variable) {
  auto name = builder.CreateString(variable.name);
  auto shape = numbers(variable.view.shape.data(), variable.view.rank);
  auto where = place(variable.place);
  Offset<fb::Initializer> initializer;
  if (const auto &from = variable.initializer) {
    auto values = builder.CreateVector(from->numbers);
    auto axes = strings(from->axes);
    initializer =
        fb::CreateInitializer(builder, static_cast<uint8_t>(from->distribution), values, axes);
  }
  auto layout = sharding(variable.sharding);
  return fb::CreateVariable(builder, name, static_cast<uint8_t>(variable.view.type), shape,
                            static_cast<uint8_t>(variable.role), where, initializer, layout);
}

Offset<fb::Image> Writer::image(const Image &image, ImageRange range) {
  auto name = builder.CreateString(image.name);
  auto target = builder.CreateString(image.target);
  auto features = strings(image.features);
  return fb::CreateImage(builder, name, target, features, range.offset, range.size);
}

Offset<fb::Kernel> Writer::kernel(const Kernel &kernel) {
  auto name = builder.CreateString(kernel.name);
  auto arguments = list<fb::Argument>(kernel.arguments, [&](const Argument &argument) {
    auto type = view(argument.view);
    return fb::CreateArgument(builder, static_cast<uint8_t>(argument.access), type);
  });
  auto stages = list<fb::Stage>(kernel.stages, [&](const Stage &stage) {
    auto symbol = builder.CreateString(stage.symbol);
    return fb::CreateStage(builder, symbol, stage.blocks, stage.threads);
  });
  auto price = cost(kernel.cost);
  return fb::CreateKernel(builder, name, arguments, stages, price, kernel.image);
}

std::pair<fb::Instruction, Offset<void>> Writer::write(const Launch &op) {
  auto buffers = builder.CreateVector(op.buffers);
  return {fb::Instruction_Launch, fb::CreateLaunch(builder, op.kernel, buffers).Union()};
}

std::pair<fb::Instruction, Offset<void>> Writer::write(const Gemm &op) {
  return {fb::Instruction_Gemm,
          fb::CreateGemm(builder, op.a, op.b, op.c, op.workspace, op.transA, op.transB,
                         op.accumulate, op.m, op.n, op.k, op.lda, op.ldb, op.ldc, op.batch,
                         op.strideA, op.strideB, op.strideC)
              .Union()};
}

std::pair<fb::Instruction, Offset<void>> Writer::write(const Attention &op) {
  return {fb::Instruction_Attention,
          fb::CreateAttention(builder, op.q, op.k, op.v, op.queryPositions, op.keyPositions, op.out,
                              op.lse, op.scratch, op.scale, op.causal)
              .Union()};
}

std::pair<fb::Instruction, Offset<void>> Writer::write(const AttentionGrad &op) {
  return {fb::Instruction_AttentionGrad,
          fb::CreateAttentionGrad(builder, op.q, op.k, op.v, op.queryPositions, op.keyPositions,
                                  op.out, op.lse, op.dout, op.dq, op.dk, op.dv, op.scratch,
                                  op.scale, op.causal)
              .Union()};
}

std::pair<fb::Instruction, Offset<void>> Writer::write(const Embedding &op) {
  return {fb::Instruction_Embedding,
          fb::CreateEmbedding(builder, op.tokens, op.table, op.out, op.firstRow).Union()};
}

std::pair<fb::Instruction, Offset<void>> Writer::write(const EmbeddingGrad &op) {
  return {fb::Instruction_EmbeddingGrad,
          fb::CreateEmbeddingGrad(builder, op.dout, op.tokens, op.dtable, op.scratch, op.firstRow)
              .Union()};
}

std::pair<fb::Instruction, Offset<void>> Writer::write(const Fill &op) {
  return {fb::Instruction_Fill, fb::CreateFill(builder, op.buffer, op.value).Union()};
}

std::pair<fb::Instruction, Offset<void>> Writer::write(const Copy &op) {
  return {fb::Instruction_Copy, fb::CreateCopy(builder, op.source, op.destination).Union()};
}

std::pair<fb::Instruction, Offset<void>> Writer::write(const CheckFinite &op) {
  auto values = builder.CreateVector(op.values);
  return {fb::Instruction_CheckFinite, fb::CreateCheckFinite(builder, values, op.flag).Union()};
}

std::pair<fb::Instruction, Offset<void>> Writer::write(const Start &op) {
  auto axes = strings(op.axes);
  auto sources = builder.CreateVector(op.sources);
  auto destinations = builder.CreateVector(op.destinations);
  return {fb::Instruction_Start, fb::CreateStart(builder, static_cast<uint8_t>(op.collective),
                                                 static_cast<uint8_t>(op.reduction), axes, op.peer,
                                                 sources, destinations, op.channel)
                                     .Union()};
}

std::pair<fb::Instruction, Offset<void>> Writer::write(const Await &op) {
  return {fb::Instruction_Await, fb::CreateAwait(builder, op.start).Union()};
}

Offset<fb::Buffer> Writer::buffer(const Buffer &buffer) {
  auto where = place(buffer.place);
  auto type = view(buffer.view);
  Offset<fb::Rotation> rotation;
  if (buffer.rotation) {
    auto axes = strings(buffer.rotation->axes);
    rotation = fb::CreateRotation(builder, axes, buffer.rotation->stride, buffer.rotation->shift);
  }
  return fb::CreateBuffer(builder, where, type, rotation);
}

Offset<fb::Function> Writer::function(const Function &function) {
  auto name = builder.CreateString(function.name);
  auto price = cost(function.cost);
  auto buffers =
      list<fb::Buffer>(function.buffers, [&](const Buffer &from) { return buffer(from); });
  std::vector<uint8_t> types;
  std::vector<Offset<void>> tables;
  for (const Instruction &instruction : function.instructions) {
    auto [type, table] = std::visit([&](const auto &op) { return write(op); }, instruction);
    types.push_back(static_cast<uint8_t>(type));
    tables.push_back(table);
  }
  auto typeList = builder.CreateVector(types);
  auto tableList = builder.CreateVector(tables);
  auto predicates = list<fb::Predicate>(function.predicates, [&](const Predicate &predicate) {
    auto axes = strings(predicate.axes);
    return fb::CreatePredicate(builder, predicate.instruction, axes, predicate.value);
  });
  auto sources = builder.CreateVector(function.sources);
  return fb::CreateFunction(builder, name, function.isAsync, price, buffers, typeList, tableList,
                            predicates, sources);
}

Offset<fb::Timeline> Writer::timeline(const Timeline &timeline) {
  auto section = [&](const std::vector<Action> &actions) {
    return list<fb::Action>(actions, [&](const Action &action) {
      std::vector<uint32_t> classes;
      std::vector<int64_t> indices;
      for (const SlotBinding &slot : action.slots) {
        classes.push_back(slot.residualClass);
        indices.push_back(slot.index);
      }
      auto classList = builder.CreateVector(classes);
      auto indexList = builder.CreateVector(indices);
      return fb::CreateAction(builder, static_cast<uint8_t>(action.mode),
                              static_cast<uint8_t>(action.letter), action.function, action.stage,
                              action.microbatch, classList, indexList);
    });
  };
  auto name = builder.CreateString(timeline.name);
  auto prologue = section(timeline.prologue);
  auto body = section(timeline.body);
  auto epilogue = section(timeline.epilogue);
  return fb::CreateTimeline(builder, name, prologue, body, epilogue, timeline.pipelineRank);
}

std::string Writer::write(const Program &program, std::span<const ImageRange> ranges) {
  auto target = builder.CreateString(program.target);
  auto mesh = list<fb::Axis>(program.mesh, [&](const Axis &axis) {
    auto name = builder.CreateString(axis.name);
    return fb::CreateAxis(builder, name, axis.size);
  });
  auto job = builder.CreateString(program.job);
  auto sources = strings(program.sources);
  auto segments = list<fb::Segment>(program.segments, [&](const Segment &segment) {
    auto name = builder.CreateString(segment.name);
    return fb::CreateSegment(builder, name, segment.size, static_cast<uint8_t>(segment.space),
                             segment.pipelineRank);
  });
  auto classes = list<fb::ResidualClass>(program.residualClasses, [&](const ResidualClass &from) {
    auto name = builder.CreateString(from.name);
    return fb::CreateResidualClass(builder, name, from.segment, from.offset, from.slots,
                                   from.bytes);
  });
  auto variables =
      list<fb::Variable>(program.variables, [&](const Variable &from) { return variable(from); });
  size_t index = 0;
  auto images = list<fb::Image>(program.images,
                                [&](const Image &from) { return image(from, ranges[index++]); });
  auto kernels =
      list<fb::Kernel>(program.kernels, [&](const Kernel &from) { return kernel(from); });
  auto functions =
      list<fb::Function>(program.functions, [&](const Function &from) { return function(from); });
  auto timelines =
      list<fb::Timeline>(program.timelines, [&](const Timeline &from) { return timeline(from); });
  builder.Finish(fb::CreateProgram(builder, target, mesh, program.flopsPerToken, job, sources,
                                   segments, classes, variables, images, kernels, functions,
                                   timelines));
  return {reinterpret_cast<const char *>(builder.GetBufferPointer()), builder.GetSize()};
}

} // namespace

std::string serialize(const Program &program, std::span<const ImageRange> images) {
  return Writer().write(program, images);
}

} // namespace titan::format

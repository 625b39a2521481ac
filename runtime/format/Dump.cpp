#include "runtime/format/Dump.h"

#include <cstdio>
#include <sstream>

namespace titan::format {
namespace {

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.9g", value);
  return text;
}

/// Control characters and bytes outside ASCII as \xNN, so that a name cannot disturb a terminal.
std::string escaped(std::string_view text, bool keepLines = false) {
  std::string result;
  for (const char c : text) {
    if ((c >= 0x20 && c < 0x7f) || (keepLines && c == '\n')) {
      result += c;
      continue;
    }
    char code[8];
    std::snprintf(code, sizeof(code), "\\x%02x", static_cast<uint8_t>(c));
    result += code;
  }
  return result;
}

class Dumper {
public:
  explicit Dumper(const Program &program) : program(program) {}

  std::string dump() {
    dumpFacts();
    dumpMemory();
    dumpKernels();
    for (const Function &function : program.functions)
      dumpFunction(function);
    for (const Timeline &timeline : program.timelines)
      dumpTimeline(timeline);
    return out.str();
  }

private:
  void dumpFacts() {
    out << "program target " << escaped(program.target) << " flops_per_token "
        << program.flopsPerToken << "\n";
    for (const Axis &axis : program.mesh)
      out << "mesh axis " << escaped(axis.name) << " " << axis.size << "\n";
    for (const std::string &source : program.sources)
      out << "source " << escaped(source) << "\n";
    out << "job {\n" << escaped(program.job, true);
    if (!program.job.empty() && program.job.back() != '\n')
      out << "\n";
    out << "}\n";
  }

  void dumpMemory() {
    for (const Segment &segment : program.segments)
      out << "segment @" << escaped(segment.name) << " size " << segment.size << " in "
          << toString(segment.space) << rank(segment.pipelineRank) << "\n";
    for (const ResidualClass &it : program.residualClasses)
      out << "residual_class @" << escaped(it.name) << " in @"
          << escaped(program.segments[it.segment].name) << " + " << it.offset << " slots "
          << it.slots << " bytes " << it.bytes << "\n";
    for (const Variable &variable : program.variables) {
      out << "variable @" << escaped(variable.name) << " : " << type(variable.view) << " role "
          << toString(variable.role) << " in " << place(variable.place);
      if (const auto &it = variable.initializer)
        out << " initializer " << initializer(*it);
      if (const auto &it = variable.sharding)
        out << " of " << sharding(*it);
      out << "\n";
    }
  }

  static std::string initializer(const Initializer &it) {
    std::string text = std::string(toString(it.distribution)) + "(";
    for (size_t i = 0; i < it.numbers.size(); ++i)
      text += (i ? ", " : "") + number(it.numbers[i]);
    text += ")";
    if (!it.axes.empty())
      text += " over " + axes(it.axes);
    return text;
  }

  static std::string axes(const std::vector<std::string> &names) {
    std::string text = "{";
    for (size_t i = 0; i < names.size(); ++i)
      text += (i ? ", " : "") + escaped(names[i]);
    return text + "}";
  }

  /// Example: "768{tp}x256{} flat {dp_shard} granule 4".
  static std::string sharding(const Sharding &it) {
    std::string text = it.shape.empty() ? "scalar" : "";
    for (size_t i = 0; i < it.shape.size(); ++i)
      text += (i ? "x" : "") + std::to_string(it.shape[i]) + axes(it.dimensions[i]);
    if (!it.partial.empty())
      text += " partial " + axes(it.partial);
    if (!it.flat.empty())
      text += " flat " + axes(it.flat) + " granule " + std::to_string(it.granule);
    if (it.padding)
      text += " padding " + std::to_string(it.padding);
    return text;
  }

  void dumpKernels() {
    for (const Image &image : program.images) {
      out << "image @" << escaped(image.name) << " target " << escaped(image.target) << " features";
      for (const std::string &feature : image.features)
        out << " " << escaped(feature);
      out << " bytes " << image.contents.size() << "\n";
    }
    for (const Kernel &kernel : program.kernels) {
      out << "kernel @" << escaped(kernel.name) << "(";
      for (size_t i = 0; i < kernel.arguments.size(); ++i)
        out << (i ? ", " : "") << toString(kernel.arguments[i].access) << " "
            << type(kernel.arguments[i].view);
      out << ") stages";
      for (const Stage &stage : kernel.stages)
        out << " " << escaped(stage.symbol) << "[" << stage.blocks
            << (stage.threads ? " x " + std::to_string(stage.threads) : "") << "]";
      out << cost(kernel.cost) << " image @" << escaped(program.images[kernel.image].name) << "\n";
    }
  }

  void dumpFunction(const Function &function) {
    out << "func " << (function.isAsync ? "async " : "") << "@" << escaped(function.name)
        << cost(function.cost) << " {\n";
    for (size_t i = 0; i < function.buffers.size(); ++i)
      dumpBuffer(i, function.buffers[i]);
    auto predicate = function.predicates.begin();
    for (size_t i = 0; i < function.instructions.size(); ++i) {
      out << "  " << i << ": " << mnemonic(function.instructions[i]);
      std::visit([&](const auto &op) { dumpOperands(op); }, function.instructions[i]);
      if (predicate != function.predicates.end() && predicate->instruction == i) {
        out << " when " << axes(predicate->axes) << " is " << predicate->value;
        ++predicate;
      }
      if (!function.sources.empty() && function.sources[i] != kNone)
        out << " from " << escaped(program.sources[function.sources[i]]);
      out << "\n";
    }
    out << "}\n";
  }

  void dumpBuffer(size_t index, const Buffer &buffer) {
    out << "  %" << index << " = buffer " << place(buffer.place);
    if (const auto &rotation = buffer.rotation)
      out << " rotated over " << axes(rotation->axes) << " stride " << rotation->stride << " shift "
          << rotation->shift;
    out << " : " << type(buffer.view) << "\n";
  }

  void dumpOperands(const Launch &op) {
    out << " @" << escaped(program.kernels[op.kernel].name) << list(op.buffers);
  }
  void dumpOperands(const Gemm &op) {
    out << " %" << op.a << (op.transA ? "^T" : "") << " %" << op.b << (op.transB ? "^T" : "")
        << (op.accumulate ? " added into" : " into") << " %" << op.c << " m " << op.m << " n "
        << op.n << " k " << op.k << " lda " << op.lda << " ldb " << op.ldb << " ldc " << op.ldc;
    if (op.batch != 1)
      out << " batch " << op.batch << " strides " << op.strideA << " " << op.strideB << " "
          << op.strideC;
    optional("workspace", op.workspace);
  }
  void dumpOperands(const Attention &op) {
    out << list({op.q, op.k, op.v}) << " into " << list({op.out, op.lse});
    attentionRest(op);
  }
  void dumpOperands(const AttentionGrad &op) {
    out << list({op.q, op.k, op.v, op.out, op.lse, op.dout}) << " into "
        << list({op.dq, op.dk, op.dv});
    attentionRest(op);
  }
  template <typename Op> void attentionRest(const Op &op) {
    if (op.queryPositions != format::kNone)
      out << " positions" << list({op.queryPositions, op.keyPositions});
    out << " scale " << number(op.scale) << (op.causal ? " causal" : "");
    optional("scratch", op.scratch);
  }
  void dumpOperands(const Embedding &op) {
    out << list({op.tokens, op.table}) << " into %" << op.out;
    optional("from row", op.firstRow);
  }
  void dumpOperands(const EmbeddingGrad &op) {
    out << list({op.dout, op.tokens}) << " added into %" << op.dtable;
    optional("from row", op.firstRow);
    optional("scratch", op.scratch);
  }
  void dumpOperands(const Fill &op) { out << " %" << op.buffer << " with " << number(op.value); }
  void dumpOperands(const Copy &op) { out << " %" << op.source << " into %" << op.destination; }
  void dumpOperands(const CheckFinite &op) { out << list(op.values) << " into %" << op.flag; }
  void dumpOperands(const Start &op) {
    out << " " << toString(op.collective) << " " << toString(op.reduction) << " over";
    for (const std::string &axis : op.axes)
      out << " " << escaped(axis);
    if (op.peer >= 0)
      out << " peer " << op.peer;
    if (op.channel > 0)
      out << " channel " << op.channel;
    out << " from" << list(op.sources) << " to" << list(op.destinations);
  }
  void dumpOperands(const Await &op) { out << " " << op.start; }

  void dumpTimeline(const Timeline &timeline) {
    out << "timeline @" << escaped(timeline.name) << rank(timeline.pipelineRank) << " {\n";
    dumpSection("prologue", timeline.prologue);
    dumpSection("body", timeline.body);
    dumpSection("epilogue", timeline.epilogue);
    out << "}\n";
  }

  void dumpSection(const char *name, const std::vector<Action> &section) {
    for (const Action &action : section) {
      out << "  " << name << " " << toString(action.mode) << " " << toString(action.letter) << " @"
          << escaped(program.functions[action.function].name) << " stage " << action.stage
          << " microbatch " << action.microbatch;
      for (const SlotBinding &slot : action.slots)
        out << " @" << escaped(program.residualClasses[slot.residualClass].name) << "["
            << slot.index << "]";
      out << "\n";
    }
  }

  static std::string rank(int64_t pipelineRank) {
    return pipelineRank < 0 ? "" : " rank " + std::to_string(pipelineRank);
  }

  std::string place(const Place &place) const {
    const std::string &name = place.residualClass == kNone
                                  ? program.segments[place.segment].name
                                  : program.residualClasses[place.residualClass].name;
    return "@" + escaped(name) + " + " + std::to_string(place.offset);
  }

  static std::string type(const View &view) {
    std::string text;
    for (int i = 0; i < view.rank; ++i)
      text += std::to_string(view.shape[i]) + "x";
    text += toString(view.type);
    if (view.isContiguous())
      return text;
    text += " strides [";
    for (int i = 0; i < view.rank; ++i)
      text += (i ? ", " : "") + std::to_string(view.strides[i]);
    return text + "]";
  }

  static std::string cost(const std::optional<Cost> &cost) {
    if (!cost)
      return "";
    return " flops " + std::to_string(cost->flops) + " bytes " + std::to_string(cost->bytes);
  }

  static std::string list(const std::vector<uint32_t> &buffers) {
    std::string text = "(";
    for (size_t i = 0; i < buffers.size(); ++i)
      text += (i ? ", %" : "%") + std::to_string(buffers[i]);
    return text + ")";
  }

  void optional(const char *name, uint32_t buffer) {
    if (buffer != kNone)
      out << " " << name << " %" << buffer;
  }

  const Program &program;
  std::ostringstream out;
};

} // namespace

std::string dumpProgram(const Program &program) { return Dumper(program).dump(); }

} // namespace titan::format

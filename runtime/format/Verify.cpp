#include "runtime/format/Verify.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>

namespace titan::format {
namespace {

constexpr int64_t kMaxBytes = int64_t{1} << 62;

std::string quoted(std::string_view name) { return "'" + std::string(name) + "'"; }

/// Bytes that something occupies in a segment.
struct Range {
  uint32_t segment;
  int64_t begin, end;
  std::string what;
};

class ProgramVerifier {
public:
  explicit ProgramVerifier(const Program &program) : program(program) {}

  Status verify() {
    TITAN_RETURN_IF_ERROR(verifyFacts());
    TITAN_RETURN_IF_ERROR(verifyNames());
    for (const Segment &segment : program.segments) {
      if (segment.size < 0)
        return dataLoss("segment " + quoted(segment.name) + ": size is at least 0, found " +
                        std::to_string(segment.size));
      TITAN_RETURN_IF_ERROR(verifyPipelineRank(program, segment.pipelineRank)
                                .withContext("segment " + quoted(segment.name)));
    }
    for (const ResidualClass &residualClass : program.residualClasses)
      TITAN_RETURN_IF_ERROR(
          verifyClass(residualClass).withContext("residual class " + quoted(residualClass.name)));
    for (const Variable &variable : program.variables)
      TITAN_RETURN_IF_ERROR(
          verifyVariable(variable).withContext("variable " + quoted(variable.name)));
    TITAN_RETURN_IF_ERROR(verifyOverlaps());
    for (const Kernel &kernel : program.kernels)
      TITAN_RETURN_IF_ERROR(verifyKernel(kernel).withContext("kernel " + quoted(kernel.name)));
    for (const Function &function : program.functions)
      TITAN_RETURN_IF_ERROR(
          verifyFunction(program, function).withContext("function " + quoted(function.name)));
    for (const Timeline &timeline : program.timelines)
      TITAN_RETURN_IF_ERROR(
          verifyTimeline(program, timeline).withContext("timeline " + quoted(timeline.name)));
    return okStatus();
  }

private:
  Status verifyFacts() {
    if (program.target.empty())
      return dataLoss("the program names no target");
    if (program.flopsPerToken < 0)
      return dataLoss("flops per token are at least 0, found " +
                      std::to_string(program.flopsPerToken));
    std::unordered_set<std::string_view> sources;
    for (const std::string &source : program.sources)
      if (source.empty() || !sources.insert(source).second)
        return dataLoss("sources have names, each once, found " + quoted(source));
    for (const Axis &axis : program.mesh)
      if (axis.size < 1)
        return dataLoss("mesh axis " + quoted(axis.name) + ": size is at least 1, found " +
                        std::to_string(axis.size));
    return okStatus();
  }

  // One name space per kind, except that segments and residual classes, images, kernels, functions
  // and timelines share one: they are symbols of one module.
  Status verifyNames() {
    std::unordered_set<std::string_view> names, axes;
    auto add = [&](const char *kind, const auto &list, auto &set) -> Status {
      for (size_t i = 0; i < list.size(); ++i) {
        if (list[i].name.empty())
          return dataLoss(std::string(kind) + " " + std::to_string(i) + " has no name");
        if (!set.insert(list[i].name).second)
          return dataLoss(std::string(kind) + " " + std::to_string(i) + ": the name " +
                          quoted(list[i].name) + " is taken");
      }
      return okStatus();
    };
    TITAN_RETURN_IF_ERROR(add("mesh axis", program.mesh, axes));
    TITAN_RETURN_IF_ERROR(add("segment", program.segments, names));
    TITAN_RETURN_IF_ERROR(add("residual class", program.residualClasses, names));
    TITAN_RETURN_IF_ERROR(add("variable", program.variables, names));
    TITAN_RETURN_IF_ERROR(add("image", program.images, names));
    TITAN_RETURN_IF_ERROR(add("kernel", program.kernels, names));
    TITAN_RETURN_IF_ERROR(add("function", program.functions, names));
    return add("timeline", program.timelines, names);
  }

  Status verifyClass(const ResidualClass &it) {
    if (it.segment >= program.segments.size())
      return dataLoss("segment " + std::to_string(it.segment) + " does not exist: there are " +
                      std::to_string(program.segments.size()));
    if (it.offset < 0 || it.offset % kAlignment)
      return dataLoss("offset is a multiple of " + std::to_string(kAlignment) + ", found " +
                      std::to_string(it.offset));
    if (it.slots < 1 || it.bytes < 1 || it.bytes % kAlignment)
      return dataLoss("slots are at least 1 and their bytes a positive multiple of " +
                      std::to_string(kAlignment) + ", found " + std::to_string(it.slots) + " of " +
                      std::to_string(it.bytes));
    const int64_t size = program.segments[it.segment].size;
    if (it.offset > size || it.bytes > (size - it.offset) / it.slots)
      return dataLoss(std::to_string(it.slots) + " slots of " + std::to_string(it.bytes) +
                      " bytes at offset " + std::to_string(it.offset) + " exceed segment " +
                      quoted(program.segments[it.segment].name) + " of " + std::to_string(size) +
                      " bytes");
    return okStatus();
  }

  Status verifyVariable(const Variable &variable) {
    TITAN_RETURN_IF_ERROR(verifyPlace(program, variable.place, variable.view));
    if (!variable.view.isContiguous())
      return dataLoss("a variable is dense");
    if (variable.place.offset % kAlignment)
      return dataLoss("offset is a multiple of " + std::to_string(kAlignment) + ", found " +
                      std::to_string(variable.place.offset));
    if (variable.sharding)
      TITAN_RETURN_IF_ERROR(verifySharding(program, variable).withContext("sharding"));
    if (variable.role == Role::parameter && !variable.initializer)
      return dataLoss("a parameter needs an initializer");
    if (!variable.initializer)
      return okStatus();
    const Distribution kind = variable.initializer->distribution;
    const size_t rank = variable.sharding ? variable.sharding->shape.size() : variable.view.rank;
    if ((kind == Distribution::ropeCosine || kind == Distribution::ropeSine) && rank != 2)
      return dataLoss("a rotary table has rank 2, found " + std::to_string(rank));
    TITAN_RETURN_IF_ERROR(verifyInitializer(*variable.initializer));
    if (kind == Distribution::axisIndex)
      return verifyAxisIndex(variable);
    if (!variable.initializer->axes.empty())
      return dataLoss(std::string(toString(kind)) + " depends on no mesh axes, found '" +
                      variable.initializer->axes.front() + "'");
    return okStatus();
  }

  Status verifyAxisIndex(const Variable &variable) {
    const double scale = variable.initializer->numbers[0];
    const auto size = numCoordinates(program.mesh, variable.initializer->axes);
    if (!size)
      return dataLoss("the axes of an axis_index are the mesh's, each once");
    if (variable.view.rank != 0 || variable.view.type != DType::i32)
      return dataLoss("an axis_index is one i32, found rank " + std::to_string(variable.view.rank) +
                      " of " + std::string(toString(variable.view.type)));
    if (scale != std::floor(scale) || std::abs(scale) * static_cast<double>(*size) > INT32_MAX)
      return dataLoss("the scale of an axis_index is an integer and its values are below 2^31, "
                      "found " +
                      std::to_string(scale) + " times " + std::to_string(*size));
    return okStatus();
  }

  static Status verifyInitializer(const Initializer &it) {
    const auto &numbers = it.numbers;
    if (numbers.size() != static_cast<size_t>(numNumbers(it.distribution)))
      return dataLoss(std::string(toString(it.distribution)) + " takes " +
                      std::to_string(numNumbers(it.distribution)) + " numbers, found " +
                      std::to_string(numbers.size()));
    const bool rope =
        it.distribution == Distribution::ropeCosine || it.distribution == Distribution::ropeSine;
    for (double value : numbers)
      if (!std::isfinite(value) || (rope && value <= 0))
        return dataLoss(std::string("an initializer's numbers are finite") +
                        (rope ? " and positive" : "") + ", found " + std::to_string(value));
    const bool normal =
        it.distribution == Distribution::normal || it.distribution == Distribution::truncatedNormal;
    if (normal && numbers[1] < 0)
      return dataLoss("the standard deviation is at least 0, found " + std::to_string(numbers[1]));
    if (it.distribution == Distribution::truncatedNormal &&
        !(numbers[2] < numbers[3] && numbers[2] <= numbers[0] && numbers[0] <= numbers[3]))
      return dataLoss("a truncated normal has lower < upper around its mean, found [" +
                      std::to_string(numbers[2]) + ", " + std::to_string(numbers[3]) + "] and " +
                      std::to_string(numbers[0]));
    return okStatus();
  }

  Status verifyOverlaps() {
    std::vector<Range> ranges;
    for (const ResidualClass &it : program.residualClasses)
      ranges.push_back({it.segment, it.offset, it.offset + it.slots * it.bytes,
                        "residual class " + quoted(it.name)});
    const auto numSegments = static_cast<uint32_t>(program.segments.size());
    for (const Variable &it : program.variables) {
      const int64_t bytes = it.view.numElements() * byteSize(it.view.type);
      // Within a class the offsets are relative: a space of its own behind the segments.
      const uint32_t space =
          it.place.residualClass == kNone ? it.place.segment : numSegments + it.place.residualClass;
      ranges.push_back(
          {space, it.place.offset, it.place.offset + bytes, "variable " + quoted(it.name)});
    }
    std::sort(ranges.begin(), ranges.end(), [](const Range &a, const Range &b) {
      return std::tie(a.segment, a.begin) < std::tie(b.segment, b.begin);
    });
    for (size_t i = 1; i < ranges.size(); ++i)
      if (ranges[i].segment == ranges[i - 1].segment && ranges[i].begin < ranges[i - 1].end)
        return dataLoss(ranges[i].what + " overlaps " + ranges[i - 1].what);
    return okStatus();
  }

  Status verifyKernel(const Kernel &kernel) {
    for (size_t i = 0; i < kernel.arguments.size(); ++i)
      if (!checkedSpan(kernel.arguments[i].view))
        return dataLoss("argument " + std::to_string(i) +
                        ": extents and strides are positive and the bytes below 2^62");
    if (kernel.stages.empty())
      return dataLoss("a kernel has at least 1 stage");
    for (const Stage &stage : kernel.stages) {
      if (stage.symbol.empty() || stage.blocks < 1)
        return dataLoss("a stage has a symbol and at least 1 block, found " + quoted(stage.symbol) +
                        " and " + std::to_string(stage.blocks));
      const int64_t threads = stage.threads;
      if (threads != 0 && (threads < 32 || threads > 1024 || (threads & (threads - 1)) != 0))
        return dataLoss("a block's threads are a power of two from 32 to 1024, found " +
                        std::to_string(threads));
    }
    if (kernel.image >= program.images.size())
      return dataLoss("image " + std::to_string(kernel.image) + " does not exist: there are " +
                      std::to_string(program.images.size()));
    return okStatus();
  }

  const Program &program;
};

} // namespace

std::optional<int64_t> checkedSpan(const View &view) {
  if (view.rank > kMaxRank)
    return std::nullopt;
  const int64_t limit = kMaxBytes / byteSize(view.type);
  int64_t span = 1, elements = 1;
  for (int i = 0; i < view.rank; ++i) {
    int64_t step = 0;
    if (view.shape[i] < 1 || view.strides[i] < 1 ||
        __builtin_mul_overflow(view.shape[i] - 1, view.strides[i], &step) ||
        __builtin_add_overflow(span, step, &span) ||
        __builtin_mul_overflow(elements, view.shape[i], &elements) || span > limit ||
        elements > limit)
      return std::nullopt;
  }
  return span;
}

Status verifyPlace(const Program &program, const Place &place, const View &view) {
  const auto span = checkedSpan(view);
  if (!span)
    return dataLoss("extents and strides are positive and the bytes below 2^62");
  if (place.segment >= program.segments.size())
    return dataLoss("segment " + std::to_string(place.segment) + " does not exist: there are " +
                    std::to_string(program.segments.size()));
  int64_t size = program.segments[place.segment].size;
  std::string_view name = program.segments[place.segment].name;
  if (place.residualClass != kNone) {
    if (place.residualClass >= program.residualClasses.size())
      return dataLoss("residual class " + std::to_string(place.residualClass) +
                      " does not exist: there are " +
                      std::to_string(program.residualClasses.size()));
    const ResidualClass &residualClass = program.residualClasses[place.residualClass];
    if (residualClass.segment != place.segment)
      return dataLoss("residual class " + quoted(residualClass.name) + " is in segment " +
                      std::to_string(residualClass.segment) + ", found " +
                      std::to_string(place.segment));
    size = residualClass.bytes;
    name = residualClass.name;
  }
  const int64_t element = byteSize(view.type);
  if (place.offset < 0 || place.offset % element)
    return dataLoss("offset is a multiple of the element's " + std::to_string(element) +
                    " bytes, found " + std::to_string(place.offset));
  if (place.offset > size || *span * element > size - place.offset)
    return dataLoss(std::to_string(*span * element) + " bytes at offset " +
                    std::to_string(place.offset) + " exceed " + quoted(name) + " of " +
                    std::to_string(size) + " bytes");
  return okStatus();
}

Status verifyPipelineRank(const Program &program, int64_t rank) {
  const int64_t size = numPipelineRanks(program.mesh);
  if (rank >= -1 && rank < size)
    return okStatus();
  return dataLoss("the pipeline rank is -1 or below the " + std::to_string(size) + " of axis '" +
                  std::string(kPipelineAxis) + "', found " + std::to_string(rank));
}

Status verifyProgram(const Program &program) { return ProgramVerifier(program).verify(); }

} // namespace titan::format

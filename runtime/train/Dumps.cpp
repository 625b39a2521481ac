#include "runtime/train/Dumps.h"

#include "runtime/base/Safetensors.h"
#include "runtime/exec/VariableLayout.h"

#include <algorithm>

namespace titan {

/// What stands before a parameter's name in the name of its gradient.
static constexpr std::string_view kGradientPrefix = "gradient.";

static std::vector<const format::Variable *> variablesOf(const format::Program &program,
                                                         format::Role role) {
  std::vector<const format::Variable *> variables;
  for (const format::Variable &variable : program.variables)
    if (variable.role == role)
      variables.push_back(&variable);
  return variables;
}

static std::vector<int64_t> shapeOf(const format::View &view) {
  return {view.shape.begin(), view.shape.begin() + view.rank};
}

/// What this rank holds of a variable; of one that one pipeline rank has, in the place of the rank
/// with pipeline coordinate 0, which would have the same.
static VariableLayout layoutOf(const Executor &executor, const format::Variable &variable) {
  const format::Program &program = executor.program();
  int rank = executor.rank();
  if (program.segments[variable.place.segment].pipelineRank >= 0) {
    const std::vector<std::string> axis{std::string(format::kPipelineAxis)};
    int64_t stride = 1; // of the axis
    for (size_t i = program.mesh.size(); i-- > 0 && program.mesh[i].name != axis[0];)
      stride *= program.mesh[i].size;
    rank -= static_cast<int>(coordinateOf(program.mesh, axis, rank) * stride);
  }
  return {variable, program.mesh, rank};
}

/// The global tensor of which the ranks hold parts; all ranks must call it.
static StatusOr<std::vector<float>> readFloats(const Executor &executor, RankGroup &ranks,
                                               const format::Variable &variable) {
  if (variable.view.type != DType::f32)
    return invalidArgument("variable '" + variable.name + "' is " +
                           std::string(toString(variable.view.type)) + ", only f32 can be written");
  const VariableLayout layout = layoutOf(executor, variable);
  std::vector<float> values(static_cast<size_t>(layout.global().numElements()));
  std::vector<float> part(static_cast<size_t>(variable.view.numElements()));
  if (executor.has(variable)) {
    TITAN_ASSIGN_OR_RETURN(VariableRef place, executor.find(variable.name));
    TITAN_RETURN_IF_ERROR(executor.read(place, std::as_writable_bytes(std::span(part))));
  }
  if (executor.has(variable) && layout.isFirstHolder())
    layout.forEachRun([&](int64_t local, int64_t global, int64_t count) {
      std::copy_n(part.begin() + local, count, values.begin() + global);
    });
  TITAN_RETURN_IF_ERROR(ranks.sum(values));
  return values;
}

/// Writes variables of one role under their names without `prefix`, times `factor`.
static Status dump(const Executor &executor, RankGroup &ranks, format::Role role,
                   std::string_view prefix, double factor, const std::filesystem::path &path) {
  std::vector<std::vector<float>> values;
  std::vector<TensorView> tensors;
  for (const format::Variable *variable : variablesOf(executor.program(), role)) {
    TITAN_ASSIGN_OR_RETURN(std::vector<float> contents, readFloats(executor, ranks, *variable));
    for (float &value : contents)
      value = static_cast<float>(value * factor);
    values.push_back(std::move(contents));
    tensors.push_back({variable->name.substr(prefix.size()), DType::f32,
                       shapeOf(layoutOf(executor, *variable).global()),
                       std::as_bytes(std::span<const float>(values.back()))});
  }
  return ranks.isFirst() ? writeSafetensors(path, tensors) : okStatus();
}

Status loadParameters(Executor &executor, const std::filesystem::path &path) {
  TITAN_ASSIGN_OR_RETURN(Safetensors file, Safetensors::open(path));
  std::vector<std::pair<const format::Variable *, const TensorView *>> copies;
  for (const format::Variable *parameter :
       variablesOf(executor.program(), format::Role::parameter)) {
    TITAN_ASSIGN_OR_RETURN(const TensorView *tensor,
                           file.get(parameter->name, parameter->view.type,
                                    shapeOf(layoutOf(executor, *parameter).global())));
    copies.emplace_back(parameter, tensor);
  }
  for (const TensorView &tensor : file.tensors()) {
    const bool known = std::any_of(copies.begin(), copies.end(),
                                   [&](const auto &copy) { return copy.second == &tensor; });
    if (!known)
      return invalidArgument(path.string() + ": tensor '" + tensor.name +
                             "' is no parameter of the program");
  }
  for (const auto &[parameter, tensor] : copies) {
    if (!executor.has(*parameter))
      continue;
    TITAN_ASSIGN_OR_RETURN(VariableRef place, executor.find(parameter->name));
    const int64_t element = byteSize(parameter->view.type);
    Status status;
    layoutOf(executor, *parameter).forEachRun([&](int64_t local, int64_t global, int64_t count) {
      if (status.ok())
        status = executor.device().copyToDevice(
            place.data + local * element,
            tensor->bytes.subspan(static_cast<size_t>(global * element),
                                  static_cast<size_t>(count * element)));
    });
    TITAN_RETURN_IF_ERROR(status);
  }
  return executor.refresh();
}

Status dumpParameters(const Executor &executor, RankGroup &ranks,
                      const std::filesystem::path &path) {
  return dump(executor, ranks, format::Role::parameter, "", 1, path);
}

Status dumpGradients(const Executor &executor, RankGroup &ranks, double validTokens,
                     const std::filesystem::path &path) {
  return dump(executor, ranks, format::Role::gradient, kGradientPrefix, 1 / validTokens, path);
}

} // namespace titan

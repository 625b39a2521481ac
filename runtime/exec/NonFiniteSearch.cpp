#include "runtime/exec/NonFiniteSearch.h"

#include "runtime/exec/Liveness.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace titan {

using format::Access;
using format::kNone;
using format::Role;

namespace {

/// Elements that are copied to the host at a time.
constexpr int64_t kChunk = int64_t{1} << 16;

double valueAt(const std::byte *element, DType type) {
  if (type == DType::bf16) {
    uint16_t bits = 0;
    std::memcpy(&bits, element, sizeof(bits));
    return fromBFloat16(bits);
  }
  if (type == DType::f64) {
    double value = 0;
    std::memcpy(&value, element, sizeof(value));
    return value;
  }
  float value = 0;
  std::memcpy(&value, element, sizeof(value));
  return value;
}

bool isSearched(DType type) {
  return type == DType::f32 || type == DType::bf16 || type == DType::f64;
}

/// The index of the row-major element number `element`.
std::array<int64_t, format::kMaxRank> indexOf(int64_t element, const format::View &view) {
  std::array<int64_t, format::kMaxRank> index{};
  for (int i = view.rank - 1; i >= 0; --i) {
    index[i] = element % view.shape[i];
    element /= view.shape[i];
  }
  return index;
}

std::string describe(double value) {
  return std::isnan(value) ? "nan" : value < 0 ? "-inf" : "inf";
}

std::string describe(const std::array<int64_t, format::kMaxRank> &index, int rank) {
  std::string text = "[";
  for (int i = 0; i < rank; ++i)
    text += (i ? ", " : "") + std::to_string(index[i]);
  return text + "]";
}

std::string describe(const format::View &view) {
  std::string text(toString(view.type));
  for (int i = 0; i < view.rank; ++i)
    text += (i ? "x" : " ") + std::to_string(view.shape[i]);
  return text;
}

std::string describe(const format::Program &program, const ExecutedInstruction &done) {
  return "instruction " + std::to_string(done.index) + " (" +
         format::describeInstruction(program, done.function, done.index) + ") of function '" +
         done.function.name + "'";
}

/// Whether a buffer may hold infinities in a healthy step: the log-sum-exp of a query that sees no
/// key is minus infinity.
bool mayBeInfinite(const format::Instruction &instruction, uint32_t buffer) {
  const auto *attention = std::get_if<format::Attention>(&instruction);
  return attention && attention->lse == buffer;
}

bool isKept(const format::Variable &variable) {
  return variable.role == Role::parameter || variable.role == Role::optimizerState ||
         variable.role == Role::derived;
}

/// Parameters, and what is computed of them alone, such as copies in bfloat16: not tables, which
/// have initial values.
bool isOfParameters(const format::Variable &variable) {
  return variable.role == Role::parameter ||
         (variable.role == Role::derived && !variable.initializer);
}

} // namespace

NonFiniteSearch::NonFiniteSearch(Executor &executor, std::string_view flag, bool toTheEnd)
    : executor(executor), toTheEnd(toTheEnd) {
  const format::Program &program = executor.program();
  for (const format::Variable &variable : program.variables) {
    const uint32_t residualClass = variable.place.residualClass;
    const int64_t slots = residualClass == kNone ? 1 : program.residualClasses[residualClass].slots;
    for (int64_t slot = 0; slot < slots; ++slot)
      if (auto place = executor.find(variable.name, slot); place.ok())
        variables.push_back(*place);
    if (variable.name == flag && !variables.empty())
      this->flag = variables.back().data;
  }
}

const format::Variable *NonFiniteSearch::variableAt(const std::byte *address) const {
  for (const VariableRef &place : variables)
    if (address >= place.data && address < place.data + place.bytes)
      return place.variable;
  return nullptr;
}

StatusOr<std::optional<NonFiniteSearch::BadElement>>
NonFiniteSearch::firstBad(const Operand &operand) const {
  const format::View &view = *operand.view;
  if (!isSearched(view.type))
    return std::optional<BadElement>();
  const int64_t element = byteSize(view.type);
  // Adjacent elements are copied together.
  int64_t run = 1;
  for (int i = view.rank; i > 0 && (view.shape[i - 1] == 1 || view.strides[i - 1] == run); --i)
    run *= view.shape[i - 1];
  const int64_t count = view.numElements();
  std::vector<std::byte> host(static_cast<size_t>(std::min(run, kChunk) * element));
  for (int64_t at = 0; at < count;) {
    const int64_t size = std::min(run - at % run, kChunk);
    const auto index = indexOf(at, view);
    int64_t offset = 0;
    for (int i = 0; i < view.rank; ++i)
      offset += index[i] * view.strides[i];
    const std::byte *begin = operand.data + offset * element;
    TITAN_RETURN_IF_ERROR(executor.device().copyToHost(
        std::span(host).first(static_cast<size_t>(size * element)), begin));
    for (int64_t i = 0; i < size; ++i)
      if (const double value = valueAt(host.data() + i * element, view.type); !std::isfinite(value))
        return std::optional(BadElement{indexOf(at + i, view), begin + i * element, value});
    at += size;
  }
  return std::optional<BadElement>();
}

/// Names a variable that the instruction read and that was bad before the step.
StatusOr<bool> NonFiniteSearch::nameInput(const ExecutedInstruction &done) {
  const format::Program &program = executor.program();
  for (const Touch &touch : touchesOf(program, done.function.instructions[done.index])) {
    if (touch.access != Access::read)
      continue;
    const Operand &operand = done.operands[touch.buffer];
    const format::Variable *variable = variableAt(operand.data);
    if (!variable || !isKept(*variable))
      continue;
    TITAN_ASSIGN_OR_RETURN(const auto bad, firstBad(operand));
    if (!bad)
      continue;
    variable = variableAt(bad->address); // an operand may be several variables side by side
    if (!variable)
      continue;
    const VariableRef place = *executor.find(variable->name);
    const int64_t element = (bad->address - place.data) / byteSize(variable->view.type);
    finding = std::string(toString(variable->role)) + " '" + variable->name + "' is " +
              describe(bad->value) + " at " +
              describe(indexOf(element, variable->view), variable->view.rank) + ", read by " +
              describe(program, done);
    return true;
  }
  return false;
}

void NonFiniteSearch::rememberParameters(const ExecutedInstruction &done) {
  std::string names;
  for (const Touch &touch : touchesOf(executor.program(), done.function.instructions[done.index])) {
    const Operand &operand = done.operands[touch.buffer];
    const std::byte *end = operand.data + operand.view->span() * byteSize(operand.view->type);
    for (const VariableRef &place : variables)
      if (isOfParameters(*place.variable) && place.data < end &&
          operand.data < place.data + place.bytes)
        names += (names.empty() ? "'" : ", '") + place.variable->name + "'";
  }
  if (!names.empty())
    lastParameters = std::move(names);
}

/// Whether to go on after an instruction.
StatusOr<bool> NonFiniteSearch::inspect(const ExecutedInstruction &done, Section section) {
  const format::Instruction &instruction = done.function.instructions[done.index];
  // What other ranks send is looked for where it was made.
  if (std::holds_alternative<format::Start>(instruction) ||
      std::holds_alternative<format::Await>(instruction))
    return true;
  rememberParameters(done);
  bool writesFlag = false;
  for (const Touch &touch : touchesOf(executor.program(), instruction)) {
    const Operand &operand = done.operands[touch.buffer];
    if (touch.access == Access::read || touch.scratch)
      continue;
    writesFlag |= section == Section::epilogue && operand.data == flag;
    if (!finding.empty() || mayBeInfinite(instruction, touch.buffer))
      continue;
    TITAN_ASSIGN_OR_RETURN(const auto bad, firstBad(operand));
    if (!bad)
      continue;
    TITAN_ASSIGN_OR_RETURN(const bool isInput, nameInput(done));
    if (isInput && !toTheEnd)
      return false;
    if (isInput)
      continue;
    const format::Variable *variable = variableAt(bad->address);
    finding = describe(executor.program(), done) + " writes " + describe(bad->value) + " at " +
              describe(bad->index, operand.view->rank) + " of " +
              (variable ? "'" + variable->name + "', " : "a buffer ") + describe(*operand.view);
    if (!lastParameters.empty())
      finding += "; parameters used last: " + lastParameters;
    if (!toTheEnd)
      return false;
  }
  return !writesFlag;
}

StatusOr<bool> NonFiniteSearch::run(uint32_t timeline, Section section) {
  bool goOn = true;
  TITAN_RETURN_IF_ERROR(executor.runObserved(
      timeline, section, [&](const ExecutedInstruction &done) -> StatusOr<bool> {
        TITAN_ASSIGN_OR_RETURN(goOn, inspect(done, section));
        return goOn;
      }));
  return goOn;
}

} // namespace titan

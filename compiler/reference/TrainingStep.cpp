#include "compiler/reference/TrainingStep.h"

#include "compiler/reference/Initializers.h"
#include "passes/Functions.h"

#include <cmath>

using namespace mlir;

namespace titan {

/// An input of some functions, by its name or, without one, its position.
static std::string getInputName(func::FuncOp function, unsigned index) {
  auto name = function.getArgAttrOfType<StringAttr>(index, names::kInputName);
  return name ? name.str() : std::to_string(index);
}

static bool isReceived(func::FuncOp function, unsigned index) {
  return static_cast<bool>(function.getArgAttr(index, kReceived));
}

static size_t countReceived(func::FuncOp function) {
  size_t count = 0;
  for (unsigned i = 0; i < function.getNumArguments(); ++i)
    count += isReceived(function, i);
  return count;
}

struct Input {
  std::string name;
  func::FuncOp function; ///< the first that takes it
  unsigned index;        ///< among its arguments
};

/// The inputs of functions, each name once, in the order in which the functions take them.
static SmallVector<Input> findInputs(ArrayRef<func::FuncOp> functions) {
  SmallVector<Input> inputs;
  for (func::FuncOp function : functions)
    for (unsigned i = 0; i < function.getNumArguments(); ++i) {
      std::string name = getInputName(function, i);
      if (!isReceived(function, i) &&
          llvm::none_of(inputs, [&](const Input &input) { return input.name == name; }))
        inputs.push_back({std::move(name), function, i});
    }
  return inputs;
}

LogicalResult runMicrobatch(Interpreter &interpreter, ArrayRef<HostTensor> inputs) {
  const SmallVector<func::FuncOp> forward = getFamily(interpreter.getModule(), names::kForward);
  const SmallVector<func::FuncOp> backward = getFamily(interpreter.getModule(), names::kBackward);
  const SmallVector<func::FuncOp> weights =
      getFamily(interpreter.getModule(), names::kBackwardWeight);
  if (forward.empty() || forward.size() != backward.size())
    return interpreter.getModule().emitError()
           << "expects as many functions @bwd as @fwd, at least 1, found " << backward.size()
           << " and " << forward.size();
  if (!weights.empty() && weights.size() != backward.size())
    return interpreter.getModule().emitError()
           << "expects as many functions @bwd_weight as @bwd, found " << weights.size() << " and "
           << backward.size();
  const SmallVector<Input> known = findInputs(forward);
  auto find = [&](const std::string &name) -> const HostTensor & {
    return inputs[llvm::find_if(known, [&](const Input &input) { return input.name == name; }) -
                  known.begin()];
  };
  std::vector<SmallVector<HostTensor>> saved; ///< by stage: what its backward takes
  SmallVector<HostTensor> handed;             ///< from one stage to the next
  for (func::FuncOp function : forward) {
    SmallVector<HostTensor> &arguments = saved.emplace_back();
    for (unsigned i = 0, next = 0; i < function.getNumArguments(); ++i)
      arguments.push_back(isReceived(function, i) ? handed[next++]
                                                  : find(getInputName(function, i)));
    FailureOr<SmallVector<HostTensor>> results = interpreter.call(function.getSymName(), arguments);
    if (failed(results))
      return failure();
    const size_t numSent = function == forward.back() ? 0 : countReceived(forward[saved.size()]);
    handed.assign(results->begin(), results->begin() + numSent);
    arguments.append(results->begin() + numSent, results->end());
  }
  while (!saved.empty()) {
    SmallVector<HostTensor> arguments = std::move(saved.back());
    saved.pop_back();
    const size_t stage = saved.size();
    arguments.append(handed);
    func::FuncOp first = backward[stage];
    FailureOr<SmallVector<HostTensor>> results = interpreter.call(first.getSymName(), arguments);
    if (failed(results))
      return failure();
    const size_t numCotangents = stage ? countReceived(backward[stage - 1]) : 0;
    handed.assign(results->begin(), results->begin() + numCotangents);
    if (weights.empty())
      continue;
    arguments.append(results->begin() + numCotangents, results->end());
    func::FuncOp second = weights[stage];
    if (failed(interpreter.call(second.getSymName(), arguments)))
      return failure();
  }
  return success();
}

size_t countInputs(ModuleOp module) {
  return findInputs(getFamily(module, names::kForward)).size();
}

LogicalResult callFamily(Interpreter &interpreter, StringRef name) {
  for (func::FuncOp function : getFamily(interpreter.getModule(), name))
    if (failed(interpreter.call(function.getSymName(), {})))
      return failure();
  return success();
}

LogicalResult runUpdate(Interpreter &interpreter) {
  for (StringRef name :
       {StringRef(names::kGradientSquares), StringRef(names::kTotals), StringRef(names::kUpdate)})
    if (failed(callFamily(interpreter, name)))
      return failure();
  return success();
}

LogicalResult runStep(Interpreter &interpreter, ArrayRef<HostTensor> inputs) {
  if (failed(callFamily(interpreter, names::kPrologue)) ||
      failed(callFamily(interpreter, names::kUnshard)) ||
      failed(runMicrobatch(interpreter, inputs)))
    return failure();
  return runUpdate(interpreter);
}

static void ignoreSomeLabels(HostTensor &labels) {
  constexpr size_t kEvery = 5;
  for (size_t i = kEvery - 1; i < labels.values.size(); i += kEvery)
    labels.values[i] = -100;
}

FailureOr<SmallVector<HostTensor>> makeInputs(ModuleOp module, StringRef name, uint64_t seed,
                                              int64_t intLimit) {
  const SmallVector<func::FuncOp> functions = getFamily(module, name);
  if (functions.empty())
    return module.emitError() << "the module has no function @" << name;
  SmallVector<HostTensor> inputs;
  for (auto &[input, function, index] : findInputs(functions)) {
    auto global = function.getArgAttrOfType<TypeAttr>(index, kGlobalType);
    Type type = global ? global.getValue() : function.getArgumentTypes()[index];
    inputs.push_back(makeRandomTensor(cast<RankedTensorType>(type),
                                      ("argument." + Twine(inputs.size())).str(), seed, intLimit));
    if (input == "labels")
      ignoreSomeLabels(inputs.back());
  }
  return inputs;
}

FailureOr<double> differentiate(Line line) {
  constexpr double step = 1e-3;
  double derivative = 0;
  for (auto [distance, weight] : {std::pair(-2.0, 1.0), {-1.0, -8.0}, {1.0, 8.0}, {2.0, -1.0}}) {
    FailureOr<double> value = line(distance * step);
    if (failed(value))
      return failure();
    derivative += weight * *value;
  }
  return derivative / (12 * step);
}

static double norm(ArrayRef<double> values) {
  double squares = 0;
  for (double x : values)
    squares += x * x;
  return std::sqrt(squares);
}

/// A random direction in which a step of 1 changes the values by about their own size.
static std::vector<double> drawDirection(const HostTensor &tensor, StringRef name, uint64_t seed) {
  const CounterGenerator generator(seed, ("direction." + name).str());
  const auto size = static_cast<double>(std::max<int64_t>(1, tensor.size()));
  const double scale = std::max(1e-2, norm(tensor.values) / std::sqrt(size));
  std::vector<double> direction(tensor.values.size());
  for (auto [index, value] : llvm::enumerate(direction))
    value = scale * generator.normal(index);
  return direction;
}

/// The relative error of one gradient; see compareWithDifferences.
static FailureOr<double> compareGradient(Interpreter &losses, HostTensor &variable,
                                         const HostTensor &gradient, StringRef name,
                                         ArrayRef<HostTensor> inputs, uint64_t seed) {
  const std::vector<double> direction = drawDirection(variable, name, seed);
  const std::vector<double> origin = variable.values;
  double loss = 0;
  FailureOr<double> derivative = differentiate([&](double distance) -> FailureOr<double> {
    for (auto [value, start, along] : llvm::zip_equal(variable.values, origin, direction))
      value = start + distance * along;
    FailureOr<SmallVector<HostTensor>> results = losses.call(names::kLoss, inputs);
    if (failed(results))
      return failure();
    loss = results->front().values.front();
    return loss;
  });
  variable.values = origin;
  if (failed(derivative))
    return failure();
  double product = 0;
  for (auto [g, along] : llvm::zip_equal(gradient.values, direction))
    product += g * along;
  const double expected = norm(gradient.values) * norm(direction) /
                          std::sqrt(static_cast<double>(std::max<int64_t>(1, variable.size())));
  const double scale = std::max({std::fabs(*derivative), expected, 1e-6 * std::fabs(loss)});
  return scale == 0 ? 0 : std::fabs(*derivative - product) / scale;
}

FailureOr<Deviation> compareWithDifferences(ModuleOp module, Interpreter &losses,
                                            Interpreter &gradients, ArrayRef<HostTensor> inputs,
                                            uint64_t seed) {
  Deviation deviation;
  for (auto variable : module.getOps<VariableOp>()) {
    StringRef name = variable.getSymName();
    if (!name.consume_front(names::kGradientPrefix))
      continue;
    HostTensor *primal = losses.findVariable(name);
    if (!primal)
      return variable.emitOpError() << "is the gradient of no variable: there is no @" << name;
    FailureOr<double> error = compareGradient(
        losses, *primal, gradients.variable(variable.getSymName()), name, inputs, seed);
    if (failed(error))
      return failure();
    deviation.add(*error, variable.getSymName());
  }
  if (deviation.name.empty())
    return module.emitError() << "the module has no variable @gradient.NAME";
  return deviation;
}

} // namespace titan

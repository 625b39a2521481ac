#include "compiler/reference/TrainingStep.h"

#include "compiler/reference/Initializers.h"
#include "passes/Functions.h"

#include <cmath>

using namespace mlir;

namespace titan {

LogicalResult runMicrobatch(Interpreter &interpreter, ArrayRef<HostTensor> inputs) {
  FailureOr<SmallVector<HostTensor>> residuals = interpreter.call(names::kForward, inputs);
  if (failed(residuals))
    return failure();
  SmallVector<HostTensor> arguments(inputs);
  arguments.append(std::make_move_iterator(residuals->begin()),
                   std::make_move_iterator(residuals->end()));
  return interpreter.call(names::kBackward, arguments);
}

static LogicalResult callIfPresent(Interpreter &interpreter, StringRef function) {
  if (!interpreter.hasFunction(function))
    return success();
  return interpreter.call(function, {});
}

LogicalResult runStep(Interpreter &interpreter, ArrayRef<HostTensor> inputs) {
  if (failed(callIfPresent(interpreter, names::kPrologue)) ||
      failed(callIfPresent(interpreter, names::kUnshard)) ||
      failed(runMicrobatch(interpreter, inputs)))
    return failure();
  return callIfPresent(interpreter, names::kUpdate);
}

static void ignoreSomeLabels(HostTensor &labels) {
  constexpr size_t kEvery = 5;
  for (size_t i = kEvery - 1; i < labels.values.size(); i += kEvery)
    labels.values[i] = -100;
}

FailureOr<SmallVector<HostTensor>> makeInputs(ModuleOp module, StringRef name, uint64_t seed,
                                              int64_t intLimit) {
  auto function = module.lookupSymbol<func::FuncOp>(name);
  if (!function)
    return module.emitError() << "the module has no function @" << name;
  SmallVector<HostTensor> inputs;
  for (auto [index, type] : llvm::enumerate(function.getArgumentTypes())) {
    inputs.push_back(makeRandomTensor(cast<RankedTensorType>(type),
                                      ("argument." + Twine(index)).str(), seed, intLimit));
    auto input = function.getArgAttrOfType<StringAttr>(index, names::kInputName);
    if (input && input.getValue() == "labels")
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

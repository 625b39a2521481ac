#include "compiler/reference/Golden.h"

#include "compiler/reference/TrainingStep.h"
#include "passes/Functions.h"
#include "runtime/base/Safetensors.h"

#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"

#include <cmath>
#include <cstring>

using namespace mlir;

namespace titan {
namespace {

/// What PREFIX.json says of one step.
struct ReferenceStep {
  double loss, gradientNorm, learningRate;
};

struct ReferenceRun {
  double beta1 = 0, beta2 = 0, epsilon = 0, weightDecay = 0, maxNorm = 0;
  std::vector<ReferenceStep> steps;
};

Status notAsExpected(const std::string &file, const llvm::Twine &what) {
  return dataLoss(llvm::formatv("'{0}' has no {1}", file, what.str()));
}

StatusOr<ReferenceRun> readRun(const std::string &file) {
  auto buffer = llvm::MemoryBuffer::getFile(file);
  if (!buffer)
    return notFound(llvm::formatv("'{0}': {1}", file, buffer.getError().message()));
  llvm::Expected<llvm::json::Value> value = llvm::json::parse((*buffer)->getBuffer());
  if (!value)
    return dataLoss(llvm::formatv("'{0}': {1}", file, llvm::toString(value.takeError())));
  const llvm::json::Object *root = value->getAsObject();
  const llvm::json::Object *optimizer = root ? root->getObject("optimizer") : nullptr;
  const llvm::json::Array *betas = optimizer ? optimizer->getArray("betas") : nullptr;
  const llvm::json::Array *steps = root ? root->getArray("float64") : nullptr;
  if (!betas || betas->size() != 2 || !(*betas)[0].getAsNumber() || !(*betas)[1].getAsNumber())
    return notAsExpected(file, "two numbers 'optimizer.betas'");
  if (!steps)
    return notAsExpected(file, "list 'float64'");
  ReferenceRun run;
  run.beta1 = *(*betas)[0].getAsNumber();
  run.beta2 = *(*betas)[1].getAsNumber();
  const std::pair<const char *, double &> numbers[] = {
      {"eps", run.epsilon}, {"weight_decay", run.weightDecay}, {"max_norm", run.maxNorm}};
  for (const auto &[key, value] : numbers) {
    const std::optional<double> number = optimizer->getNumber(key);
    if (!number)
      return notAsExpected(file, llvm::formatv("number 'optimizer.{0}'", key).str());
    value = *number;
  }
  for (const llvm::json::Value &entry : *steps) {
    const llvm::json::Object *step = entry.getAsObject();
    if (!step || !step->getNumber("loss") || !step->getNumber("grad_norm") ||
        !step->getNumber("lr"))
      return notAsExpected(file, "numbers 'loss', 'grad_norm' and 'lr' in a step");
    run.steps.push_back(
        {*step->getNumber("loss"), *step->getNumber("grad_norm"), *step->getNumber("lr")});
  }
  return run;
}

template <typename Element>
void copyValues(std::span<const std::byte> bytes, MutableArrayRef<double> values) {
  for (auto [index, value] : llvm::enumerate(values)) {
    Element element;
    std::memcpy(&element, bytes.data() + index * sizeof(Element), sizeof(Element));
    value = static_cast<double>(element);
  }
}

/// Reads `view`, from its element `first` on, into a tensor of `type`.
StatusOr<HostTensor> readTensor(const TensorView &view, RankedTensorType type, int64_t first) {
  HostTensor tensor(type);
  const int64_t size = byteSize(view.dtype);
  if ((first + tensor.size()) * size > static_cast<int64_t>(view.bytes.size()))
    return dataLoss(llvm::formatv("'{0}' has {1} elements, expects at least {2}", view.name,
                                  view.bytes.size() / size, first + tensor.size()));
  auto bytes = view.bytes.subspan(first * size, tensor.size() * size);
  switch (view.dtype) {
  case DType::f32:
    copyValues<float>(bytes, tensor.values);
    return tensor;
  case DType::f64:
    copyValues<double>(bytes, tensor.values);
    return tensor;
  case DType::i32:
    copyValues<int32_t>(bytes, tensor.values);
    return tensor;
  default:
    return dataLoss(llvm::formatv("'{0}' has element type {1}, expects f32, f64 or i32", view.name,
                                  std::string(toString(view.dtype))));
  }
}

/// A whole tensor of the file, which must have the type's shape.
StatusOr<HostTensor> readTensor(const Safetensors &file, const std::string &name,
                                RankedTensorType type) {
  const TensorView *view = file.find(name);
  if (!view)
    return notFound(llvm::formatv("'{0}' has no tensor '{1}'", file.name(), name));
  if (ArrayRef<int64_t>(view->shape) != type.getShape())
    return dataLoss(llvm::formatv("'{0}' in '{1}' has shape {2}, the program's has {3}", name,
                                  file.name(), toString(view->shape), toString(type.getShape())));
  return readTensor(*view, type, 0);
}

double getRelativeDifference(double found, double expected) {
  return std::fabs(found - expected) / std::fabs(expected);
}

/// One training of a program.
class GoldenTraining {
public:
  GoldenTraining(ModuleOp module, Interpreter &interpreter, const Safetensors &expected)
      : interpreter(interpreter), expected(expected),
        parameters(getVariables(module, Role::parameter)),
        forward(getFamily(module, names::kForward).front()) {}

  Status loadParameters(const Safetensors &file) {
    for (VariableOp parameter : parameters) {
      const std::string name = parameter.getSymName().str();
      TITAN_ASSIGN_OR_RETURN(interpreter.variable(name),
                             readTensor(file, name, cast<RankedTensorType>(parameter.getType())));
    }
    return evaluate(callFamily(interpreter, names::kDerive));
  }

  Status runStep(int64_t step, const Safetensors &batches, const ReferenceRun &run) {
    const ReferenceStep &reference = run.steps[step - 1];
    setScalar(names::kLearningRate, reference.learningRate);
    setScalar(names::kBiasCorrection1, 1 - std::pow(run.beta1, step));
    setScalar(names::kBiasCorrection2, 1 - std::pow(run.beta2, step));
    setScalar(names::kOneMinusBeta1, 1 - run.beta1);
    setScalar(names::kOneMinusBeta2, 1 - run.beta2);
    setScalar(names::kEpsilon, run.epsilon);
    setScalar(names::kWeightDecay, run.weightDecay);
    setScalar(names::kMaxNorm, run.maxNorm);
    TITAN_RETURN_IF_ERROR(evaluate(callFamily(interpreter, names::kPrologue)));
    TITAN_RETURN_IF_ERROR(accumulate(step, batches));
    TITAN_RETURN_IF_ERROR(evaluate(runUpdate(interpreter)));
    const double valid = scalar(names::kValidTokens);
    const std::string inStep = " in step " + std::to_string(step);
    const double loss = scalar(names::kLossSum) / valid;
    result.deviation.add(getRelativeDifference(loss, reference.loss), "the loss" + inStep);
    if (step == 1)
      TITAN_RETURN_IF_ERROR(compareGradients(valid));
    const double norm = scalar(names::kGradientNorm);
    result.deviation.add(getRelativeDifference(norm, reference.gradientNorm),
                         "the gradient norm" + inStep);
    result.steps.push_back({loss, norm});
    return compareParameters("step" + std::to_string(step) + ".");
  }

  GoldenResult takeResult() { return std::move(result); }

private:
  static Status evaluate(LogicalResult result) {
    return succeeded(result) ? okStatus() : invalidArgument("the program cannot be evaluated");
  }

  void setScalar(StringRef name, double value) {
    interpreter.variable(name).values.front() = value;
  }
  double scalar(StringRef name) { return interpreter.variable(name).values.front(); }

  /// @fwd and @bwd on each microbatch of the step's batch.
  Status accumulate(int64_t step, const Safetensors &batches) {
    const TensorView *tokens = batches.find("tokens"), *labels = batches.find("labels");
    if (!tokens || !labels || tokens->shape.size() != 3 || labels->shape != tokens->shape)
      return dataLoss(llvm::formatv("'{0}': expects 'tokens' and 'labels' [steps, rows, sequence]",
                                    batches.name()));
    auto type = cast<RankedTensorType>(forward.getArgumentTypes().front());
    const int64_t rows = tokens->shape[1], sequence = tokens->shape[2];
    if (type.getRank() != 2 || type.getDimSize(1) != sequence || rows % type.getDimSize(0))
      return invalidArgument(llvm::formatv(
          "@fwd takes tokens [{0}], expects sequences of {1} and a divisor of {2} rows",
          llvm::iterator_range(type.getShape()), sequence, rows));
    for (int64_t row = 0; row < rows; row += type.getDimSize(0)) {
      const int64_t first = ((step - 1) * rows + row) * sequence;
      TITAN_ASSIGN_OR_RETURN(HostTensor tokenRows, readTensor(*tokens, type, first));
      TITAN_ASSIGN_OR_RETURN(HostTensor labelRows, readTensor(*labels, type, first));
      TITAN_RETURN_IF_ERROR(
          evaluate(runMicrobatch(interpreter, {std::move(tokenRows), std::move(labelRows)})));
    }
    return okStatus();
  }

  /// Of the mean loss: the program's gradients are of the sum.
  Status compareGradients(double valid) {
    for (VariableOp parameter : parameters) {
      const std::string name = parameter.getSymName().str();
      HostTensor gradient = interpreter.variable((names::kGradientPrefix + name).str());
      for (double &value : gradient.values)
        value /= valid;
      TITAN_ASSIGN_OR_RETURN(HostTensor reference,
                             readTensor(expected, "grad." + name, gradient.type));
      result.deviation.add(getRelativeL2(gradient, reference), "the gradient of " + name);
    }
    return okStatus();
  }

  Status compareParameters(const std::string &prefix) {
    for (VariableOp parameter : parameters) {
      const std::string name = parameter.getSymName().str();
      if (!expected.find(prefix + name))
        continue;
      const HostTensor &found = interpreter.variable(name);
      TITAN_ASSIGN_OR_RETURN(HostTensor reference, readTensor(expected, prefix + name, found.type));
      result.deviation.add(getRelativeL2(found, reference), prefix + name);
    }
    return okStatus();
  }

  Interpreter &interpreter;
  const Safetensors &expected;
  SmallVector<VariableOp> parameters;
  func::FuncOp forward;
  GoldenResult result;
};

/// The program has what a training needs.
Status checkProgram(ModuleOp module) {
  for (StringRef name : {StringRef(names::kPrologue), StringRef(names::kForward),
                         StringRef(names::kBackward), StringRef(names::kUpdate)})
    if (getFamily(module, name).empty())
      return invalidArgument(llvm::formatv(
          "the program has no function @{0}: --golden expects a whole training step", name));
  SmallVector<StringRef> variables{names::kLossSum, names::kValidTokens, names::kGradientNorm};
  variables.append(std::begin(names::kHostScalars), std::end(names::kHostScalars));
  for (StringRef name : variables)
    if (!module.lookupSymbol<VariableOp>(name))
      return invalidArgument(llvm::formatv("the program has no variable @{0}", name));
  if (countInputs(module) != 2)
    return invalidArgument("expects @fwd to take tokens and labels");
  return okStatus();
}

} // namespace

StatusOr<GoldenResult> trainAgainstGolden(ModuleOp module, Interpreter &interpreter,
                                          const std::string &prefix, int64_t steps) {
  TITAN_RETURN_IF_ERROR(checkProgram(module));
  TITAN_ASSIGN_OR_RETURN(const ReferenceRun run, readRun(prefix + ".json"));
  if (steps < 1 || steps > static_cast<int64_t>(run.steps.size()))
    return invalidArgument(llvm::formatv("--steps: expects 1 to {0}, the steps in '{1}.json', "
                                         "found {2}",
                                         run.steps.size(), prefix, steps));
  TITAN_ASSIGN_OR_RETURN(Safetensors initial, Safetensors::open(prefix + ".init.safetensors"));
  TITAN_ASSIGN_OR_RETURN(Safetensors batches, Safetensors::open(prefix + ".batches.safetensors"));
  TITAN_ASSIGN_OR_RETURN(Safetensors expected, Safetensors::open(prefix + ".float64.safetensors"));
  GoldenTraining training(module, interpreter, expected);
  TITAN_RETURN_IF_ERROR(training.loadParameters(initial));
  for (int64_t step = 1; step <= steps; ++step)
    TITAN_RETURN_IF_ERROR(training.runStep(step, batches, run));
  return training.takeResult();
}

} // namespace titan

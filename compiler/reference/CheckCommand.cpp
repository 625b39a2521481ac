#include "compiler/reference/CheckCommand.h"

#include "compiler/reference/Golden.h"
#include "compiler/reference/TrainingStep.h"
#include "passes/Functions.h"

#include "mlir/Parser/Parser.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/Support/FormatVariadic.h"

#include <map>

using namespace mlir;

namespace titan {

//===----------------------------------------------------------------------===//
// Options
//===----------------------------------------------------------------------===//

StringRef getCheckUsage() {
  return R"(titan-check FILE [FILE] OPTIONS: compare programs by executing them on random inputs

Two functions, or one function in two phases: results and stored variables are equal
  --function NAME       the function of the first file
  --against NAME        the function of the last file (default: the same name)
Whole training steps: @prologue, @fwd, @bwd, @update leave equal variables in two files
  --step                one step, or --steps N
  --gradients           instead, @bwd's gradients in the last file equal finite differences of
                        @loss in the first
Training against reference numbers PREFIX.json, PREFIX.{init,batches,float64}.safetensors; prints
each step's loss and gradient norm
  --golden PREFIX
  --steps N             steps to train (default 20)
A random program to try passes on, printed: @loss over tokens, labels and parameters
  --random SEED         without a file
Options
  --mode ideal|typed    doubles throughout, or rounded to element types (default ideal)
  --seed N              of the inputs (default 0)
  --int-max N           random integers are below N (default 16)
  --tolerance T         largest relative deviation (default 1e-12)
)";
}

/// Reads the value of `option` into a number.
template <typename Number>
static Status parseNumber(StringRef option, StringRef text, Number &number) {
  bool failed;
  if constexpr (std::is_floating_point_v<Number>)
    failed = text.getAsDouble(number);
  else
    failed = text.getAsInteger(10, number);
  if (failed)
    return invalidArgument(
        llvm::formatv("{0}: expects a number such as 1, found '{1}'", option, text));
  return okStatus();
}

static Status parseMode(StringRef text, Precision &precision) {
  if (text != "ideal" && text != "typed")
    return invalidArgument(llvm::formatv("--mode: expects ideal or typed, found '{0}'", text));
  precision = text == "ideal" ? Precision::ideal : Precision::typed;
  return okStatus();
}

/// Sets the option that takes a value.
static Status setOption(StringRef option, StringRef value, CheckOptions &options) {
  if (option == "--function")
    options.function = value;
  else if (option == "--against")
    options.against = value;
  else if (option == "--golden")
    options.golden = value;
  else if (option == "--mode")
    return parseMode(value, options.precision);
  else if (option == "--seed")
    return parseNumber(option, value, options.seed);
  else if (option == "--int-max")
    return parseNumber(option, value, options.intLimit);
  else if (option == "--tolerance")
    return parseNumber(option, value, options.tolerance);
  else if (option == "--steps")
    return parseNumber(option, value, options.steps.emplace());
  else if (option == "--random")
    return parseNumber(option, value, options.random.emplace());
  else
    return invalidArgument(llvm::formatv("there is no option '{0}'; --help lists them", option));
  return okStatus();
}

static Status checkCombination(const CheckOptions &options) {
  if (options.help || options.random)
    return okStatus();
  if (options.files.empty() || options.files.size() > 2)
    return invalidArgument(
        llvm::formatv("expects one or two files, found {0}", options.files.size()));
  const int modes =
      !options.function.empty() + options.step + options.gradients + !options.golden.empty();
  if (modes != 1)
    return invalidArgument("expects one of --function, --step, --gradients and --golden");
  if (options.files.size() == 2 && !options.golden.empty())
    return invalidArgument("--golden: expects one file, found two");
  if (options.step && options.steps && *options.steps < 1)
    return invalidArgument(llvm::formatv("--steps: expects at least 1, found {0}", *options.steps));
  if (options.files.size() == 1 && options.step)
    return invalidArgument("--step: expects two files to compare, found one");
  if (options.files.size() == 1 && !options.function.empty() && options.against.empty())
    return invalidArgument("--function: expects a second file or --against to compare with");
  return okStatus();
}

StatusOr<CheckOptions> parseCheckOptions(ArrayRef<const char *> arguments) {
  CheckOptions options;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const StringRef argument = arguments[i];
    if (!argument.starts_with("--"))
      options.files.push_back(argument.str());
    else if (argument == "--step")
      options.step = true;
    else if (argument == "--gradients")
      options.gradients = true;
    else if (argument == "--help")
      options.help = true;
    else if (auto [option, value] = argument.split('='); option != argument)
      TITAN_RETURN_IF_ERROR(setOption(option, value, options));
    else if (i + 1 == arguments.size())
      return invalidArgument(llvm::formatv("{0}: expects a value", argument));
    else
      TITAN_RETURN_IF_ERROR(setOption(argument, arguments[++i], options));
  }
  TITAN_RETURN_IF_ERROR(checkCombination(options));
  return options;
}

//===----------------------------------------------------------------------===//
// Comparison
//===----------------------------------------------------------------------===//

namespace {

/// A file's module with its state.
struct Program {
  std::string name;
  OwningOpRef<ModuleOp> module;
  std::unique_ptr<Interpreter> interpreter;
};

/// Diagnostics say what is wrong; this says what it was good for.
Status evaluationFailed(const Program &program) {
  return invalidArgument(llvm::formatv("'{0}' cannot be evaluated", program.name));
}

StatusOr<Program> loadProgram(const std::string &file, const CheckOptions &options,
                              MLIRContext &context) {
  Program program{file, parseSourceFile<ModuleOp>(file, &context), nullptr};
  if (!program.module)
    return invalidArgument(llvm::formatv("'{0}' cannot be parsed", file));
  program.interpreter = std::make_unique<Interpreter>(
      *program.module, InterpreterOptions{options.precision, options.seed});
  if (options.golden.empty() &&
      (failed(randomizeVariables(*program.module, *program.interpreter, options.seed)) ||
       failed(callFamily(*program.interpreter, names::kDerive))))
    return evaluationFailed(program);
  return program;
}

Status reportDeviation(const Deviation &deviation, double tolerance, raw_ostream &report) {
  report << llvm::formatv("largest deviation {0:e3} in {1}\n", deviation.value, deviation.name);
  if (deviation.value <= tolerance)
    return okStatus();
  return invalidArgument(llvm::formatv("{0} deviates by {1:e3}, allowed are {2:e3}", deviation.name,
                                       deviation.value, tolerance));
}

/// Whether a variable may be one program's own: what a step sums up or gathers on its way.
bool isIntermediate(Program &program, StringRef name) {
  auto variable = program.module->lookupSymbol<VariableOp>(name);
  return variable && (variable.getRole() == Role::counter || variable.getRole() == Role::derived);
}

/// Variables that some function of the programs stores, by name, without those of one that the
/// other need not have.
llvm::SetVector<StringRef> findStoredVariables(Program &first, Program &second) {
  llvm::SetVector<StringRef> names;
  for (Program *program : {&first, &second}) {
    Program &other = program == &first ? second : first;
    program->module.get()->walk([&](StoreOp store) {
      StringRef name = store.getVariable();
      if (other.module->lookupSymbol<VariableOp>(name) || !isIntermediate(*program, name))
        names.insert(name);
    });
  }
  return names;
}

/// Of the largest magnitude of the variables of one role: less is nothing that a sum left over.
constexpr double kSmallestScale = 1e-6;

/// Two programs' values of one variable.
struct VariablePair {
  std::string name;
  Role role;
  HostTensor *expected, *found;
};

VariableOp findVariableOp(const Program &program, StringRef name) {
  return ModuleOp(program.module.get()).lookupSymbol<VariableOp>(name);
}

StatusOr<std::vector<VariablePair>> findPairs(Program &first, Program &second) {
  std::vector<VariablePair> pairs;
  for (StringRef name : findStoredVariables(first, second)) {
    HostTensor *expected = first.interpreter->findVariable(name);
    HostTensor *found = second.interpreter->findVariable(name);
    if (!expected || !found) {
      const Program &lacking = expected ? second : first;
      if (findVariableOp(lacking, name))
        return evaluationFailed(lacking);
      return invalidArgument(llvm::formatv("'{0}' has no variable '{1}', which '{2}' stores",
                                           lacking.name, name,
                                           expected ? first.name : second.name));
    }
    const Role role = findVariableOp(first, name).getRole();
    pairs.push_back({name.str(), role, expected, found});
  }
  return pairs;
}

Status compareVariables(Program &first, Program &second, Deviation &deviation) {
  TITAN_ASSIGN_OR_RETURN(const std::vector<VariablePair> pairs, findPairs(first, second));
  std::map<Role, double> largest;
  for (const VariablePair &pair : pairs)
    largest[pair.role] = std::max(largest[pair.role], getLargestMagnitude(*pair.expected));
  for (const VariablePair &pair : pairs)
    deviation.add(getDeviation(*pair.found, *pair.expected, kSmallestScale * largest[pair.role]),
                  "variable " + pair.name);
  return okStatus();
}

Status compareFunctions(Program &first, Program &second, const CheckOptions &options,
                        Deviation &deviation) {
  auto inputs = makeInputs(*first.module, options.function, options.seed, options.intLimit);
  if (failed(inputs))
    return evaluationFailed(first);
  auto expected = first.interpreter->call(options.function, *inputs);
  if (failed(expected))
    return evaluationFailed(first);
  auto found = second.interpreter->call(
      options.against.empty() ? options.function : options.against, *inputs);
  if (failed(found))
    return evaluationFailed(second);
  if (found->size() != expected->size())
    return invalidArgument(llvm::formatv("one function has {0} results, the other {1}",
                                         expected->size(), found->size()));
  for (size_t i = 0; i < found->size(); ++i)
    deviation.add(getDeviation((*found)[i], (*expected)[i]), "result " + Twine(i));
  return compareVariables(first, second, deviation);
}

Status compareSteps(Program &first, Program &second, const CheckOptions &options,
                    Deviation &deviation) {
  auto inputs = makeInputs(*first.module, names::kForward, options.seed, options.intLimit);
  if (failed(inputs))
    return evaluationFailed(first);
  for (Program *program : {&first, &second})
    for (int64_t step = 0; step < options.steps.value_or(1); ++step)
      if (failed(runStep(*program->interpreter, *inputs)))
        return evaluationFailed(*program);
  return compareVariables(first, second, deviation);
}

/// Gradients accumulate: they start at 0.
Status zeroGradients(Program &program) {
  if (!getFamily(*program.module, names::kPrologue).empty()) {
    if (failed(callFamily(*program.interpreter, names::kPrologue)))
      return evaluationFailed(program);
    return okStatus();
  }
  for (auto variable : program.module->getOps<VariableOp>())
    if (variable.getRole() == Role::gradient)
      llvm::fill(program.interpreter->variable(variable.getSymName()).values, 0.0);
  return okStatus();
}

Status compareGradients(Program &losses, Program &gradients, const CheckOptions &options,
                        Deviation &deviation) {
  auto inputs = makeInputs(*losses.module, names::kLoss, options.seed, options.intLimit);
  if (failed(inputs))
    return evaluationFailed(losses);
  TITAN_RETURN_IF_ERROR(zeroGradients(gradients));
  if (failed(runMicrobatch(*gradients.interpreter, *inputs)))
    return evaluationFailed(gradients);
  auto found = compareWithDifferences(*gradients.module, *losses.interpreter,
                                      *gradients.interpreter, *inputs, options.seed);
  if (failed(found))
    return evaluationFailed(losses);
  deviation = *found;
  return okStatus();
}

} // namespace

Status runCheck(const CheckOptions &options, MLIRContext &context, raw_ostream &report) {
  if (options.random) {
    buildRandomProgram(context, *options.random)->print(report);
    return okStatus();
  }
  TITAN_ASSIGN_OR_RETURN(Program first, loadProgram(options.files.front(), options, context));
  if (!options.golden.empty()) {
    TITAN_ASSIGN_OR_RETURN(const GoldenResult found,
                           trainAgainstGolden(*first.module, *first.interpreter, options.golden,
                                              options.steps.value_or(20)));
    for (auto [index, step] : llvm::enumerate(found.steps))
      report << llvm::formatv("step {0}: loss {1:f9}, gradient norm {2:f9}\n", index + 1, step.loss,
                              step.gradientNorm);
    return reportDeviation(found.deviation, options.tolerance, report);
  }
  TITAN_ASSIGN_OR_RETURN(Program second, loadProgram(options.files.back(), options, context));
  Deviation deviation;
  if (options.step)
    TITAN_RETURN_IF_ERROR(compareSteps(first, second, options, deviation));
  else if (options.gradients)
    TITAN_RETURN_IF_ERROR(compareGradients(first, second, options, deviation));
  else
    TITAN_RETURN_IF_ERROR(compareFunctions(first, second, options, deviation));
  return reportDeviation(deviation, options.tolerance, report);
}

} // namespace titan

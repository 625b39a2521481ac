#include "compiler/CompileOptions.h"

#include "compiler/KernelImage.h"
#include "compiler/Phases.h"
#include "runtime/base/ByteSize.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

#include <spdlog/fmt/fmt.h>

#include <filesystem>

using llvm::StringRef;

namespace titan {
namespace {

/// An option: `flag` sets a boolean, `value` takes the text behind '=' or the next argument. With
/// both the text is optional and stands behind '='.
struct Option {
  StringRef name;
  StringRef placeholder;
  StringRef description;
  bool CompileOptions::*flag = nullptr;
  Status (*value)(CompileOptions &options, const std::string &text) = nullptr;
};

Status setWorldSize(CompileOptions &options, const std::string &text) {
  if (!llvm::to_integer(text, options.worldSize) || options.worldSize < 1)
    return invalidArgument(
        fmt::format("--world-size {} is not a number of ranks, such as --world-size 1", text));
  return okStatus();
}

Status setTarget(CompileOptions &options, const std::string &text) {
  if (!isTarget(text))
    return invalidArgument(
        fmt::format("--target {} is no target; there are {}", text, listTargets()));
  options.target = text;
  return okStatus();
}

Status setDeviceMemory(CompileOptions &options, const std::string &text) {
  StatusOr<int64_t> bytes = parseByteSize(text);
  if (bytes.ok())
    options.deviceMemory = *bytes;
  return bytes.status().withContext("--device-memory");
}

Status setPhase(CompileOptions &options, const std::string &text) {
  if (!findPhase(text)) {
    auto names = llvm::map_range(allPhases(), [](const Phase &phase) { return phase.name; });
    return invalidArgument(
        fmt::format("--compile-to {} is no phase; there are {}", text, llvm::join(names, ", ")));
  }
  options.compileTo = text;
  return okStatus();
}

Status setOutput(CompileOptions &options, const std::string &text) {
  if (text.empty())
    return invalidArgument("-o needs the name of a file, such as -o model.tbin");
  options.output = text;
  return okStatus();
}

Status setReport(CompileOptions &options, const std::string &text) {
  auto [form, path] = StringRef(text).split(':');
  if (form != "html" || (path.empty() && text != "html"))
    return invalidArgument(fmt::format("--report={} is no form of a report; there are --report, "
                                       "--report=html and --report=html:FILE",
                                       text));
  options.htmlReport = path.str();
  return okStatus();
}

constexpr Option kOptions[] = {
    {.name = "-o",
     .placeholder = "FILE",
     .description = "where the program goes; default model.tbin",
     .value = setOutput},
    {.name = "--world-size",
     .placeholder = "N",
     .description = "ranks of the whole mesh; default: the product of the degrees",
     .value = setWorldSize},
    {.name = "--target",
     .placeholder = "TARGET",
     .description = "what the kernels are for: cpu, cpu:x86-64-v3 (AVX2) and the like, cuda:sm_90",
     .value = setTarget},
    {.name = "--device-memory",
     .placeholder = "SIZE",
     .description = "memory of a rank's device, such as 80GiB, for activation_checkpoint.mode auto",
     .value = setDeviceMemory},
    {.name = "--compile-to",
     .placeholder = "PHASE",
     .description = "stop after a phase and print its MLIR",
     .value = setPhase},
    {.name = "--mlir-print-debuginfo",
     .placeholder = "",
     .description = "with --compile-to: print the ops' source names too",
     .flag = &CompileOptions::printLocations},
    {.name = "--report",
     .placeholder = "[=html[:FILE]]",
     .description = "print parameters, flops, memory and traffic; =html draws a page, model.html",
     .flag = &CompileOptions::report,
     .value = setReport},
    {.name = "--time-passes",
     .placeholder = "",
     .description = "print the time of each pass",
     .flag = &CompileOptions::timePasses},
    {.name = "--help",
     .placeholder = "",
     .description = "print this",
     .flag = &CompileOptions::help},
};

/// Applies the option at `arguments[index]` and moves `index` to its last argument.
Status applyOption(CompileOptions &options, std::span<const std::string> arguments, size_t &index) {
  auto [name, attached] = StringRef(arguments[index]).split('=');
  const bool hasAttached = name.size() != arguments[index].size();
  const Option *option =
      llvm::find_if(kOptions, [&](const Option &candidate) { return candidate.name == name; });
  if (option == std::end(kOptions))
    return invalidArgument(fmt::format("{} is no option; --help lists them", arguments[index]));
  if (option->flag && !(hasAttached && option->value)) {
    if (hasAttached)
      return invalidArgument(fmt::format("{} takes no value", name.str()));
    options.*option->flag = true;
    return okStatus();
  }
  if (hasAttached)
    return option->value(options, attached.str());
  if (index + 1 == arguments.size())
    return invalidArgument(
        fmt::format("{0} needs a value: {0} {1}", name.str(), option->placeholder.str()));
  return option->value(options, arguments[++index]);
}

/// The page's name when the option gives none: the program's, with another ending.
Status completeReport(CompileOptions &options) {
  if (!options.htmlReport)
    return okStatus();
  const std::filesystem::path program =
      options.output.empty() ? kDefaultOutput.str() : options.output;
  if (options.htmlReport->empty())
    options.htmlReport = std::filesystem::path(program).replace_extension("html").string();
  if (*options.htmlReport == program.string())
    return invalidArgument(
        fmt::format("-o {0} is where the page of --report=html goes too; give the page another "
                    "name, such as --report=html:report.html",
                    program.string()));
  return okStatus();
}

} // namespace

std::string compileUsage() {
  std::string text = "usage: titan-compile JOB.toml [OPTION ...] [--section.key value ...]\n\n"
                     "Compiles the training job to a program that titan-run executes.\n\n";
  for (const Option &option : kOptions)
    text += fmt::format("  {:<24}{}\n",
                        (option.name + (option.flag ? "" : " ") + option.placeholder).str(),
                        option.description.str());
  text += "\nPhases:\n";
  for (const Phase &phase : allPhases())
    text += fmt::format("  {:<24}{}\n", phase.name.str(), phase.description.str());
  return text;
}

StatusOr<CompileOptions> parseCompileOptions(std::span<const std::string> arguments) {
  TITAN_ASSIGN_OR_RETURN(JobArguments split, splitArguments(arguments));
  CompileOptions options;
  options.overrides = std::move(split.overrides);
  for (size_t i = 0; i < split.rest.size(); ++i) {
    const std::string &argument = split.rest[i];
    if (StringRef(argument).starts_with("-") && argument != "-") {
      TITAN_RETURN_IF_ERROR(applyOption(options, split.rest, i));
      continue;
    }
    if (!options.job.empty())
      return invalidArgument(
          fmt::format("{} is a second job file, after {}; give one", argument, options.job));
    options.job = argument;
  }
  TITAN_RETURN_IF_ERROR(completeReport(options));
  if (options.job.empty() && !options.help)
    return invalidArgument("no job file; say titan-compile JOB.toml, or --help");
  return options;
}

} // namespace titan

#include "runtime/data/DataCommand.h"

#include "runtime/data/Documents.h"
#include "runtime/data/TokenIndex.h"
#include "runtime/data/TokenIndexBuilder.h"

#include <spdlog/fmt/fmt.h>

#include <charconv>
#include <thread>

namespace titan {
namespace {

struct BuildOptions {
  std::string output;
  std::string tokenizer;
  std::optional<std::string> separator;
  std::vector<std::string> inputs;
  int threads = 0; ///< 0: one per core
};

constexpr int kMaxThreads = 1024;

StatusOr<int> parseThreads(const std::string &value) {
  int threads = 0;
  const char *end = value.data() + value.size();
  const auto [stop, error] = std::from_chars(value.data(), end, threads);
  if (error != std::errc() || stop != end || threads < 1 || threads > kMaxThreads)
    return invalidArgument("option --threads: found '" + value + "', legal is 1 to " +
                           std::to_string(kMaxThreads));
  return threads;
}

StatusOr<BuildOptions> parseBuild(std::span<const std::string> arguments) {
  BuildOptions options;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string &argument = arguments[i];
    if (!argument.starts_with("--")) {
      options.inputs.push_back(argument);
      continue;
    }
    const size_t equals = argument.find('=');
    const std::string name = argument.substr(0, equals);
    std::string value;
    if (equals != std::string::npos)
      value = argument.substr(equals + 1);
    else if (i + 1 < arguments.size())
      value = arguments[++i];
    else
      return invalidArgument("option " + name + ": the value is missing");
    if (name == "--output")
      options.output = value;
    else if (name == "--tokenizer")
      options.tokenizer = value;
    else if (name == "--separator")
      options.separator = value;
    else if (name == "--threads") {
      TITAN_ASSIGN_OR_RETURN(options.threads, parseThreads(value));
    } else
      return invalidArgument("unknown option " + name +
                             ", legal are --output, --tokenizer, --separator and --threads");
  }
  if (options.output.empty())
    return invalidArgument("titan-data build needs --output FILE");
  if (options.inputs.empty())
    return invalidArgument("titan-data build needs at least one file, folder or glob to read");
  return options;
}

std::string describe(const TokenIndex &index) {
  return fmt::format("{}: {} tokens of {} bytes in {} documents, vocabulary {}, tokenizer "
                     "{:016x}\n",
                     index.name(), index.tokens(), index.prefix().tokenBytes, index.documents(),
                     index.vocabSize(), index.prefix().tokenizerHash);
}

StatusOr<std::string> build(std::span<const std::string> arguments, Logger &logger) {
  TITAN_ASSIGN_OR_RETURN(const BuildOptions options, parseBuild(arguments));
  auto tokenizer =
      options.tokenizer.empty() ? StatusOr(makeByteTokenizer()) : openTokenizer(options.tokenizer);
  if (!tokenizer.ok())
    return tokenizer.status().withContext("option --tokenizer");
  std::error_code error;
  if (std::filesystem::is_directory(options.output, error))
    return invalidArgument("option --output: '" + options.output +
                           "' is a folder; give the name of a file to write");
  std::vector<std::filesystem::path> files;
  for (const std::string &input : options.inputs) {
    TITAN_ASSIGN_OR_RETURN(const auto found, findInputs(input));
    files.insert(files.end(), found.begin(), found.end());
  }
  TokenIndexBuildOptions buildOptions;
  buildOptions.threads =
      options.threads > 0 ? options.threads : static_cast<int>(std::thread::hardware_concurrency());
  buildOptions.openTokenizer = [&] { return openTokenizer(options.tokenizer); };
  TITAN_RETURN_IF_ERROR(
      buildTokenIndex(options.output, **tokenizer, files, options.separator, logger, buildOptions));
  TITAN_ASSIGN_OR_RETURN(const TokenIndex index, TokenIndex::open(options.output));
  return describe(index);
}

StatusOr<std::string> inspect(std::span<const std::string> arguments, bool verify) {
  if (arguments.size() != 1)
    return invalidArgument("one token file is needed, found " + std::to_string(arguments.size()) +
                           " arguments");
  TITAN_ASSIGN_OR_RETURN(const TokenIndex index, TokenIndex::open(arguments[0]));
  if (verify)
    TITAN_RETURN_IF_ERROR(index.verify());
  return describe(index) + (verify ? "verified\n" : "");
}

} // namespace

std::string dataCommandHelp() {
  return "titan-data build --output FILE [--tokenizer FOLDER] [--separator LINE] [--threads N] "
         "INPUT...\n"
         "    tokenizes text, JSON lines (key \"text\") and their .gz into one token file;\n"
         "    INPUT is a file, a folder or a glob; FOLDER has tokenizer.json, without it a byte "
         "is\n"
         "    a token; with --separator a line that consists of LINE ends a document of text;\n"
         "    N threads (one per core) encode, which does not change the file; a build that was\n"
         "    killed goes on where it was when the same command is given again\n"
         "titan-data info FILE      prints what a token file holds\n"
         "titan-data verify FILE    reads all of it and compares its checksum\n";
}

StatusOr<std::string> runDataCommand(std::span<const std::string> arguments, Logger &logger) {
  const std::string command = arguments.empty() ? "" : arguments[0];
  const auto rest = arguments.subspan(arguments.empty() ? 0 : 1);
  if (command == "build")
    return build(rest, logger);
  if (command == "info" || command == "verify")
    return inspect(rest, command == "verify");
  if (command == "help" || command == "--help" || command == "-h")
    return dataCommandHelp();
  return invalidArgument("unknown command '" + command +
                         "', legal are build, info, verify and help");
}

} // namespace titan

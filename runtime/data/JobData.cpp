#include "runtime/data/JobData.h"

#include "runtime/data/Documents.h"
#include "runtime/data/HeldOut.h"
#include "runtime/data/TokenIndexBuilder.h"

#include <spdlog/fmt/fmt.h>

#include <thread>

namespace titan {
namespace {

constexpr uint64_t kAutomaticBytes = uint64_t{1} << 30;
constexpr int64_t kEntropyTokens = int64_t{1} << 28;

bool isSafetensors(const std::string &path) { return path.ends_with(".safetensors"); }

/// Opens token files, and makes those that are missing.
class IndexOpener {
public:
  IndexOpener(const JobConfig &config, int64_t vocabSize, Logger &logger)
      : config(config), vocabSize(vocabSize), logger(logger) {}

  StatusOr<std::shared_ptr<const TokenIndex>> open(const std::string &path) {
    if (!tokenizer)
      TITAN_RETURN_IF_ERROR(openJobTokenizer());
    auto index = TokenIndex::isTokenFile(path) ? openTokenFile(path) : openText(path);
    if (!index.ok())
      return index.status();
    logger.info("{}: {} tokens in {} documents ({})", path, index->tokens(), index->documents(),
                tokenizer->name());
    return std::shared_ptr<const TokenIndex>(std::make_shared<TokenIndex>(*std::move(index)));
  }

private:
  Status openJobTokenizer() {
    auto opened = openTokenizer(config.model.hfAssetsPath);
    if (!opened.ok())
      return opened.status().withContext("model.hf_assets_path");
    tokenizer = *std::move(opened);
    if (tokenizer->vocabSize() > vocabSize)
      return invalidArgument(fmt::format(
          "the {} has {} tokens, but the model's vocabulary has {}; set model.vocab_size to at "
          "least {}, or model.hf_assets_path to another tokenizer",
          tokenizer->name(), tokenizer->vocabSize(), vocabSize, tokenizer->vocabSize()));
    return okStatus();
  }

  StatusOr<TokenIndex> openTokenFile(const std::string &path) {
    TITAN_ASSIGN_OR_RETURN(TokenIndex index, TokenIndex::open(path));
    if (index.prefix().tokenizerHash != tokenizer->hash())
      return invalidArgument(path + " was built with another tokenizer than the job's (" +
                             tokenizer->name() +
                             "); build it again, or set model.hf_assets_path to the one it has");
    return index;
  }

  StatusOr<TokenIndex> openText(const std::string &path) {
    TITAN_ASSIGN_OR_RETURN(const std::vector<std::filesystem::path> files, findInputs(path));
    const std::optional<std::string> &separator = config.training.textSeparator;
    TITAN_ASSIGN_OR_RETURN(const uint64_t inputsHash, hashInputs(files, separator));
    const std::filesystem::path output =
        std::filesystem::path(config.job.dumpFolder) / "tokens" /
        fmt::format("{:016x}-{:016x}.tokens", inputsHash, tokenizer->hash());
    std::error_code error;
    if (std::filesystem::exists(output, error)) {
      auto index = openTokenFile(output.string());
      if (index.ok() && index->prefix().inputsHash == inputsHash)
        return index;
      logger.warning("{}; it is built again",
                     index.ok() ? output.string() + " is of other data" : index.status().message());
    }
    TITAN_ASSIGN_OR_RETURN(const uint64_t bytes, inputBytes(files));
    if (bytes > kAutomaticBytes)
      return invalidArgument(fmt::format(
          "'{}' has {} bytes, and at most {} are tokenized at the start of a run; run "
          "titan-data build --output FILE {}{} and name FILE instead",
          path, bytes, kAutomaticBytes,
          config.model.hfAssetsPath.empty() ? "" : "--tokenizer " + config.model.hfAssetsPath + " ",
          path));
    logger.info("tokenizing {} ({:.1f} MB, {} files) into {}", path,
                static_cast<double>(bytes) / 1e6, files.size(), output.string());
    TokenIndexBuildOptions options;
    options.threads = config.runtime.threads > 0
                          ? static_cast<int>(config.runtime.threads)
                          : static_cast<int>(std::thread::hardware_concurrency());
    options.openTokenizer = [&] { return openTokenizer(config.model.hfAssetsPath); };
    TITAN_RETURN_IF_ERROR(buildTokenIndex(output, *tokenizer, files, separator, logger, options));
    return TokenIndex::open(output);
  }

  const JobConfig &config;
  int64_t vocabSize;
  Logger &logger;
  std::unique_ptr<Tokenizer> tokenizer;
};

/// Some text of the job, and the index that it is in.
struct Text {
  std::shared_ptr<const TokenIndex> index;
  TokenRange range;
};

/// Opens the parts of a job's data. A text is absent where batches come from safetensors.
class DataOpener {
public:
  DataOpener(const JobConfig &config, int64_t vocabSize, int64_t validationRows, Logger &logger)
      : config(config), vocabSize(vocabSize), validationRows(validationRows), logger(logger),
        opener(config, vocabSize, logger) {}

  StatusOr<JobData> open() {
    const ValidationSection &validation = config.validation;
    TITAN_RETURN_IF_ERROR(openTraining().withContext("training.dataset_path"));
    if (validation.enable && validation.datasetPath)
      TITAN_RETURN_IF_ERROR(openValidation().withContext("validation.dataset_path"));
    else if (validation.enable)
      TITAN_RETURN_IF_ERROR(splitTraining());
    TITAN_RETURN_IF_ERROR(makeSources());
    return std::move(data);
  }

private:
  Status openTraining() {
    const std::string &path = *config.training.datasetPath;
    if (isSafetensors(path)) {
      TITAN_ASSIGN_OR_RETURN(
          data.training,
          PretokenizedBatches::open(path, config.globalRows(), config.training.seqLen, vocabSize));
      return okStatus();
    }
    TITAN_ASSIGN_OR_RETURN(auto index, opener.open(path));
    const TokenRange all = {0, index->tokens()};
    training = Text{std::move(index), all};
    return okStatus();
  }

  Status openValidation() {
    const ValidationSection &validation = config.validation;
    const std::string &path = *validation.datasetPath;
    if (isSafetensors(path)) {
      TITAN_ASSIGN_OR_RETURN(
          data.validation,
          PretokenizedBatches::open(path, validationRows, validation.seqLen, vocabSize));
      return okStatus();
    }
    TITAN_ASSIGN_OR_RETURN(auto index, opener.open(path));
    const TokenRange all = {0, index->tokens()};
    if (all.size() <= validation.seqLen)
      return invalidArgument(fmt::format("{} tokens are too few for a window of {}; legal is "
                                         "validation.seq_len = {} at most",
                                         all.size(), validation.seqLen + 1, all.size() - 1));
    heldOut = Text{std::move(index), all};
    return okStatus();
  }

  Status splitTraining() {
    if (!training)
      return invalidArgument("batches from safetensors cannot be split, so that validation needs "
                             "data of its own; set validation.dataset_path");
    TITAN_ASSIGN_OR_RETURN(const CorpusSplit split,
                           splitCorpus(*training->index, config.validation.seqLen));
    training->range = split.training;
    heldOut = Text{training->index, split.heldOut};
    logger.info("validation.dataset_path is not set: {} of the {} tokens are held out of training",
                split.heldOut.size(), split.training.size() + split.heldOut.size());
    return okStatus();
  }

  Status makeSources() {
    if (training) {
      TITAN_ASSIGN_OR_RETURN(data.training, TokenStream::create(training->index, training->range));
    }
    if (heldOut)
      data.validation = std::make_unique<HeldOutWindows>(heldOut->index, heldOut->range);
    if (training && heldOut && training->range.size() + heldOut->range.size() <= kEntropyTokens) {
      TITAN_ASSIGN_OR_RETURN(
          data.unigramEntropy,
          unigramEntropy({*training->index, training->range}, {*heldOut->index, heldOut->range}));
    }
    return okStatus();
  }

  const JobConfig &config;
  int64_t vocabSize, validationRows;
  Logger &logger;
  IndexOpener opener;
  std::optional<Text> training;
  std::optional<Text> heldOut;
  JobData data;
};

} // namespace

StatusOr<JobData> openJobData(const JobConfig &config, int64_t vocabSize, int64_t validationRows,
                              Logger &logger) {
  const TrainingSection &training = config.training;
  if (!training.datasetPath || training.datasetPath->empty())
    return invalidArgument("training.dataset = \"" + training.dataset +
                           "\" would have to be downloaded, which Titan does not do; set "
                           "training.dataset_path to a file, folder or glob of text, JSON lines or "
                           ".json.gz");
  return DataOpener(config, vocabSize, validationRows, logger).open();
}

} // namespace titan

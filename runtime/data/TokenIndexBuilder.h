// Builds token files on several threads, and goes on where a killed build stopped.
#pragma once

#include "runtime/base/Logger.h"
#include "runtime/base/Status.h"
#include "runtime/data/EncodingPipeline.h"
#include "runtime/data/Tokenizer.h"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace titan {

struct TokenIndexBuildOptions {
  int threads = 1; ///< that encode; the bytes of the result do not depend on it
  /// Opens a tokenizer equal to the given one, for each further thread; without it one thread
  /// encodes.
  EncodingPipeline::OpenTokenizer openTokenizer;
  /// What a kill may cost: so much text is read between two commits. Batches are a part of it.
  uint64_t commitBytes = uint64_t{64} << 20;
};

/// Tokenizes the documents of `files` into the file `output`, atomically: per document the begin
/// token, the text's tokens, and the end token (as far as the tokenizer has them). Logs progress.
///
/// Until it is done, the folder `output`.building holds what is there so far; a later build of the
/// same inputs with the same tokenizer continues there, and its result is that of a build without
/// interruption, bit by bit. A build that fails because of its inputs leaves nothing. A second
/// process that builds the same file waits for the first.
Status buildTokenIndex(const std::filesystem::path &output, Tokenizer &tokenizer,
                       const std::vector<std::filesystem::path> &files,
                       const std::optional<std::string> &separator, Logger &logger,
                       const TokenIndexBuildOptions &options = {});

} // namespace titan

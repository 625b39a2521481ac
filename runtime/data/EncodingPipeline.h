// Tokenizes batches of documents on several threads and gives the results in order.
#pragma once

#include "runtime/base/Status.h"
#include "runtime/data/Tokenizer.h"

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace titan {

/// Documents on their way to a token file.
struct DocumentBatch {
  std::vector<std::string> documents;
  std::vector<int32_t> tokens;   ///< of all documents, one after another
  std::vector<uint64_t> lengths; ///< tokens of each document that has any
  Status status;                 ///< of encoding
};

/// Appends a document's begin token, its text's tokens and its end token to a batch.
Status encodeDocument(Tokenizer &tokenizer, const std::string &document, DocumentBatch &batch);

class EncodingPipeline {
public:
  using OpenTokenizer = std::function<StatusOr<std::unique_ptr<Tokenizer>>()>;

  /// Starts max(threads, 1) threads. The first encodes with `tokenizer`, each other one with a
  /// tokenizer that it gets from `openAnother`, called on that thread; without it there is one.
  EncodingPipeline(Tokenizer &tokenizer, int threads, const OpenTokenizer &openAnother);
  /// Gives up what has not been taken.
  ~EncodingPipeline();

  /// Whether another batch may be given: memory is bounded.
  bool hasRoom() const { return inOrder.size() < limit; }
  bool empty() const { return inOrder.empty(); }
  void give(std::unique_ptr<DocumentBatch> batch);
  /// The batch that was given first of those not yet taken, encoded; waits for it.
  std::unique_ptr<DocumentBatch> take();

private:
  struct Job {
    std::unique_ptr<DocumentBatch> batch;
    bool done = false;
  };

  void work(Tokenizer *tokenizer);
  void encode(Tokenizer *tokenizer, const Status &opened);

  OpenTokenizer openAnother;
  size_t limit;
  std::deque<std::shared_ptr<Job>> inOrder; ///< of the caller only
  std::mutex mutex;                         ///< of all below, and of each job's `done`
  std::condition_variable given, finished;
  std::deque<std::shared_ptr<Job>> waiting;
  bool stopping = false;
  std::vector<std::thread> threads;
};

} // namespace titan

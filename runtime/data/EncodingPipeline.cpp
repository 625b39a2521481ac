#include "runtime/data/EncodingPipeline.h"

#include <algorithm>

namespace titan {

Status encodeDocument(Tokenizer &tokenizer, const std::string &document, DocumentBatch &batch) {
  const size_t before = batch.tokens.size();
  if (tokenizer.beginOfText())
    batch.tokens.push_back(*tokenizer.beginOfText());
  TITAN_RETURN_IF_ERROR(tokenizer.encode(document, batch.tokens));
  if (tokenizer.endOfText())
    batch.tokens.push_back(*tokenizer.endOfText());
  if (batch.tokens.size() > before)
    batch.lengths.push_back(batch.tokens.size() - before);
  return okStatus();
}

EncodingPipeline::EncodingPipeline(Tokenizer &tokenizer, int count,
                                   const OpenTokenizer &openAnother)
    : openAnother(openAnother) {
  const size_t workers = openAnother ? static_cast<size_t>(std::max(count, 1)) : 1;
  limit = 2 * workers + 2;
  for (size_t i = 0; i < workers; ++i)
    threads.emplace_back([this, first = i == 0 ? &tokenizer : nullptr] { work(first); });
}

EncodingPipeline::~EncodingPipeline() {
  {
    std::lock_guard lock(mutex);
    stopping = true;
  }
  given.notify_all();
  for (std::thread &thread : threads)
    thread.join();
}

void EncodingPipeline::give(std::unique_ptr<DocumentBatch> batch) {
  auto job = std::make_shared<Job>();
  job->batch = std::move(batch);
  inOrder.push_back(job);
  {
    std::lock_guard lock(mutex);
    waiting.push_back(std::move(job));
  }
  given.notify_one();
}

std::unique_ptr<DocumentBatch> EncodingPipeline::take() {
  const std::shared_ptr<Job> job = std::move(inOrder.front());
  inOrder.pop_front();
  std::unique_lock lock(mutex);
  finished.wait(lock, [&] { return job->done; });
  return std::move(job->batch);
}

void EncodingPipeline::work(Tokenizer *tokenizer) {
  std::unique_ptr<Tokenizer> owned;
  Status opened;
  if (!tokenizer) {
    auto another = openAnother();
    if (another.ok()) {
      owned = *std::move(another);
      tokenizer = owned.get();
    } else {
      opened = another.status();
    }
  }
  encode(tokenizer, opened);
}

/// Encodes what waits until the pipeline ends.
void EncodingPipeline::encode(Tokenizer *tokenizer, const Status &opened) {
  for (;;) {
    std::unique_lock lock(mutex);
    given.wait(lock, [&] { return stopping || !waiting.empty(); });
    if (stopping)
      return;
    const std::shared_ptr<Job> job = std::move(waiting.front());
    waiting.pop_front();
    lock.unlock();
    DocumentBatch &batch = *job->batch;
    batch.status = opened;
    for (size_t i = 0; batch.status.ok() && i < batch.documents.size(); ++i)
      batch.status = encodeDocument(*tokenizer, batch.documents[i], batch);
    lock.lock();
    job->done = true;
    finished.notify_all();
  }
}

} // namespace titan

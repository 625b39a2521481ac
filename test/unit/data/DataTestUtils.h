// Helpers of the data tests.
#pragma once

#include "runtime/data/Documents.h"
#include "runtime/data/TokenIndex.h"
#include "runtime/data/TokenIndexBuilder.h"
#include "test/unit/TestFolder.h"

#include <zlib.h>

namespace titan::test {

/// The text as a gzip file's bytes.
inline std::string compress(const std::string &text) {
  z_stream stream = {};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string result(deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef *>(const_cast<char *>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef *>(result.data());
  stream.avail_out = static_cast<uInt>(result.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  result.resize(stream.total_out);
  deflateEnd(&stream);
  return result;
}

/// A byte-tokenized index of one JSON line per document.
inline std::shared_ptr<const TokenIndex> makeIndex(const TestFolder &folder,
                                                   const std::vector<std::string> &documents,
                                                   const char *name = "test.tokens") {
  std::string lines;
  for (const std::string &document : documents)
    lines += "{\"text\": \"" + document + "\"}\n";
  const auto input = folder.write("index-input.jsonl", lines);
  auto tokenizer = makeByteTokenizer();
  Logger logger = Logger::silent();
  const Status built = buildTokenIndex(folder / name, *tokenizer, {input}, {}, logger);
  EXPECT_TRUE(built.ok()) << built.message();
  auto index = TokenIndex::open(folder / name);
  EXPECT_TRUE(index.ok()) << index.status().message();
  return std::make_shared<TokenIndex>(*std::move(index));
}

/// All tokens of an index.
inline std::vector<int32_t> allTokens(const TokenIndex &index) {
  std::vector<int32_t> tokens(static_cast<size_t>(index.tokens()));
  EXPECT_TRUE(index.copy(0, tokens).ok());
  return tokens;
}

} // namespace titan::test

#include "runtime/data/HeldOut.h"

#include "test/unit/data/DataTestUtils.h"

#include <cmath>

using namespace titan;
using titan::test::makeIndex;
using titan::test::TestFolder;

TEST(HeldOut, TakesTheLastDocuments) {
  TestFolder folder;
  std::vector<std::string> documents(40, "0123456789"); // 12 tokens each
  auto index = makeIndex(folder, documents);
  auto split = splitCorpus(*index, 8);
  ASSERT_TRUE(split.ok()) << split.status().message();
  EXPECT_EQ(split->training.begin, 0);
  EXPECT_EQ(split->training.end, 38 * 12);
  EXPECT_EQ(split->heldOut.begin, 38 * 12);
  EXPECT_EQ(split->heldOut.end, 40 * 12);
}

TEST(HeldOut, FewDocumentsAreSplitByTokens) {
  TestFolder folder;
  auto index = makeIndex(folder, {std::string(398, 'a')}); // 400 tokens
  auto split = splitCorpus(*index, 8);
  ASSERT_TRUE(split.ok());
  EXPECT_EQ(split->heldOut.begin, 380);
}

TEST(HeldOut, HasAtLeastOneWindow) {
  TestFolder folder;
  auto index = makeIndex(folder, {std::string(98, 'a')}); // 100 tokens
  auto split = splitCorpus(*index, 31);
  ASSERT_TRUE(split.ok());
  EXPECT_EQ(split->heldOut.begin, 68);
  EXPECT_TRUE(splitCorpus(*index, 49).ok());
  EXPECT_EQ(splitCorpus(*index, 50).status().message(),
            index->name() + ": 100 tokens are too few to train on and to hold out a window of 51; "
                            "use more data, a shorter sequence, or validation.dataset_path");
}

TEST(HeldOut, UnigramEntropyByHand) {
  TestFolder folder;
  auto index = makeIndex(folder, {"aab", "ac"}); // B a a b E B a c E
  // Training: B a a b E, each of 258 tokens counted once more; held out: B a c E.
  auto entropy = unigramEntropy({*index, {0, 5}}, {*index, {5, 9}});
  ASSERT_TRUE(entropy.ok());
  const double total = 5 + 258;
  const double expected =
      -(std::log(2 / total) + std::log(3 / total) + std::log(1 / total) + std::log(2 / total)) / 4;
  EXPECT_NEAR(*entropy, expected, 1e-14);
}

TEST(HeldOut, UniformTokensHaveTheEntropyOfTheirNumber) {
  TestFolder folder;
  std::string text;
  for (int i = 0; i < 80000; ++i)
    text += static_cast<char>('a' + i % 16);
  auto index = makeIndex(folder, {text});
  auto split = splitCorpus(*index, 15);
  ASSERT_TRUE(split.ok());
  EXPECT_NEAR(*unigramEntropy({*index, split->training}, {*index, split->heldOut}), std::log(16.0),
              0.01);
}

#include "runtime/data/JobData.h"

#include "runtime/base/Safetensors.h"
#include "runtime/data/DataCommand.h"
#include "test/unit/data/DataTestUtils.h"

using namespace titan;
using titan::test::TestFolder;
using Ids = std::vector<int32_t>;

namespace {

class JobDataTest : public testing::Test {
protected:
  JobDataTest() {
    config.job.dumpFolder = folder / "outputs";
    config.training.seqLen = 8;
    config.training.localBatchSize = 2;
    config.validation.seqLen = 8;
    config.validation.localBatchSize = 2;
    std::string fortunes;
    for (int i = 0; i < 100; ++i)
      fortunes += "fortune number " + std::to_string(i) + "\n%\n";
    folder.write("corpus/fortunes", fortunes);
    config.training.datasetPath = folder / "corpus";
    config.training.textSeparator = "%";
  }

  StatusOr<JobData> open(int64_t vocabSize = 258) {
    log.clear();
    Logger logger = Logger::toFunction([&](LogLevel level, std::string_view message) {
      log += std::string(message) + "\n";
      warned |= level == LogLevel::warning;
    });
    return openJobData(config, vocabSize, config.validation.localBatchSize, logger);
  }
  std::string error(int64_t vocabSize = 258) { return open(vocabSize).status().message(); }

  std::vector<std::filesystem::path> tokenFiles() const {
    std::vector<std::filesystem::path> files;
    for (const auto &entry : std::filesystem::directory_iterator(folder / "outputs/tokens"))
      files.push_back(entry.path());
    return files;
  }

  TestFolder folder;
  JobConfig config;
  std::string log;
  bool warned = false;
};

} // namespace

TEST_F(JobDataTest, TokenizesOnce) {
  auto data = open();
  ASSERT_TRUE(data.ok()) << data.status().message();
  EXPECT_NE(log.find("tokenizing"), std::string::npos);
  EXPECT_FALSE(data->validation);
  Ids tokens(8), labels(8);
  ASSERT_TRUE(data->training->next(1, 8, tokens.data(), labels.data()).ok());
  EXPECT_EQ(tokens, (Ids{256, 'f', 'o', 'r', 't', 'u', 'n', 'e'}));
  ASSERT_TRUE(open().ok());
  EXPECT_EQ(log.find("tokenizing"), std::string::npos);
  EXPECT_EQ(tokenFiles().size(), 1u);
}

TEST_F(JobDataTest, TokenizesAgainWhatChanged) {
  ASSERT_TRUE(open().ok());
  folder.write("corpus/more", "new text");
  ASSERT_TRUE(open().ok());
  EXPECT_EQ(tokenFiles().size(), 2u);
  config.model.hfAssetsPath = TITAN_FIXTURE;
  ASSERT_TRUE(open(605).ok());
  EXPECT_EQ(tokenFiles().size(), 3u);
}

TEST_F(JobDataTest, ReplacesADamagedTokenFile) {
  ASSERT_TRUE(open().ok());
  const std::filesystem::path file = tokenFiles().at(0);
  std::filesystem::resize_file(file, 200);
  auto data = open();
  ASSERT_TRUE(data.ok()) << data.status().message();
  EXPECT_TRUE(warned);
  EXPECT_NE(log.find("it is built again"), std::string::npos);
  EXPECT_TRUE(TokenIndex::open(file).ok());
}

TEST_F(JobDataTest, HoldsOutTheTail) {
  config.validation.enable = true;
  auto data = open();
  ASSERT_TRUE(data.ok()) << data.status().message();
  ASSERT_TRUE(data->validation);
  ASSERT_TRUE(data->unigramEntropy);
  EXPECT_GT(*data->unigramEntropy, 1.0);
  EXPECT_LT(*data->unigramEntropy, 5.0);
  // The last 5 of 100 documents: "fortune number 95" first.
  Ids tokens(18), labels(18);
  ASSERT_TRUE(data->validation->next(1, 18, tokens.data(), labels.data()).ok());
  EXPECT_EQ(tokens[16], '9');
  EXPECT_EQ(tokens[17], '5');
  // And training never sees them.
  auto index = TokenIndex::open(tokenFiles().at(0));
  ASSERT_TRUE(index.ok());
  Ids all(static_cast<size_t>(*index->documentBegin(95)));
  Ids ignored(all.size());
  ASSERT_TRUE(data->training->next(1, std::ssize(all), all.data(), ignored.data()).ok());
  EXPECT_EQ(ignored.back(), 256); // wraps to the first document
  EXPECT_EQ(all.back(), 257);
}

TEST_F(JobDataTest, ValidatesOnItsOwnData) {
  config.validation.enable = true;
  config.validation.datasetPath = folder.write("held-out.txt", "0123456789abcdefghijk");
  auto data = open();
  ASSERT_TRUE(data.ok()) << data.status().message();
  EXPECT_EQ(data->validation->remainingRows(8), 2);
  // Letters of which most are rare in the training text.
  ASSERT_TRUE(data->unigramEntropy);
  EXPECT_GT(*data->unigramEntropy, 3.0);
  config.validation.seqLen = 24;
  EXPECT_EQ(error(), "validation.dataset_path: 24 tokens are too few for a window of 25; legal is "
                     "validation.seq_len = 23 at most");
}

TEST_F(JobDataTest, ReadsBatches) {
  const Ids ids(2 * 2 * 8, 1);
  const std::vector<TensorView> views = {
      {"tokens", DType::i32, {2, 2, 8}, std::as_bytes(std::span(ids))},
      {"labels", DType::i32, {2, 2, 8}, std::as_bytes(std::span(ids))}};
  ASSERT_TRUE(writeSafetensors(folder / "b.safetensors", views).ok());
  config.training.datasetPath = folder / "b.safetensors";
  auto data = open();
  ASSERT_TRUE(data.ok()) << data.status().message();
  EXPECT_EQ(data->training->remainingRows(8), 4);
  config.validation.enable = true;
  EXPECT_NE(error().find("set validation.dataset_path"), std::string::npos);
  config.validation.datasetPath = config.training.datasetPath;
  EXPECT_TRUE(open().ok());
  config.training.globalBatchSize = 4;
  EXPECT_EQ(error().substr(0, 22), "training.dataset_path:");
}

TEST_F(JobDataTest, ReadsBuiltTokenFiles) {
  Logger logger = Logger::silent();
  const std::vector<std::string> build = {"build", "--separator=%", "--output", folder / "c.tokens",
                                          folder / "corpus"};
  ASSERT_TRUE(runDataCommand(build, logger).ok());
  config.training.datasetPath = folder / "c.tokens";
  ASSERT_TRUE(open().ok());
  EXPECT_FALSE(std::filesystem::exists(folder / "outputs"));
  config.model.hfAssetsPath = TITAN_FIXTURE;
  EXPECT_NE(error(605).find("was built with another tokenizer"), std::string::npos);
}

TEST_F(JobDataTest, NamesMistakes) {
  EXPECT_EQ(error(100).substr(0, 84), "training.dataset_path: the byte tokenizer has 258 tokens, "
                                      "but the model's vocabulary");
  config.model.hfAssetsPath = folder / "no-tokenizer";
  EXPECT_NE(error().find("model.hf_assets_path: cannot open"), std::string::npos);
  config.model.hfAssetsPath = "";
  config.training.datasetPath = folder / "missing";
  EXPECT_EQ(error().substr(0, 34), "training.dataset_path: cannot read");
  config.training.datasetPath.reset();
  config.training.dataset = "c4";
  EXPECT_EQ(error(), "training.dataset = \"c4\" would have to be downloaded, which Titan does not "
                     "do; set training.dataset_path to a file, folder or glob of text, JSON lines "
                     "or .json.gz");
}

TEST_F(JobDataTest, LargeInputsAreBuiltByHand) {
  const auto big = folder.write("big.txt", "");
  std::filesystem::resize_file(big, (uint64_t{1} << 30) + 1); // sparse
  config.training.datasetPath = big;
  EXPECT_NE(error().find("titan-data build --output FILE " + big.string()), std::string::npos);
}

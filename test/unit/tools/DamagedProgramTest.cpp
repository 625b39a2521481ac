// `titan-run --dump-program` on every damage of one byte and every truncation of a compiled
// program, the checksum recomputed, so that what stands behind it is tested: refused with an error
// that names the file and the place, or a program that verifies and dumps.
#include "compiler/emit/Emit.h"
#include "runtime/format/ProgramFile.h"
#include "runtime/train/RunCommand.h"
#include "test/unit/TestFolder.h"
#include "test/unit/tools/TimeLimit.h"
#include "tools/CompileCommand.h"

#include <cstring>
#include <random>

using namespace titan;

namespace {

constexpr size_t kFileSizeAt = 16, kBufferSizeAt = 24, kChecksumAt = 32;
/// Each test case takes every kSlices-th place, so that lit can run cases side by side.
constexpr int kSlices = 8;
constexpr unsigned kSeconds = 30;

constexpr const char *kJob = R"(
[model]
name = "llama3"
flavor = "debugmodel"
dim = 8
n_layers = 1
n_heads = 2
n_kv_heads = 1
ffn_hidden_dim = 8
vocab_size = 16
[training]
local_batch_size = 1
seq_len = 4
loss_chunks = 1
mixed_precision_param = "float32"
)";

/// A compiled program, and the file that damaged ones are written to.
class DamagedProgram : public testing::TestWithParam<int> {
protected:
  static void SetUpTestSuite() {
    test::TestFolder folder;
    const std::string job = folder.write("job.toml", kJob).string();
    const std::string program = (folder / "good.tbin").string();
    Logger logger = Logger::silent();
    const std::vector<std::string> arguments = {job, "-o", program};
    const Status status = compileCommand(arguments, logger, llvm::nulls());
    ASSERT_TRUE(status.ok()) << status.message();
    auto bytes = readFile(program);
    ASSERT_TRUE(bytes.ok());
    good = *bytes;
  }

  void SetUp() override { ASSERT_FALSE(good.empty()); }

  static uint64_t load(size_t at) {
    uint64_t value;
    std::memcpy(&value, good.data() + at, sizeof(value));
    return value;
  }
  static void store(std::string &bytes, size_t at, uint64_t value) {
    std::memcpy(bytes.data() + at, &value, sizeof(value));
  }

  /// Runs the command on `bytes`; true if they are a program.
  bool dump(const std::string &bytes, const std::string &what) {
    const std::string path = folder.write("damaged.tbin", bytes).string();
    const std::vector<std::string> arguments = {path, "--dump-program"};
    std::string output;
    test::TimeLimit limit(kSeconds);
    const Status status = runCommand(arguments, stop, logger, output);
    if (status.ok()) {
      EXPECT_TRUE(output.starts_with("program target")) << what;
      return true;
    }
    EXPECT_TRUE(output.empty()) << what;
    EXPECT_TRUE(status.message().starts_with(path + ": ")) << what << ": " << status.message();
    EXPECT_GT(status.message().size(), path.size() + 10) << what << ": " << status.message();
    return false;
  }

  static std::string good;
  test::TestFolder folder;
  Logger logger = Logger::silent();
  std::atomic<bool> stop = false;
};

std::string DamagedProgram::good;

} // namespace

TEST_P(DamagedProgram, EveryByteOfPrefixAndFlatBuffer) {
  ASSERT_TRUE(dump(good, "undamaged"));
  const size_t end = format::kPrefixSize + load(kBufferSizeAt);
  size_t refused = 0, imported = 0;
  for (auto at = static_cast<size_t>(GetParam()); at < end; at += kSlices) {
    if (at >= kChecksumAt && at < kChecksumAt + 8)
      continue; // recomputed below
    // Neighbors get different damage: the lowest bit, the sign, all bits.
    constexpr uint8_t flips[] = {0x01, 0x80, 0xff};
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ flips[at / kSlices % 3]);
    format::updateChecksum(bad);
    if (!dump(bad, "byte " + std::to_string(at)))
      ++refused;
    else if (++imported % 50 == 0) // what verifies must also be expressible in exec
      EXPECT_TRUE(printProgram(bad).ok()) << "byte " << at;
  }
  EXPECT_GT(refused, end / kSlices / 4) << "the verifier is asleep";
}

TEST_P(DamagedProgram, EveryTruncation) {
  const uint64_t bufferSize = load(kBufferSizeAt);
  for (auto size = static_cast<size_t>(GetParam()); size < good.size(); size += kSlices) {
    const std::string what = "size " + std::to_string(size);
    std::string bad = good.substr(0, size);
    // The prefix tells the true size: nothing behind it is looked at.
    if (size < format::kPrefixSize || size / kSlices % 16 == 0)
      EXPECT_FALSE(dump(bad, what)) << what;
    if (size < format::kPrefixSize)
      continue;
    // Then the prefix claims the new size; in every other file it also cuts the FlatBuffer.
    store(bad, kFileSizeAt, size);
    if (size / kSlices % 2 && size < format::kPrefixSize + bufferSize)
      store(bad, kBufferSizeAt, size - format::kPrefixSize);
    format::updateChecksum(bad);
    EXPECT_FALSE(dump(bad, what)) << what;
  }
}

/// Several bytes or words at once, which may be those of other places.
TEST_P(DamagedProgram, Random) {
  std::mt19937 random(test::seedOf(GetParam()));
  const auto below = [&](size_t limit) { return random() % limit; };
  const size_t end = format::kPrefixSize + load(kBufferSizeAt);
  for (int round = 0; round < 40; ++round) {
    std::string bad = good;
    for (size_t change = 0; change <= below(6); ++change) {
      const size_t at = below(end - 8), width = size_t{1} << below(4);
      constexpr uint64_t values[] = {0, 1, uint64_t(-1), uint64_t{1} << 31, uint64_t{1} << 62, 255};
      if (below(2))
        std::memcpy(bad.data() + at / width * width, &values[below(std::size(values))], width);
      else
        std::memcpy(bad.data() + at / width * width, good.data() + below(end - 8) / width * width,
                    width);
    }
    format::updateChecksum(bad);
    if (dump(bad, "round " + std::to_string(round)))
      EXPECT_TRUE(printProgram(bad).ok()) << round;
  }
}

INSTANTIATE_TEST_SUITE_P(Slices, DamagedProgram, testing::Range(0, kSlices));

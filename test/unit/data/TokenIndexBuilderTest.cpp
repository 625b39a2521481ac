#include "runtime/data/TokenIndexBuilder.h"

#include "runtime/base/File.h"
#include "test/unit/data/DataTestUtils.h"

#include <random>
#include <sys/wait.h>
#include <unistd.h>

using namespace titan;
using titan::test::compress;
using titan::test::TestFolder;

namespace {

/// Files of every kind, of thousands of documents.
std::vector<std::filesystem::path> writeInputs(const TestFolder &folder) {
  std::mt19937 random(1);
  auto words = [&](size_t most) {
    std::string text;
    for (size_t i = random() % most; i > 0; --i)
      text += "word" + std::to_string(random() % 1000) + (random() % 9 ? " " : ", ");
    return text;
  };
  std::vector<std::filesystem::path> files;
  for (int file = 0; file < 4; ++file) {
    std::string lines, blocks;
    for (int i = 0; i < 600; ++i) {
      lines += "{\"text\": \"" + words(60) + "\"}\n";
      blocks += words(60) + "\n%\n";
    }
    const std::string name = "part" + std::to_string(file);
    files.emplace_back(folder.write(name + ".jsonl", lines));
    files.emplace_back(folder.write(name + ".txt", blocks));
    files.emplace_back(folder.write(name + ".json.gz", compress(lines)));
  }
  return files;
}

TokenIndexBuildOptions withThreads(int threads, uint64_t commitBytes = uint64_t{64} << 20) {
  return {threads, [] { return openTokenizer(TITAN_FIXTURE); }, commitBytes};
}

Status build(const std::string &output, const std::vector<std::filesystem::path> &files,
             const TokenIndexBuildOptions &options, Logger &logger) {
  auto tokenizer = openTokenizer(TITAN_FIXTURE);
  if (!tokenizer.ok())
    return tokenizer.status();
  return buildTokenIndex(output, **tokenizer, files, "%", logger, options);
}

/// The file that a build without interruption makes.
std::string expectedFile(const TestFolder &folder,
                         const std::vector<std::filesystem::path> &files) {
  Logger logger = Logger::silent();
  const Status status = build(folder / "expected", files, withThreads(1), logger);
  EXPECT_TRUE(status.ok()) << status.message();
  return *readFile(folder / "expected");
}

/// Builds in another process and kills it after so many microseconds. Returns whether it had ended
/// before, and then well.
bool buildAndKill(const std::string &output, const std::vector<std::filesystem::path> &files,
                  unsigned microseconds) {
  const pid_t child = ::fork();
  if (child == 0) {
    Logger logger = Logger::silent();
    ::_exit(build(output, files, withThreads(2, 20'000), logger).ok() ? 0 : 1);
  }
  ::usleep(microseconds);
  ::kill(child, SIGKILL);
  int state = 0;
  ::waitpid(child, &state, 0);
  EXPECT_TRUE(WIFSIGNALED(state) || WEXITSTATUS(state) == 0);
  return WIFEXITED(state);
}

size_t filesIn(const std::filesystem::path &folder) {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

} // namespace

TEST(TokenIndexBuilder, ThreadsDoNotChangeTheFile) {
  TestFolder folder;
  const auto files = writeInputs(folder);
  const std::string expected = expectedFile(folder, files);
  EXPECT_GT(expected.size(), size_t{1} << 19);
  Logger logger = Logger::silent();
  for (const auto &[threads, commitBytes] :
       {std::pair<int, uint64_t>{2, 1 << 26}, {5, 300'000}, {0, 1 << 26}}) {
    const Status status = build(folder / "other", files, withThreads(threads, commitBytes), logger);
    ASSERT_TRUE(status.ok()) << status.message();
    EXPECT_TRUE(*readFile(folder / "other") == expected) << threads;
  }
}

TEST(TokenIndexBuilder, GoesOnAfterAKillAtAnyMoment) {
  TestFolder folder;
  const auto files = writeInputs(folder);
  const std::string expected = expectedFile(folder, files);
  const std::string output = folder / "killed";
  std::mt19937 random(2);
  int kills = 0, continued = 0;
  // Ever longer, so that the first runs are killed and the last ends, fast or slow as a machine is.
  for (unsigned longest = 2'000;; longest += longest / 8) {
    std::error_code ignored;
    continued += std::filesystem::exists(output + ".building/state", ignored);
    if (buildAndKill(output, files, random() % longest))
      break;
    ++kills;
    EXPECT_FALSE(std::filesystem::exists(output) && kills < 2);
  }
  EXPECT_GT(kills, 3);
  EXPECT_GT(continued, 0);
  EXPECT_TRUE(*readFile(output) == expected);
  EXPECT_FALSE(std::filesystem::exists(output + ".building"));
}

/// Kills builds until one has left a commit behind.
static void leaveACommit(const std::string &output,
                         const std::vector<std::filesystem::path> &files) {
  for (unsigned time = 5'000; !std::filesystem::exists(output + ".building/state"); time += 5'000) {
    std::filesystem::remove(output);
    buildAndKill(output, files, time);
  }
}

TEST(TokenIndexBuilder, SaysThatItContinues) {
  TestFolder folder;
  const auto files = writeInputs(folder);
  leaveACommit(folder / "x", files);
  std::string messages;
  Logger logger = Logger::toFunction([&](LogLevel, std::string_view text) { messages += text; });
  ASSERT_TRUE(build(folder / "x", files, withThreads(2), logger).ok());
  EXPECT_NE(messages.find("continuing a build that was interrupted, at "), std::string::npos);
  EXPECT_TRUE(*readFile(folder / "x") == expectedFile(folder, files));
}

TEST(TokenIndexBuilder, BeginsAgainWhenWhatIsThereIsDamaged) {
  TestFolder folder;
  const auto files = writeInputs(folder);
  const std::string expected = expectedFile(folder, files), output = folder / "x";
  Logger logger = Logger::silent();
  for (const char *name : {"state", "tokens", "offsets"})
    for (const bool cut : {false, true}) {
      leaveACommit(output, files);
      const std::string part = output + ".building/" + name;
      std::string bytes = *readFile(part);
      if (cut)
        bytes.resize(bytes.size() < 128 ? 1 : 129);
      else
        bytes[bytes.size() < 128 ? 20 : 130] ^= 1;
      // Offsets have no checksum of their own; flipped bits show in the file's.
      if (cut || std::string_view(name) != "offsets") {
        ASSERT_TRUE(writeFileAtomically(part, bytes).ok());
      }
      ASSERT_TRUE(build(output, files, withThreads(2), logger).ok()) << name;
      EXPECT_TRUE(*readFile(output) == expected) << name << cut;
    }
}

TEST(TokenIndexBuilder, OtherInputsBeginAgain) {
  TestFolder folder;
  auto files = writeInputs(folder);
  leaveACommit(folder / "x", files);
  files.pop_back();
  Logger logger = Logger::silent();
  ASSERT_TRUE(build(folder / "x", files, withThreads(2), logger).ok());
  EXPECT_TRUE(*readFile(folder / "x") == expectedFile(folder, files));
}

TEST(TokenIndexBuilder, KilledAfterTheRename) {
  TestFolder folder;
  const auto files = writeInputs(folder);
  const std::string expected = expectedFile(folder, files);
  std::filesystem::create_directory(folder / "expected.building");
  folder.write("expected.building/state", "anything");
  const auto time = std::filesystem::last_write_time(folder / "expected");
  Logger logger = Logger::silent();
  ASSERT_TRUE(build(folder / "expected", files, withThreads(2), logger).ok());
  EXPECT_EQ(std::filesystem::last_write_time(folder / "expected"), time);
  EXPECT_FALSE(std::filesystem::exists(folder / "expected.building"));
}

TEST(TokenIndexBuilder, TwoProcessesDoNotDisturbEachOther) {
  TestFolder folder;
  const auto files = writeInputs(folder);
  const std::string expected = expectedFile(folder, files);
  pid_t children[3];
  for (pid_t &child : children)
    if (child = ::fork(); child == 0) {
      Logger logger = Logger::silent();
      ::_exit(build(folder / "x", files, withThreads(2, 50'000), logger).ok() ? 0 : 1);
    }
  for (pid_t child : children) {
    int state = 1;
    ::waitpid(child, &state, 0);
    EXPECT_EQ(state, 0);
  }
  EXPECT_TRUE(*readFile(folder / "x") == expected);
  EXPECT_EQ(filesIn(folder.path), files.size() + 2);
}

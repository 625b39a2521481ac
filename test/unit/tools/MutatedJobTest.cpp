// titan-compile on mutations of a job file: it compiles, or is refused with an error that names the
// option (or the line), the rule and what is legal. Machine code is left out: every phase that a
// value can reach runs.
#include "runtime/base/File.h"
#include "runtime/base/JobKeys.h"
#include "test/unit/TestFolder.h"
#include "test/unit/tools/TimeLimit.h"
#include "tools/CompileCommand.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

#include <random>

using namespace titan;

namespace {

constexpr int kSlices = 8;
constexpr unsigned kSeconds = 60;

/// TOML values that are wrong for some key, and at the edge of what is right for others.
constexpr const char *kValues[] = {"0",
                                   "-1",
                                   "1",
                                   "2",
                                   "3",
                                   "7",
                                   "256",
                                   "257",
                                   "4097",
                                   "536870912",
                                   "1000000000",
                                   "9223372036854775807",
                                   "-9223372036854775808",
                                   "99999999999999999999",
                                   "0.0",
                                   "-0.0",
                                   "0.5",
                                   "1e-300",
                                   "1e9",
                                   "1e300",
                                   "1e999",
                                   "nan",
                                   "inf",
                                   "-inf",
                                   "true",
                                   "false",
                                   "\"\"",
                                   "\"x\"",
                                   "\"\\u0001\\uFFFF\"",
                                   "[]",
                                   "[1, \"a\"]",
                                   "[[[]]]",
                                   "{a = 1}",
                                   "1979-05-27",
                                   "nothing",
                                   "\"open",
                                   ""};

struct MutatedJob : testing::TestWithParam<int> {
  void SetUp() override {
    auto text = readFile(std::filesystem::path(TITAN_JOBS) / "quickstart.toml");
    ASSERT_TRUE(text.ok());
    // One layer goes through the same code as four.
    const size_t layers = text->find("n_layers = 4");
    ASSERT_NE(layers, std::string::npos);
    text->replace(layers, 12, "n_layers = 1");
    for (const std::string &line : splitLines(*text))
      lines.push_back(line);
  }

  static std::vector<std::string> splitLines(const std::string &text) {
    std::vector<std::string> parts;
    llvm::SmallVector<llvm::StringRef> split;
    llvm::StringRef(text).split(split, '\n');
    for (llvm::StringRef line : split)
      parts.push_back(line.str());
    return parts;
  }

  /// The section of each line, and the key that it sets if it sets one.
  std::string keyOf(size_t index) const {
    std::string section;
    for (size_t i = 0; i <= index; ++i)
      if (lines[i].starts_with("["))
        section = lines[i].substr(1, lines[i].find(']') - 1);
    const size_t equals = lines[index].find(" = ");
    if (lines[index].starts_with("#") || equals == std::string::npos)
      return "";
    return section + "." + lines[index].substr(0, equals);
  }

  /// Compiles to instructions. An error must name one of `names`, and say what would be right.
  void compile(const std::string &text, llvm::ArrayRef<std::string> names, const std::string &what,
               std::vector<std::string> arguments = {}) {
    const std::string job = folder.write("job.toml", text).string();
    arguments.insert(arguments.end(), {job, "--compile-to=exec", "--report"});
    test::TimeLimit limit(kSeconds);
    const Status status = compileCommand(arguments, logger, llvm::nulls());
    ++(status.ok() ? compiled : refused);
    if (status.ok())
      return;
    const std::string &message = status.message();
    const bool named = llvm::any_of(
        names, [&](const std::string &name) { return message.find(name) != std::string::npos; });
    EXPECT_TRUE(named) << what << ": " << message;
    constexpr const char *kRules[] = {"must ",   "expected ",    "legal is ",   "there are ",
                                      "such as", "did you mean", "broken TOML", "unknown key"};
    const bool helps = llvm::any_of(
        kRules, [&](const char *rule) { return message.find(rule) != std::string::npos; });
    EXPECT_TRUE(helps) << what << ": " << message;
    // A phase or a verifier of IR is not where a user's mistake may come to light.
    EXPECT_EQ(message.find("phase "), std::string::npos) << what << ": " << message;
    EXPECT_EQ(message.find("see current operation"), std::string::npos) << what << ": " << message;
  }

  std::string place() const { return (folder / "job.toml").string() + ":"; }

  test::TestFolder folder;
  Logger logger = Logger::silent();
  std::vector<std::string> lines;
  int compiled = 0, refused = 0;
};

} // namespace

TEST_P(MutatedJob, EveryValue) {
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::string key = keyOf(i);
    if (key.empty() || static_cast<int>(i % kSlices) != GetParam())
      continue;
    for (const char *value : kValues) {
      std::vector<std::string> changed = lines;
      changed[i] = lines[i].substr(0, lines[i].find(" = ") + 3) + value;
      const std::string text = llvm::join(changed, "\n");
      compile(text, {key, place() + std::to_string(i + 1)}, key + " = " + value);
    }
  }
  EXPECT_GT(refused, 10);
  EXPECT_GT(compiled, 0);
}

TEST_P(MutatedJob, EveryLineDeletedOrTwice) {
  for (size_t i = 0; i < lines.size(); ++i) {
    if (static_cast<int>(i % kSlices) != GetParam())
      continue;
    for (const size_t copies : {0, 2}) {
      std::vector<std::string> changed = lines;
      changed.erase(changed.begin() + static_cast<ptrdiff_t>(i));
      changed.insert(changed.begin() + static_cast<ptrdiff_t>(i), copies, lines[i]);
      compile(llvm::join(changed, "\n"), {place(), "model.", "training.", "validation."},
              std::to_string(copies) + " times: " + lines[i]);
    }
  }
  EXPECT_GT(compiled, 0);
}

TEST_P(MutatedJob, EveryCompileTimeKeyAsAnOption) {
  const std::string text = llvm::join(lines, "\n");
  const std::vector<JobKey> keys = jobKeys();
  for (size_t i = 0; i < keys.size(); ++i) {
    if (keys[i].phase != KeyPhase::compileTime || static_cast<int>(i % kSlices) != GetParam())
      continue;
    for (const char *value : {"", "0", "-1", "1", "3", "1000000000", "9223372036854775808", "nan",
                              "inf", "1e300", "true", "none", "x,y"}) {
      const std::string option = keys[i].fullName();
      compile(text, {option}, option + "=" + value, {"--" + option + "=" + value});
    }
  }
  EXPECT_GT(refused, 0);
}

/// Several mutations at once, bytes and cuts included.
TEST_P(MutatedJob, Random) {
  std::mt19937 random(test::seedOf(GetParam()));
  const auto below = [&](size_t limit) { return random() % limit; };
  for (int round = 0; round < 40; ++round) {
    std::vector<std::string> changed = lines;
    for (size_t change = 0; change <= below(3); ++change) {
      const size_t at = below(changed.size()), other = below(changed.size());
      const size_t equals = changed[at].find(" = ");
      if (below(3) == 0)
        std::swap(changed[at], changed[other]);
      else if (equals != std::string::npos)
        changed[at] = changed[at].substr(0, equals + 3) + kValues[below(std::size(kValues))];
    }
    std::string text = llvm::join(changed, "\n");
    if (below(4) == 0)
      text[below(text.size())] = static_cast<char>(below(256));
    if (below(8) == 0)
      text.resize(below(text.size()));
    compile(text, {place(), "model.", "training.", "validation."}, text);
  }
  EXPECT_GT(refused, 0);
}

INSTANTIATE_TEST_SUITE_P(Slices, MutatedJob, testing::Range(0, kSlices));

#include "runtime/data/DataCommand.h"

#include "test/unit/data/DataTestUtils.h"

using namespace titan;
using titan::test::TestFolder;
using Strings = std::vector<std::string>;

static StatusOr<std::string> run(const Strings &arguments) {
  Logger logger = Logger::silent();
  return runDataCommand(arguments, logger);
}

static std::string errorOf(const Strings &arguments) { return run(arguments).status().message(); }

TEST(DataCommand, BuildsAndInspects) {
  TestFolder folder;
  folder.write("in/a.txt", "text");
  const std::string output = folder / "deep/out.tokens";
  auto built = run({"build", "--output", output, folder / "in", folder / "in/*.txt"});
  ASSERT_TRUE(built.ok()) << built.status().message();
  EXPECT_EQ(built->find(output + ": 12 tokens of 2 bytes in 2 documents, vocabulary 258"), 0u);
  EXPECT_EQ(*run({"info", output}), *built);
  EXPECT_EQ(*run({"verify", output}), *built + "verified\n");
}

TEST(DataCommand, UsesATokenizer) {
  TestFolder folder;
  const std::string output = folder / "out";
  const std::string input = folder.write("a.txt", "text");
  auto built = run({"build", "--tokenizer=" TITAN_FIXTURE, "--output=" + output, input});
  ASSERT_TRUE(built.ok()) << built.status().message();
  EXPECT_NE(built->find("vocabulary 605"), std::string::npos);
}

TEST(DataCommand, NamesMistakes) {
  EXPECT_EQ(errorOf({}), "unknown command '', legal are build, info, verify and help");
  EXPECT_EQ(errorOf({"build", "x"}), "titan-data build needs --output FILE");
  EXPECT_EQ(errorOf({"build", "--output", "x"}),
            "titan-data build needs at least one file, folder or glob to read");
  EXPECT_EQ(errorOf({"build", "--output"}), "option --output: the value is missing");
  EXPECT_EQ(errorOf({"build", "--out", "x"}),
            "unknown option --out, legal are --output, --tokenizer, --separator and --threads");
  for (const char *threads : {"0", "-1", "1025", "99999999999999", "two", "2x", ""})
    EXPECT_EQ(errorOf({"build", "--output=x", "--threads", threads, "/etc/hostname"}),
              "option --threads: found '" + std::string(threads) + "', legal is 1 to 1024");
  EXPECT_EQ(errorOf({"build", "--output=/tmp", "/etc/hostname"}),
            "option --output: '/tmp' is a folder; give the name of a file to write");
  EXPECT_EQ(errorOf({"build", "--output=x", "/no/such"}),
            "cannot read '/no/such': no such file or directory");
  EXPECT_EQ(errorOf({"build", "--output=x", "--tokenizer=/no/such", "/etc/hostname"}).substr(0, 32),
            "option --tokenizer: cannot open ");
  EXPECT_EQ(errorOf({"info"}), "one token file is needed, found 0 arguments");
  EXPECT_NE(errorOf({"verify", "/etc/hostname"}).find("not a token file"), std::string::npos);
  EXPECT_EQ(run({"help"})->substr(0, 16), "titan-data build");
}

#include "compiler/CompileOptions.h"

#include <gtest/gtest.h>

namespace titan {
namespace {

StatusOr<CompileOptions> parse(std::vector<std::string> arguments) {
  return parseCompileOptions(arguments);
}

TEST(CompileOptionsTest, TakesAJobAndOverrides) {
  auto options = parse({"job.toml", "--training.seq_len", "64", "-o", "a.tbin", "--report",
                        "--compile-to=local", "--model.n_layers=3"});
  ASSERT_TRUE(options.ok()) << options.status().message();
  EXPECT_EQ(options->job, "job.toml");
  EXPECT_EQ(options->output, "a.tbin");
  EXPECT_EQ(options->compileTo, "local");
  EXPECT_TRUE(options->report);
  EXPECT_FALSE(options->timePasses);
  EXPECT_EQ(options->overrides,
            (std::vector<std::string>{"training.seq_len=64", "model.n_layers=3"}));
}

TEST(CompileOptionsTest, ValuesMayStandApart) {
  auto options =
      parse({"--compile-to", "step", "--world-size", "1", "--target", "cpu:x86-64-v3", "job.toml"});
  ASSERT_TRUE(options.ok()) << options.status().message();
  EXPECT_EQ(options->compileTo, "step");
  EXPECT_EQ(options->target, "cpu:x86-64-v3");
}

TEST(CompileOptionsTest, DeviceMemoryIsAnAmount) {
  auto options = parse({"job.toml", "--device-memory", "80GiB"});
  ASSERT_TRUE(options.ok()) << options.status().message();
  EXPECT_EQ(options->deviceMemory, 80LL << 30);
}

TEST(CompileOptionsTest, HelpNeedsNoJob) {
  auto options = parse({"--help"});
  ASSERT_TRUE(options.ok());
  EXPECT_TRUE(options->help);
  EXPECT_NE(compileUsage().find("--compile-to PHASE"), std::string::npos);
}

struct BadArguments {
  std::vector<std::string> arguments;
  const char *message;
};

class BadArgumentsTest : public testing::TestWithParam<BadArguments> {};

TEST_P(BadArgumentsTest, AreRefused) {
  auto options = parse(GetParam().arguments);
  ASSERT_FALSE(options.ok());
  EXPECT_EQ(options.status().message(), GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    CompileOptionsTest, BadArgumentsTest,
    testing::Values(
        BadArguments{{}, "no job file; say titan-compile JOB.toml, or --help"},
        BadArguments{{"a.toml", "b.toml"}, "b.toml is a second job file, after a.toml; give one"},
        BadArguments{{"a.toml", "--reprot"}, "--reprot is no option; --help lists them"},
        BadArguments{{"a.toml", "--time-passes=1"}, "--time-passes takes no value"},
        BadArguments{{"a.toml", "--device-memory=80gigs"},
                     "--device-memory: \"80gigs\" is no amount of memory: a positive number and "
                     "KiB, MiB, GiB, TiB, KB, MB, GB or TB, such as \"40GiB\""},
        BadArguments{{"a.toml", "--report=pdf"},
                     "--report=pdf is no form of a report; there are --report, --report=html and "
                     "--report=html:FILE"},
        BadArguments{{"a.toml", "--report=html", "-o", "a.html"},
                     "-o a.html is where the page of --report=html goes too; give the page another "
                     "name, such as --report=html:report.html"},
        BadArguments{{"a.toml", "-o"}, "-o needs a value: -o FILE"},
        BadArguments{{"a.toml", "-o", ""}, "-o needs the name of a file, such as -o model.tbin"},
        BadArguments{
            {"a.toml", "--compile-to=fused"},
            "--compile-to fused is no phase; there are graph, sharded, step, device, local, "
            "kernels, exec"},
        BadArguments{{"a.toml", "--target=cuda:sm_75"},
                     "--target cuda:sm_75 is no target; there are cpu (this machine's instruction "
                     "set), cpu:x86-64-v2, cpu:x86-64-v3, cpu:x86-64-v4, cuda:sm_80, cuda:sm_90, "
                     "cuda:sm_100 and cuda:sm_120"},
        BadArguments{{"a.toml", "--world-size", "two"},
                     "--world-size two is not a number of ranks, such as --world-size 1"}));

} // namespace
} // namespace titan

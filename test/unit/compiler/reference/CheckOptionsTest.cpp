#include "compiler/reference/CheckCommand.h"

#include <gtest/gtest.h>

namespace titan {
namespace {

std::string getError(std::vector<const char *> arguments) {
  auto options = parseCheckOptions(arguments);
  return options.ok() ? "" : options.status().message();
}

TEST(CheckOptionsTest, ReadsBothSpellingsOfValues) {
  auto options = parseCheckOptions({"a.mlir", "--function", "f", "--against=g", "--tolerance=1e-3",
                                    "--mode", "typed", "--seed", "5", "--int-max", "9"});
  ASSERT_TRUE(options.ok()) << options.status().message();
  EXPECT_EQ(options->files, std::vector<std::string>{"a.mlir"});
  EXPECT_EQ(options->function, "f");
  EXPECT_EQ(options->against, "g");
  EXPECT_EQ(options->tolerance, 1e-3);
  EXPECT_EQ(options->precision, Precision::typed);
  EXPECT_EQ(options->seed, 5u);
  EXPECT_EQ(options->intLimit, 9);
}

TEST(CheckOptionsTest, MistakesNameTheOption) {
  EXPECT_EQ(getError({}), "expects one or two files, found 0");
  EXPECT_EQ(getError({"a"}), "expects one of --function, --step, --gradients and --golden");
  EXPECT_EQ(getError({"a", "b", "--step", "--gradients"}),
            "expects one of --function, --step, --gradients and --golden");
  EXPECT_EQ(getError({"a", "--step"}), "--step: expects two files to compare, found one");
  EXPECT_EQ(getError({"a", "b", "--step", "--steps", "0"}), "--steps: expects at least 1, found 0");
  EXPECT_EQ(getError({"a", "--function", "f"}),
            "--function: expects a second file or --against to compare with");
  EXPECT_EQ(getError({"a", "b", "--golden", "g"}), "--golden: expects one file, found two");
  EXPECT_EQ(getError({"a", "--seed", "x"}), "--seed: expects a number such as 1, found 'x'");
  EXPECT_EQ(getError({"a", "--seed"}), "--seed: expects a value");
  EXPECT_EQ(getError({"a", "--mode", "exact"}), "--mode: expects ideal or typed, found 'exact'");
  EXPECT_EQ(getError({"a", "--sed=1"}), "there is no option '--sed'; --help lists them");
}

} // namespace
} // namespace titan

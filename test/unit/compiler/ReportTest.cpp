#include "compiler/report/Report.h"

#include <gtest/gtest.h>

namespace titan {
namespace {

TEST(ReportTest, WritesNumbersForPeople) {
  EXPECT_EQ(withSeparators(0), "0");
  EXPECT_EQ(withSeparators(999), "999");
  EXPECT_EQ(withSeparators(1000), "1,000");
  EXPECT_EQ(withSeparators(405853388800), "405,853,388,800");
  EXPECT_EQ(withSeparators(-1234), "-1,234");
  EXPECT_EQ(withSeparators(-123), "-123");
  EXPECT_EQ(humanBytes(17), "17 B");
  EXPECT_EQ(humanBytes(1024), "1.00 KiB");
  EXPECT_EQ(humanBytes(int64_t(3) << 29), "1.50 GiB");
}

TEST(ReportTest, FlopsFollowTheFormulas) {
  // The debug model at sequence 2048.
  const ModelFacts facts = {.parameters = 6'163'712,
                            .inputEmbedding = 524'288,
                            .normWeights = 3'328,
                            .attentionFlops = 12 * 6 * 256 * 2048,
                            .tokens = 8 * 2048};
  EXPECT_EQ(facts.flopsPerToken(), 71'585'280);
  EXPECT_EQ(facts.weightProductFlops(), int64_t(6) * 5'636'096 * 16384);
}

TEST(ReportTest, SaysWhenTheProductsDoNotAddUp) {
  Report report;
  report.model = {.parameters = 10, .inputEmbedding = 0, .normWeights = 0, .tokens = 2};
  report.einsumFlops = {120};
  EXPECT_NE(renderReport(report).find("= 6 x (parameters"), std::string::npos);
  report.einsumFlops = {121};
  EXPECT_NE(renderReport(report).find("121  but 6 x (parameters - norm weights - input embedding) "
                                      "x tokens = 120"),
            std::string::npos);
}

TEST(ReportTest, AddsUpMemory) {
  Report report;
  report.memory.segments = {{.name = "parameters", .bytes = 1 << 20},
                            {.name = "scratch", .bytes = 1 << 10}};
  report.memory.residualClasses = {
      {.name = "fwd_to_bwd", .bytes = 4096, .slots = 2, .slotBytes = 2048}};
  report.memory.largest = {{.base = "parameters", .name = "output.weight", .bytes = 1 << 19}};
  EXPECT_EQ(report.memory.totalBytes(), (1 << 20) + (1 << 10));
  const std::string text = renderReport(report);
  EXPECT_NE(text.find("1,049,600"), std::string::npos);
  EXPECT_NE(text.find("2 x 2.00 KiB"), std::string::npos);
  EXPECT_NE(text.find("output.weight"), std::string::npos);
}

} // namespace
} // namespace titan

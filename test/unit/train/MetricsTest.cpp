#include "runtime/train/Metrics.h"

#include "runtime/base/File.h"
#include "test/unit/TestFolder.h"

#include <nlohmann/json.hpp>

#include <cmath>

using namespace titan;

static const StepRecord kRecord = {.step = 7,
                                   .loss = 5.43212,
                                   .gradNorm = 1.25,
                                   .lr = 3e-4,
                                   .tokensSeen = 70000,
                                   .tokensSinceLog = 2'469'135,
                                   .stepsSinceLog = 4,
                                   .secondsSinceLog = 2,
                                   .dataSecondsSinceLog = 0.5,
                                   .memory = 3ull << 29};

// Flops per token that torchtitan v0.2.2 prints for these sizes.
TEST(Metrics, FlopsPerToken) {
  const ModelSize debugModel = {6'163'712, 2048 * 256, 6, 16, 16, 2048};
  EXPECT_NEAR(flopsPerToken(debugModel), 7.1585e7, 1e3);
  const ModelSize big = {8'030'261'248, 128256ll * 4096, 32, 32, 128, 8192};
  EXPECT_NEAR(flopsPerToken(big), 5.7914e10, 1e6);
  const ModelSize biggest = {405'853'388'800, 128256ll * 16384, 126, 128, 128, 8192};
  EXPECT_NEAR(flopsPerToken(biggest), 2.6254e12, 1e8);
}

TEST(Metrics, Formulas) {
  const MetricsContext context = {.flopsPerToken = 1e9,
                                  .peakFlops = 989e12,
                                  .nonDataParallelSize = 2,
                                  .memoryCapacity = 3ull << 30};
  const StepMetrics metrics = computeMetrics(context, kRecord);
  EXPECT_DOUBLE_EQ(metrics.tps, 2'469'135 / 4.0);
  EXPECT_DOUBLE_EQ(metrics.tflops, 2'469'135 / 4.0 / 1e3);
  EXPECT_DOUBLE_EQ(*metrics.mfu, 100 * 1e9 * (2'469'135 / 4.0) / 989e12);
  EXPECT_DOUBLE_EQ(metrics.secondsPerStep, 0.5);
  EXPECT_DOUBLE_EQ(metrics.dataSecondsPerStep, 0.125);
  EXPECT_DOUBLE_EQ(metrics.dataPercent, 25);
  EXPECT_DOUBLE_EQ(metrics.memoryGiB, 1.5);
  EXPECT_DOUBLE_EQ(metrics.memoryPercent, 50);
}

TEST(Metrics, ConsoleLine) {
  MetricsContext context = {.flopsPerToken = 1e9, .memoryCapacity = 3ull << 30};
  EXPECT_EQ(
      consoleLine(context, kRecord),
      "step:  7  loss:  5.4321  grad_norm:  1.2500  memory:  1.50GiB(50.00%)  tps: 1,234,568  "
      "tflops: 1,234.57  mfu: n/a  flops/token: 1.000e+09");
  context.peakFlops = 1e16;
  EXPECT_NE(consoleLine(context, kRecord).find("mfu: 12.35%"), std::string::npos);
  EXPECT_EQ(validationLine(context, kRecord),
            "validate step:  7  loss:  5.4321  memory:  1.50GiB(50.00%)  tps: 1,234,568");
}

TEST(Metrics, SmallNumbersHaveNoSeparators) {
  StepRecord record = kRecord;
  record.tokensSinceLog = 1999;
  const MetricsContext context = {.flopsPerToken = 1e9};
  EXPECT_NE(consoleLine(context, record).find("tps: 1,000  tflops: 1.00"), std::string::npos);
  record.tokensSinceLog = 1998;
  EXPECT_NE(consoleLine(context, record).find("tps: 999  tflops: 1.00"), std::string::npos);
}

TEST(Metrics, ColorsWrapTheSameText) {
  MetricsContext context = {.flopsPerToken = 1e9};
  const std::string plain = consoleLine(context, kRecord);
  context.color = true;
  std::string colored = consoleLine(context, kRecord);
  EXPECT_NE(colored, plain);
  for (size_t at; (at = colored.find('\033')) != std::string::npos;)
    colored.erase(at, colored.find('m', at) - at + 1);
  EXPECT_EQ(colored, plain);
}

TEST(Metrics, JsonKeepsFullPrecision) {
  const MetricsContext context = {.flopsPerToken = 1e9};
  StepRecord record = kRecord;
  record.loss = 6.795882784504766;
  const auto object = nlohmann::json::parse(jsonLine(context, record), nullptr, false);
  ASSERT_TRUE(object.is_object());
  EXPECT_EQ(object["loss"].get<double>(), record.loss);
  EXPECT_EQ(object["step"], 7);
  EXPECT_EQ(object["tokens"], 70000);
  EXPECT_EQ(object["lr"].get<double>(), 3e-4);
  EXPECT_TRUE(object["mfu"].is_null());
  record.gradNorm = NAN;
  EXPECT_TRUE(nlohmann::json::parse(jsonLine(context, record))["grad_norm"].is_null());
  const auto validation = nlohmann::json::parse(validationJsonLine(context, record));
  EXPECT_EQ(validation["validation_loss"].get<double>(), record.loss);
}

TEST(Metrics, KnowsPeaks) {
  EXPECT_EQ(peakFlops("NVIDIA H100 80GB HBM3"), 989e12);
  EXPECT_EQ(peakFlops("NVIDIA H100 PCIe"), 756e12);
  EXPECT_EQ(peakFlops("NVIDIA H200"), 989e12);
  EXPECT_EQ(peakFlops("NVIDIA H20"), 148e12);
  EXPECT_EQ(peakFlops("NVIDIA GB200"), 2.5e15);
  EXPECT_FALSE(peakFlops("AMD EPYC 7B13 64-Core Processor"));
}

TEST(JsonlWriter, WritesLines) {
  test::TestFolder folder;
  {
    auto writer = JsonlWriter::create(folder / "new/metrics.jsonl");
    ASSERT_TRUE(writer.ok()) << writer.status().message();
    ASSERT_TRUE(writer->write("{}").ok());
    EXPECT_EQ(*readFile(folder / "new/metrics.jsonl"), "{}\n");
    ASSERT_TRUE(writer->write("{\"a\":1}").ok());
  }
  EXPECT_EQ(*readFile(folder / "new/metrics.jsonl"), "{}\n{\"a\":1}\n");
  EXPECT_FALSE(JsonlWriter::create(folder.path).ok());
}

TEST(JsonlWriter, ReportsAFullDisk) {
  auto writer = JsonlWriter::create("/dev/full");
  ASSERT_TRUE(writer.ok());
  EXPECT_FALSE(writer->write("{}").ok());
}

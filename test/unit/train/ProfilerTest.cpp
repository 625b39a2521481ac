#include "test/unit/train/SmallRun.h"

#include <nlohmann/json.hpp>

using namespace titan;
using nlohmann::json;
using titan::test::SmallRun;

namespace {

class ProfilerTest : public testing::Test {
protected:
  std::filesystem::path trace(int step) {
    return run->folder.path / "traces" / ("iteration_" + std::to_string(step)) / "rank0_trace.json";
  }

  json train(std::vector<std::string> options, int step) {
    options.insert(options.end(), {"validation.enable=false", "profiling.enable_profiling=true",
                                   "profiling.save_traces_folder=traces"});
    run.emplace(options, logger);
    const Status status = run->trainer->train();
    EXPECT_TRUE(status.ok()) << status.message();
    auto text = readFile(trace(step));
    EXPECT_TRUE(text.ok()) << text.status().message();
    return text.ok() ? json::parse(*text).at("traceEvents") : json();
  }

  Logger logger = Logger::silent();
  std::optional<SmallRun> run;
};

} // namespace

TEST_F(ProfilerTest, WritesTheLastStepsOfEachPeriod) {
  const json events =
      train({"training.steps=7", "profiling.profile_freq=3", "profiling.profiler_active=2"}, 6);
  EXPECT_TRUE(std::filesystem::exists(trace(3)));
  EXPECT_FALSE(std::filesystem::exists(trace(7)));
  std::vector<std::string> steps;
  for (const json &event : events)
    if (event.value("cat", "") == "step")
      steps.push_back(event.at("name"));
  EXPECT_EQ(steps, (std::vector<std::string>{"step 5", "step 6"}));
}

TEST_F(ProfilerTest, AnEventForEachEntryInItsStep) {
  // Two microbatches.
  const json events =
      train({"training.steps=1", "training.global_batch_size=8", "profiling.profile_freq=1"}, 1);
  std::vector<std::string> names;
  double at = 0;
  const json &step = events.at(1);
  for (const json &event : events) {
    names.push_back(event.at("name"));
    if (names.size() < 3) // a name for the rank, and the step
      continue;
    const double begin = event.at("ts"), end = begin + event.at("dur").get<double>();
    EXPECT_GE(begin, std::max(at, step.at("ts").get<double>()));
    EXPECT_LE(end, step.at("ts").get<double>() + step.at("dur").get<double>());
    EXPECT_EQ(event.at("args").at("step"), 1);
    at = begin;
  }
  EXPECT_EQ(names, (std::vector<std::string>{"process_name", "step 1", "prologue", "0F0", "0B0",
                                             "0F0", "0B0", "update"}));
}

// The bfloat16 copies of a program's parameters are those of the parameters, whatever has been
// done.
#include "test/unit/train/SmallRun.h"

#include <gmock/gmock.h>

using namespace titan;
using titan::test::SmallRun;
using titan::test::TestFolder;

namespace {

template <typename Number>
std::vector<Number> read(const Executor &executor, const std::string &name) {
  const VariableRef place = *executor.find(name);
  std::vector<Number> values(static_cast<size_t>(place.bytes) / sizeof(Number));
  EXPECT_TRUE(executor.read(place, std::as_writable_bytes(std::span(values))).ok());
  return values;
}

/// Parameters whose copies are not theirs.
std::vector<std::string> findStale(const Executor &executor) {
  const std::string prefix = "bf16.";
  std::vector<std::string> stale;
  size_t numCopies = 0, numParameters = 0;
  for (const format::Variable &variable : executor.program().variables) {
    numParameters += variable.role == format::Role::parameter;
    if (!variable.name.starts_with(prefix))
      continue;
    EXPECT_EQ(variable.role, format::Role::derived);
    ++numCopies;
    const std::string name = variable.name.substr(prefix.size());
    std::vector<uint16_t> expected;
    for (const float value : read<float>(executor, name))
      expected.push_back(toBFloat16(value));
    if (read<uint16_t>(executor, variable.name) != expected)
      stale.push_back(name);
  }
  EXPECT_EQ(numCopies, numParameters);
  return stale;
}

void fill(Executor &executor, const char *name, float value) {
  const VariableRef place = *executor.find(name);
  const std::vector<float> values(static_cast<size_t>(place.bytes) / sizeof(float), value);
  EXPECT_TRUE(executor.write(place, std::as_bytes(std::span(values))).ok());
}

} // namespace

TEST(Copies, AreThoseOfTheParameters) {
  Logger logger = Logger::silent();
  const TestFolder folder;
  const std::string file = (folder.path / "parameters.safetensors").string();
  SmallRun run({"training.steps=2", "debug.dump_parameters=" + file}, logger, TITAN_PROGRAM_BF16);
  Executor &executor = run.trainer->getExecutor();
  EXPECT_THAT(findStale(executor), testing::IsEmpty());
  const std::vector<uint16_t> first = read<uint16_t>(executor, "bf16.tok_embeddings.weight");
  ASSERT_TRUE(run.trainer->train().ok());
  EXPECT_THAT(findStale(executor), testing::IsEmpty());
  EXPECT_NE(read<uint16_t>(executor, "bf16.tok_embeddings.weight"), first);

  fill(executor, "norm.weight", 3);
  EXPECT_THAT(findStale(executor), testing::ElementsAre("norm.weight"));
  EXPECT_TRUE(executor.refresh().ok());
  EXPECT_THAT(findStale(executor), testing::IsEmpty());

  const SmallRun loaded({"debug.seed=2", "checkpoint.initial_load_path=" + file}, logger,
                        TITAN_PROGRAM_BF16);
  EXPECT_THAT(findStale(loaded.trainer->getExecutor()), testing::IsEmpty());
}

TEST(Copies, StayAsTheyAreInAStepThatIsNotFinite) {
  Logger logger = Logger::silent();
  SmallRun run({"training.steps=1"}, logger, TITAN_PROGRAM_BF16);
  Executor &executor = run.trainer->getExecutor();
  fill(executor, "layers.1.feed_forward.w3.weight", 3e38f); // finite, but no sums of it
  ASSERT_TRUE(executor.refresh().ok());
  const std::string message = run.trainer->train().message();
  EXPECT_THAT(message, testing::HasSubstr("the parameters are those before the step"));
  EXPECT_THAT(message,
              testing::HasSubstr("parameters used last: 'bf16.layers.1.feed_forward.w3.weight'"));
  EXPECT_THAT(findStale(executor), testing::IsEmpty());
}

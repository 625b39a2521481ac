#include "runtime/exec/NonFiniteSearch.h"

#include "test/unit/train/SmallRun.h"

#include <cmath>

using namespace titan;
using titan::test::SmallRun;

namespace {

/// Runs the search over a step of one microbatch.
std::string search(Executor &executor) {
  NonFiniteSearch search(executor, "finite");
  const uint32_t timeline = *executor.findTimeline("train");
  for (Section section : {Section::prologue, Section::body, Section::epilogue}) {
    auto goOn = search.run(timeline, section);
    EXPECT_TRUE(goOn.ok()) << goOn.status().message();
    if (!goOn.ok() || !*goOn)
      break;
  }
  return search.found();
}

std::vector<float> read(Executor &executor, const char *name) {
  const VariableRef place = *executor.find(name);
  std::vector<float> values(static_cast<size_t>(place.variable->view.numElements()));
  EXPECT_TRUE(executor.read(place, std::as_writable_bytes(std::span(values))).ok());
  return values;
}

void write(Executor &executor, const char *name, const std::vector<float> &values) {
  const VariableRef place = *executor.find(name);
  EXPECT_TRUE(executor.write(place, std::as_bytes(std::span(values))).ok());
}

class NonFinite : public testing::Test {
protected:
  Logger logger = Logger::silent();
  SmallRun run{{"training.steps=1"}, logger};
  Executor &executor = run.trainer->getExecutor();

  void SetUp() override { ASSERT_TRUE(run.trainer->train().ok()); }
};

} // namespace

TEST_F(NonFinite, AHealthyStepHasNone) {
  const std::vector<float> before = read(executor, "norm.weight");
  EXPECT_EQ(search(executor), "");
  // The search ends where the flag is written: nothing has been updated.
  EXPECT_EQ(read(executor, "norm.weight"), before);
}

TEST_F(NonFinite, EachParameterIsFound) {
  for (const format::Variable &variable : executor.program().variables) {
    if (variable.role != format::Role::parameter)
      continue;
    const std::vector<float> healthy = read(executor, variable.name.c_str());
    std::vector<float> bad = healthy;
    // Of the embedding, a row that the text has: that of a digit.
    const size_t place = variable.name == "tok_embeddings.weight" ? '1' * 32 + 5 : bad.size() - 1;
    bad[place] = NAN;
    write(executor, variable.name.c_str(), bad);
    EXPECT_EQ(search(executor).find("parameter '" + variable.name + "' is nan at ["), 0u)
        << variable.name << ": " << search(executor);
    write(executor, variable.name.c_str(), healthy);
  }
  EXPECT_EQ(search(executor), "");
}

TEST_F(NonFinite, AnOverflowIsFoundWhereItHappens) {
  const char *name = "layers.1.feed_forward.w3.weight";
  const std::vector<float> values(read(executor, name).size(), 3e38f); // finite, but no sums of it
  write(executor, name, values);
  const std::string found = search(executor);
  EXPECT_EQ(found.find("instruction "), 0u) << found;
  EXPECT_NE(found.find(" (gemm of layers.1.feed_forward.w3) of function 'fwd' writes "),
            std::string::npos)
      << found;
  EXPECT_NE(found.find("parameters used last: "), std::string::npos) << found;
  EXPECT_NE(found.find("'layers.1.feed_forward.w3.weight'"), std::string::npos) << found;
}

#include "test/unit/exec/ExecProgram.h"

#include "runtime/device/cpu/CpuDevice.h"
#include "runtime/exec/Executor.h"

#include <gtest/gtest.h>

#include <cmath>

using namespace titan;

namespace {

class ExecutorTest : public testing::Test {
protected:
  std::unique_ptr<Executor> load(const ExecutorOptions &options = {}) {
    EXPECT_TRUE(format::verifyProgram(program).ok()) << format::verifyProgram(program).message();
    auto executor = Executor::load(program, device, options);
    EXPECT_TRUE(executor.ok()) << executor.status().message();
    return executor.ok() ? *std::move(executor) : nullptr;
  }

  /// Runs one step on x = 1 in slot 0 and x = 3 in slot 1.
  float step(Executor &executor) {
    for (int64_t slot : {0, 1}) {
      const std::vector<float> x(32, slot == 0 ? 1.0f : 3.0f);
      EXPECT_TRUE(executor.write(*executor.find("x", slot), std::as_bytes(std::span(x))).ok());
    }
    const uint32_t train = *executor.findTimeline("train");
    for (Section section : {Section::prologue, Section::body, Section::epilogue}) {
      const Status status = executor.run(train, section);
      EXPECT_TRUE(status.ok()) << status.message();
    }
    float total = NAN;
    EXPECT_TRUE(
        executor.read(*executor.find("total"), std::as_writable_bytes(std::span(&total, 1))).ok());
    return total;
  }

  std::string image = readTestKernels();
  format::Program program = execProgram(image);
  cpu::CpuDevice device{2};
};

} // namespace

// Each of 32 elements of h is 2 * 8 * x; both microbatches.
constexpr float kTotal = 32 * 16 * (1 + 3);

TEST_F(ExecutorTest, RunsATimelineOverSlots) {
  auto executor = load();
  ASSERT_TRUE(executor->initialize(1).ok());
  EXPECT_EQ(step(*executor), kTotal);
  EXPECT_EQ(step(*executor), kTotal);
}

TEST_F(ExecutorTest, BodyAccumulatesUntilThePrologue) {
  auto executor = load();
  ASSERT_TRUE(executor->initialize(1).ok());
  step(*executor);
  ASSERT_TRUE(executor->run(0, Section::body).ok());
  float total = 0;
  ASSERT_TRUE(
      executor->read(*executor->find("total"), std::as_writable_bytes(std::span(&total, 1))).ok());
  EXPECT_EQ(total, 2 * kTotal);
}

TEST_F(ExecutorTest, PoisonDoesNotDisturbASoundProgram) {
  auto executor = load({.poison = true});
  ASSERT_TRUE(executor->initialize(1).ok());
  EXPECT_EQ(step(*executor), kTotal);
  EXPECT_EQ(step(*executor), kTotal);
}

TEST_F(ExecutorTest, PoisonShowsAReadOfDeadMemory) {
  // fwd reads its scratch in a second gemm that adds to what no instruction wrote.
  std::get<format::Gemm>(program.functions[1].instructions[0]).accumulate = true;
  auto plain = load();
  ASSERT_TRUE(plain->initialize(1).ok());
  auto poisoned = load({.poison = true});
  ASSERT_TRUE(poisoned->initialize(1).ok());
  EXPECT_FALSE(std::isnan(step(*plain)));
  EXPECT_TRUE(std::isnan(step(*poisoned)));
}

TEST_F(ExecutorTest, PoisonShowsAReadOfAReleasedSlot) {
  // Microbatch 0's backward comes last and reads the slot that microbatch 1 has given up.
  auto &body = program.timelines[0].body;
  body = {body[1], body[3], body[1], body[3]};
  body[2].microbatch = body[3].microbatch = 2;
  body[2].function = 0; // does not write the slot
  auto executor = load({.poison = true});
  ASSERT_TRUE(executor->initialize(1).ok());
  EXPECT_TRUE(std::isnan(step(*executor)));
}

TEST_F(ExecutorTest, FindsVariablesAndSlots) {
  auto executor = load();
  EXPECT_EQ(executor->find("w")->bytes, 256);
  EXPECT_EQ(executor->find("x", 1)->data - executor->find("x", 0)->data, 128);
  EXPECT_EQ(executor->find("x", 2).status().message(),
            "slot 2 of residual class 'batch' does not exist");
  EXPECT_EQ(executor->find("y").status().message(), "the program has no variable 'y'");
  EXPECT_EQ(executor->findTimeline("evaluation").status().message(),
            "the program has no timeline 'evaluation'");
  const std::vector<std::byte> few(3);
  EXPECT_EQ(executor->write(*executor->find("w"), few).message(),
            "variable 'w' has 256 bytes, found 3");
}

TEST_F(ExecutorTest, RefusesAnotherTarget) {
  program.target = "cuda:sm_90";
  EXPECT_EQ(Executor::load(program, device).status().message(),
            "the program is for target 'cuda:sm_90', this device is 'cpu': compile the job again "
            "with --target=cpu");
}

TEST_F(ExecutorTest, NamesTheMissingFeature) {
  program.images[0].features = {"sse2", "warpdrive"};
  const Status status = Executor::load(program, device).status();
  EXPECT_EQ(status.code(), StatusCode::invalidArgument);
  EXPECT_NE(status.message().find("needs the processor feature 'warpdrive'"), std::string::npos);
}

TEST_F(ExecutorTest, NamesTheMissingSymbol) {
  program.kernels[0].stages[0].symbol = "nowhere";
  EXPECT_NE(Executor::load(program, device).status().message().find("nowhere"), std::string::npos);
}

TEST_F(ExecutorTest, RefusesAnImageThatIsNoLibrary) {
  program.images[0].contents = "not a shared object";
  EXPECT_EQ(Executor::load(program, device).status().code(), StatusCode::unavailable);
}

TEST_F(ExecutorTest, RefusesCollectivesOnOneRank) {
  program.mesh = {{"tp", 1}};
  program.functions[0].instructions.push_back(
      format::Start{format::Collective::allReduce, format::Reduction::sum, {"tp"}, -1, {0}, {0}});
  program.functions[0].instructions.push_back(format::Await{1});
  ASSERT_TRUE(format::verifyProgram(program).ok());
  EXPECT_EQ(Executor::load(program, device).status().message(),
            "timeline 'train': function 'prologue', instruction 1 (start): a collective needs the "
            "other ranks of the mesh, but there is one rank");
}

TEST_F(ExecutorTest, NamesTheInstructionThatFails) {
  // An embedding reads tokens, here the bits of 3.0f, which are far outside of the table.
  auto &fwd = program.functions[1];
  fwd.buffers.push_back({{2, 0, 0}, format::denseView(DType::i32, {4})});
  fwd.instructions.insert(fwd.instructions.begin(), format::Embedding{4, 1, 2});
  auto executor = load();
  ASSERT_TRUE(executor->initialize(1).ok());
  const std::vector<float> x(32, 3);
  for (int64_t slot : {0, 1})
    ASSERT_TRUE(executor->write(*executor->find("x", slot), std::as_bytes(std::span(x))).ok());
  const Status status = executor->run(0, Section::body);
  EXPECT_EQ(status.message().substr(0, 46), "function 'fwd', instruction 0 (embedding): emb")
      << status.message();
}

TEST_F(ExecutorTest, FillsAndCopiesStridedViews) {
  auto &f = program.functions[0];
  format::View left = format::denseView(DType::f32, {4, 8}); // columns of the weight
  left.strides = {16, 1};
  f.buffers.push_back({{3, format::kNone, 0}, left});
  f.buffers.push_back({{3, format::kNone, 1024}, format::denseView(DType::f32, {4, 8})});
  f.buffers.push_back({{0, format::kNone, 0}, format::denseView(DType::f32, {4, 8})});
  f.instructions.push_back(format::Fill{1, 2.5});
  f.instructions.push_back(format::Copy{1, 2});
  f.instructions.push_back(format::Copy{2, 3});
  f.instructions.push_back(format::CheckFinite{{1, 2}, 0});
  auto executor = load({.poison = true});
  ASSERT_TRUE(executor->initialize(1).ok());
  ASSERT_TRUE(executor->run(0, Section::prologue).ok());
  std::vector<float> w(64);
  ASSERT_TRUE(executor->read(*executor->find("w"), std::as_writable_bytes(std::span(w))).ok());
  for (size_t i = 0; i < 64; ++i)
    EXPECT_EQ(w[i], i < 32 ? 2.5f : 1.0f) << i;
  float flag = 0;
  ASSERT_TRUE(
      executor->read(*executor->find("total"), std::as_writable_bytes(std::span(&flag, 1))).ok());
  EXPECT_EQ(flag, 1);
}

TEST_F(ExecutorTest, CheckFiniteFindsOneNan) {
  auto &f = program.functions[0];
  f.buffers.push_back({{0, format::kNone, 0}, format::denseView(DType::f32, {8, 8})});
  f.instructions = {format::CheckFinite{{1}, 0}};
  auto executor = load();
  ASSERT_TRUE(executor->initialize(1).ok());
  std::vector<float> w(64, 1);
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    w[63] = bad;
    ASSERT_TRUE(executor->write(*executor->find("w"), std::as_bytes(std::span(w))).ok());
    ASSERT_TRUE(executor->run(0, Section::prologue).ok());
    float flag = 2;
    ASSERT_TRUE(
        executor->read(*executor->find("total"), std::as_writable_bytes(std::span(&flag, 1))).ok());
    EXPECT_EQ(flag, 0);
  }
}

TEST_F(ExecutorTest, ReportsItsMemory) {
  auto executor = load();
  int64_t total = 0;
  for (const MemoryItem &item : executor->memory())
    if (item.name != "workspace")
      total += item.bytes;
  EXPECT_EQ(total, 1024 + 64 + 2048 + 4096);
}

// A step allocates nothing.
#include "test/unit/exec/AllocationCounter.h"
#include "test/unit/exec/ExecProgram.h"

#include "runtime/device/cpu/CpuDevice.h"
#include "runtime/exec/Executor.h"

#include <gtest/gtest.h>

#include <malloc.h>
#include <memory>

using namespace titan;

TEST(Allocation, TheCounterCounts) {
  const int64_t before = allocationCount();
  auto owned = std::make_unique<std::vector<int>>(1000);
  EXPECT_GE(allocationCount(), before + 2);
}

/// One function with every instruction that a hand-written kernel serves, in sizes that use all of
/// their paths: several blocks, several threads.
static format::Program libraryProgram() {
  using namespace format;
  const View q = denseView(DType::f32, {2, 200, 4, 32}),
             kv = denseView(DType::f32, {2, 200, 2, 32});
  const View rows = denseView(DType::f32, {2, 200, 128});
  const View lse = denseView(DType::f32, {2, 4, 200}), tokens = denseView(DType::i32, {2, 200});
  const View weight = denseView(DType::f32, {300, 128}), flag = denseView(DType::f32, {});
  Program p;
  p.target = "cpu";
  p.segments = {{"scratch", 1 << 22, Space::device}};
  Function f{"all", false, {}, {}, {}};
  int64_t offset = 0;
  for (const View &view :
       {q, kv, q, lse, q, kv, rows, tokens, weight, flag, denseView(DType::f32, {400, 300})}) {
    f.buffers.push_back({{0, kNone, offset}, view});
    offset += (view.numElements() * 4 + 63) / 64 * 64;
  }
  f.instructions = {Fill{0, 0.5},
                    Fill{1, 0.25},
                    Attention{0, 1, 1, kNone, kNone, 2, 3, kNone, 0.125f, true},
                    AttentionGrad{0, 1, 1, kNone, kNone, 2, 3, 2, 4, 5, 5, kNone, 0.125f, true},
                    Embedding{7, 8, 6},
                    EmbeddingGrad{6, 7, 8},
                    Gemm{6, 8, 10, kNone, false, true, false, 400, 300, 128, 128, 128, 300},
                    Gemm{10, 8, 6, kNone, false, false, true, 400, 128, 300, 300, 128, 128},
                    Gemm{10, 6, 8, kNone, true, false, false, 300, 128, 400, 300, 128, 128},
                    CheckFinite{{6, 8}, 9}};
  p.functions = {f};
  p.timelines = {{"train", {{Mode::run, Letter::prologue, 0, 0, 0, {}}}, {}, {}}};
  return p;
}

TEST(Allocation, NoneInTheDevicesKernels) {
  const format::Program program = libraryProgram();
  ASSERT_TRUE(format::verifyProgram(program).ok()) << format::verifyProgram(program).message();
  cpu::CpuDevice device{2};
  auto executor = *Executor::load(program, device);
  ASSERT_TRUE(executor->run(0, Section::prologue).ok());
  const int64_t before = allocationCount();
  bool ok = true;
  for (int i = 0; i < 10; ++i)
    ok &= executor->run(0, Section::prologue).ok();
  // The portable fallback is oneDNN, which allocates for itself.
  if (cpu::bestIsa() != cpu::Isa::portable)
    EXPECT_EQ(allocationCount() - before, 0);
  EXPECT_TRUE(ok);
}

TEST(Allocation, NoneInAStep) {
  const std::string image = readTestKernels();
  const format::Program program = execProgram(image);
  cpu::CpuDevice device{2};
  auto executor = *Executor::load(program, device);
  ASSERT_TRUE(executor->initialize(1).ok());
  const std::vector<float> x(32, 1);
  const VariableRef slots[] = {*executor->find("x", 0), *executor->find("x", 1)};
  const VariableRef total = *executor->find("total");
  float sum = 0;
  auto step = [&] {
    bool ok = true;
    for (const VariableRef &slot : slots)
      ok &= executor->write(slot, std::as_bytes(std::span(x))).ok();
    for (Section section : {Section::prologue, Section::body, Section::body, Section::epilogue})
      ok &= executor->run(0, section).ok();
    ok &= executor->read(total, std::as_writable_bytes(std::span(&sum, 1))).ok();
    return ok;
  };
  ASSERT_TRUE(step()); // first calls may load lazily
  const int64_t before = allocationCount();
  const size_t heap = ::mallinfo2().uordblks;
  bool ok = true;
  for (int i = 0; i < 10; ++i)
    ok &= step();
  EXPECT_EQ(allocationCount() - before, 0);
  EXPECT_EQ(::mallinfo2().uordblks, heap);
  EXPECT_TRUE(ok);
  EXPECT_EQ(sum, 2 * 32 * 16 * 2.0f);
}

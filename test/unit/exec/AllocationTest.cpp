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

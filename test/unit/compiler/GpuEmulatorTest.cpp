// The emulator finds what it is for.
#include "test/unit/compiler/GpuEmulator.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Parser/Parser.h"

#include <gtest/gtest.h>

#include <numeric>

using namespace mlir;
using namespace titan::testing;

namespace {

/// Runs a body in two blocks of 64 threads; %t, %b and some constants are defined, %x is 128 floats
/// that count from 0, %s 64 shared ones.
std::string emulateBody(const std::string &body, std::vector<float> *memory = nullptr) {
  MLIRContext context;
  context.loadDialect<arith::ArithDialect, gpu::GPUDialect, memref::MemRefDialect,
                      NVVM::NVVMDialect, scf::SCFDialect, vector::VectorDialect>();
  const std::string source = R"(
    gpu.module @m {
      gpu.func @f(%x: memref<128xf32>)
          workgroup(%s: memref<64xf32, #gpu.address_space<workgroup>>) kernel {
        %t = gpu.thread_id x
        %b = gpu.block_id x
        %c0 = arith.constant 0 : index
        %c1 = arith.constant 1 : index
        %c64 = arith.constant 64 : index
        %c32 = arith.constant 32 : index
        %one = arith.constant 1.0 : f32
        %base = arith.muli %b, %c64 : index
        %own = arith.addi %base, %t : index
        %isFirst = arith.cmpi eq, %t, %c0 : index
    )" + body + "gpu.return } }";
  auto module = parseSourceString<ModuleOp>(source, &context);
  if (!module)
    return "does not parse";
  auto function = (*module->getOps<gpu::GPUModuleOp>().begin()).lookupSymbol<gpu::GPUFuncOp>("f");
  alignas(16) float data[128];
  std::iota(data, data + 128, 0.0f);
  const std::string failure = emulate({function, 2, 64, {data}});
  if (memory)
    memory->assign(data, data + 128);
  return failure.substr(0, failure.find(':'));
}

} // namespace

TEST(GpuEmulator, ThreadsExchangeThroughSharedMemoryAndShuffles) {
  std::vector<float> memory;
  EXPECT_EQ(emulateBody(R"(
        %v = memref.load %x[%own] : memref<128xf32>
        memref.store %v, %s[%t] : memref<64xf32, #gpu.address_space<workgroup>>
        gpu.barrier
        %c63 = arith.constant 63 : index
        %other = arith.subi %c63, %t : index
        %w = memref.load %s[%other] : memref<64xf32, #gpu.address_space<workgroup>>
        %i1 = arith.constant 1 : i32
        %i32 = arith.constant 32 : i32
        %z, %valid = gpu.shuffle xor %w, %i1, %i32 : f32
        memref.store %z, %x[%own] : memref<128xf32>
  )",
                        &memory),
            "");
  EXPECT_EQ(memory[0], 62);   // 63 - (0 xor 1)
  EXPECT_EQ(memory[65], 127); // 64 + 63 - (1 xor 1)
}

TEST(GpuEmulator, FindsRaces) {
  const char *swap = R"(
        memref.store %one, %s[%t] : memref<64xf32, #gpu.address_space<workgroup>>
        BETWEEN
        %c63 = arith.constant 63 : index
        %other = arith.subi %c63, %t : index
        %w = memref.load %s[%other] : memref<64xf32, #gpu.address_space<workgroup>>
  )";
  auto with = [&](const std::string &between) {
    std::string text = swap;
    return emulateBody(text.replace(text.find("BETWEEN"), 7, between));
  };
  EXPECT_EQ(with("gpu.barrier"), "");
  EXPECT_TRUE(StringRef(with("")).starts_with("two threads race"));
  // Threads of other warps are not ordered by a warp's barrier.
  EXPECT_TRUE(StringRef(with("%m = arith.constant -1 : i32 nvvm.bar.warp.sync %m : i32"))
                  .starts_with("two threads race"));
}

TEST(GpuEmulator, FindsRacesWithReadersAndOtherBlocks) {
  EXPECT_TRUE(StringRef(emulateBody(R"(
        %v = memref.load %x[%base] : memref<128xf32>
        scf.if %isFirst { memref.store %one, %x[%base] : memref<128xf32> }
  )"))
                  .starts_with("two threads race"));
  EXPECT_TRUE(StringRef(emulateBody("memref.store %one, %x[%t] : memref<128xf32>"))
                  .starts_with("two blocks race"));
}

TEST(GpuEmulator, FindsThreadsThatDoNotMeet) {
  EXPECT_EQ(emulateBody("scf.if %isFirst { gpu.barrier }"),
            "not all threads of a block reach its barrier");
  EXPECT_EQ(emulateBody(R"(
        %i1 = arith.constant 1 : i32
        %i32 = arith.constant 32 : i32
        scf.if %isFirst { %z, %valid = gpu.shuffle xor %one, %i1, %i32 : f32 }
  )"),
            "not all threads of a warp shuffle");
}

TEST(GpuEmulator, FindsBadAddresses) {
  EXPECT_TRUE(StringRef(emulateBody(R"(
        %at = arith.addi %own, %c1 : index
        %v = memref.load %x[%at] : memref<128xf32>
  )"))
                  .contains("out of bounds"));
  EXPECT_TRUE(StringRef(emulateBody(R"(
        %v = vector.load %x[%own] {alignment = 16 : i64} : memref<128xf32>, vector<4xf32>
  )"))
                  .contains("is not aligned"));
}

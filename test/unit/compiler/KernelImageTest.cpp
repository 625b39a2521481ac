// What holds for an image as a file, whatever the kernels compute.
#include "test/unit/compiler/KernelRunner.h"

#include "llvm/Object/ELFObjectFile.h"

#include <gtest/gtest.h>

using namespace titan;
using namespace titan::testing;

// Exponentials, logarithms, divisions, a zeroed partial sum, 16-bit storage: whatever might call a
// library.
static const char *const kSource = R"(
  func.func @f(%l: tensor<40x700xbf16>, %t: tensor<40xi32>, %d: tensor<f32>, %h: tensor<9xf16>,
               %x: tensor<40x64xf32>, %w: tensor<64xf32>, %r: tensor<40xf32>)
      -> (tensor<f32>, tensor<f32>, tensor<40x700xbf16>, tensor<9xf16>, tensor<40x64xf32>,
          tensor<64xf32>) {
    %loss, %valid, %dl = titan.cross_entropy_grad %l, %t, %d
        : (tensor<40x700xbf16>, tensor<40xi32>, tensor<f32>)
        -> (tensor<f32>, tensor<f32>, tensor<40x700xbf16>)
    %s = titan.silu %h : tensor<9xf16>
    %dx, %dw = titan.rms_norm_grad %x, %x, %w, %r : tensor<40x64xf32>, tensor<40x64xf32>,
        tensor<64xf32>, tensor<40xf32> -> tensor<40x64xf32>, tensor<64xf32>
    return %loss, %valid, %dl, %s, %dx, %dw : tensor<f32>, tensor<f32>, tensor<40x700xbf16>,
        tensor<9xf16>, tensor<40x64xf32>, tensor<64xf32>
  })";

static std::vector<std::string> undefinedSymbols(const std::vector<char> &elf) {
  llvm::StringRef bytes(elf.data(), elf.size());
  auto file = llvm::object::ObjectFile::createELFObjectFile(llvm::MemoryBufferRef(bytes, "image"));
  if (!file)
    return {llvm::toString(file.takeError())};
  std::vector<std::string> names;
  for (const auto &symbol :
       llvm::cast<llvm::object::ELFObjectFileBase>(**file).getDynamicSymbolIterators()) {
    auto flags = symbol.getFlags();
    auto name = symbol.getName();
    if (!flags || !name)
      return {"unreadable symbol"};
    if ((*flags & llvm::object::SymbolRef::SF_Undefined) && !name->empty())
      names.push_back(name->str());
  }
  return names;
}

TEST(KernelImage, HasNoUndefinedSymbols) {
  for (const char *cpu : {"x86-64-v3", "x86-64-v4"}) {
    KernelRunner runner(kSource, {false, false, cpu});
    ASSERT_FALSE(runner.image().elf.empty()) << cpu;
    EXPECT_EQ(undefinedSymbols(runner.image().elf), std::vector<std::string>()) << cpu;
  }
}

TEST(KernelImage, IsTheSameEachTime) {
  KernelRunner first(kSource), second(kSource);
  ASSERT_FALSE(first.image().elf.empty());
  EXPECT_TRUE(first.image().elf == second.image().elf);
}

TEST(KernelImage, NamesWhatItNeeds) {
  KernelRunner avx2(kSource, {false, false, "x86-64-v3"});
  EXPECT_NE(avx2.image().features.find("avx2"), std::string::npos);
  EXPECT_EQ(avx2.image().features.find("avx512"), std::string::npos);
  KernelRunner avx512(kSource, {false, false, "x86-64-v4"});
  EXPECT_NE(avx512.image().features.find("avx512f"), std::string::npos);
}

TEST(KernelImage, StagesAreFoundByTheirNames) {
  KernelRunner runner(kSource);
  ASSERT_TRUE(runner.ok());
  LoadedImage loaded(runner.image().elf);
  ASSERT_EQ(runner.image().kernels.size(), runner.plans().size());
  for (size_t kernel = 0; kernel < runner.plans().size(); ++kernel) {
    const auto &stages = runner.image().kernels[kernel];
    ASSERT_EQ(stages.size(), runner.plans()[kernel].blocks.size());
    for (size_t stage = 0; stage < stages.size(); ++stage) {
      EXPECT_EQ(stages[stage].blocks, runner.plans()[kernel].blocks[stage]);
      EXPECT_NE(loaded.lookup(stages[stage].symbol), nullptr) << stages[stage].symbol;
    }
  }
}

TEST(KernelImage, UnknownCpuIsAnError) {
  KernelRunner runner(kSource, {false, false, "pentium"});
  EXPECT_FALSE(runner.ok());
}

// The file: what is written is read back, and what is damaged is refused with a message.
#include "test/unit/format/TestProgram.h"

#include "runtime/format/Dump.h"
#include "runtime/format/ProgramFile.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

using namespace titan;
using namespace titan::format;

namespace {

uint64_t bufferSize(const std::string &bytes) {
  uint64_t size;
  std::memcpy(&size, bytes.data() + 24, 8);
  return size;
}

/// Refused with a message, or a program that verifies and dumps.
void expectNoCrash(std::string bytes, const std::string &what) {
  StatusOr<Program> program = readProgram(bytes);
  if (program.ok())
    EXPECT_FALSE(dumpProgram(*program).empty()) << what;
  else
    EXPECT_FALSE(program.status().message().empty()) << what;
}

} // namespace

TEST(ProgramFile, ReadsWhatItWrote) {
  const std::string bytes = writeProgram(testProgram());
  StatusOr<Program> program = readProgram(bytes);
  ASSERT_TRUE(program.ok()) << program.status().message();
  EXPECT_EQ(program->images[0].contents, "not really machine code");
  EXPECT_EQ(dumpProgram(*program), dumpProgram(testProgram()));
  EXPECT_EQ(writeProgram(*program), bytes);
}

TEST(ProgramFile, SavesAndOpens) {
  const auto path = std::filesystem::path(testing::TempDir()) / "program.tbin";
  ASSERT_TRUE(saveProgram(testProgram(), path).ok());
  auto file = ProgramFile::open(path);
  ASSERT_TRUE(file.ok()) << file.status().message();
  EXPECT_EQ(file->program().variables[0].name, "w");
  // Images are aligned for whoever maps them.
  EXPECT_EQ(reinterpret_cast<uintptr_t>(file->program().images[0].contents.data()) % 64, 0u);
  std::filesystem::remove(path);
  EXPECT_EQ(ProgramFile::open(path).status().code(), StatusCode::notFound);
}

TEST(ProgramFile, DumpNamesEverything) {
  const std::string text = dumpProgram(testProgram());
  for (const char *line :
       {"program target cpu flops_per_token 768\n", "mesh axis tp 1\n",
        "segment @residuals size 1024 in host\n",
        "residual_class @fwd_to_bwd in @residuals + 256 slots 2 bytes 256\n",
        "variable @w : 16x16xf32 role parameter in @parameters + 0 initializer "
        "truncated_normal(0, 0.02, -0.04, 0.04)\n",
        "image @cpu_kernels target x86-64 features avx2 fma bytes 23\n",
        "kernel @scale(read 4x16xf32, write 4x16xf32) stages scale_0[4] scale_1[1] flops 64 bytes "
        "512 image @cpu_kernels\n",
        "  0: launch @scale(%1, %2) from job.toml\n",
        "  1: gemm %1 %0^T into %2 m 4 n 16 k 16 lda 16 ldb 16 ldc 16 workspace %9 from job.toml\n",
        "variable @slice : 16xf32 role gradient in @parameters + 1088 of 6{}x4{tp} flat {pp} "
        "granule "
        "8\n",
        "variable @addend : 3xf32 role counter in @parameters + 1152 of 6{pp} partial {tp}\n",
        "initializer axis_index(512) over {pp, tp}\n",
        "  %0 = buffer @parameters + 0 rotated over {pp} stride 512 shift 1 : 8x16xf32\n",
        "  0: fill %0 with 0 when {pp, tp} is 1\n",
        "  9: start all_reduce sum over tp from(%1) to(%2) from job.toml\n", "  10: await 9\n",
        "  body start V @receive stage 0 microbatch 1 @fwd_to_bwd[1]\n"})
    EXPECT_NE(text.find(line), std::string::npos) << line << "not in\n" << text;
}

TEST(ProgramFile, NamesTheDamage) {
  const std::string good = writeProgram(testProgram());
  auto message = [&](size_t at, const char *bytes, size_t count, bool checksum = true) {
    std::string bad = good;
    std::memcpy(bad.data() + at, bytes, count);
    if (checksum)
      updateChecksum(bad);
    return readProgram(bad).status().message();
  };
  EXPECT_EQ(readProgram("").status().message(), "a program file has at least 64 bytes, found 0");
  EXPECT_EQ(message(1, "X", 1), "the first 8 bytes are not those of a program file (model.tbin)");
  EXPECT_EQ(message(8, "\x63", 1), "format version 99 is not " + std::to_string(kFormatVersion) +
                                       ", the one this build reads: compile the job again");
  EXPECT_EQ(message(12, "\x41", 1), "prefix size is 64, found 65");
  EXPECT_EQ(message(16, "\0\0\0\0\0\0\0\0", 8),
            "the file was written with 0 bytes, found " + std::to_string(good.size()));
  EXPECT_EQ(message(31, "\x01", 1).substr(0, 23), "the FlatBuffer's size 7");
  EXPECT_EQ(message(40, "\x01", 1), "byte 40 of the prefix is reserved and 0, found 1");
  EXPECT_EQ(message(200, "\xff", 1, false), "the checksum does not match: the file is damaged");
}

TEST(ProgramFile, SurvivesEveryFlippedByte) {
  const std::string good = writeProgram(testProgram());
  const size_t end = kPrefixSize + bufferSize(good);
  for (size_t at = 0; at < end; ++at)
    for (const uint8_t flip : {0x01, 0x80, 0xff}) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ flip);
      updateChecksum(bad);
      expectNoCrash(std::move(bad), "byte " + std::to_string(at));
    }
}

TEST(ProgramFile, RefusesEveryTruncation) {
  const std::string good = writeProgram(testProgram());
  for (size_t size = 0; size < good.size(); ++size) {
    std::string bad = good.substr(0, size);
    if (size >= kPrefixSize) {
      const uint64_t claimed = size;
      std::memcpy(bad.data() + 16, &claimed, 8);
      updateChecksum(bad);
    }
    const Status status = readProgram(bad).status();
    EXPECT_FALSE(status.ok()) << size;
    // The same with a FlatBuffer cut to what is left.
    if (size >= kPrefixSize && size < kPrefixSize + bufferSize(good)) {
      const uint64_t left = size - kPrefixSize;
      std::memcpy(bad.data() + 24, &left, 8);
      updateChecksum(bad);
      expectNoCrash(std::move(bad), "size " + std::to_string(size));
    }
  }
}

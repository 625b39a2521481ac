#include "runtime/base/ByteSize.h"

#include <gtest/gtest.h>

using namespace titan;

TEST(ByteSize, ReadsUnitsOf1024AndOf1000) {
  EXPECT_EQ(*parseByteSize("4096"), 4096);
  EXPECT_EQ(*parseByteSize("17B"), 17);
  EXPECT_EQ(*parseByteSize("2KiB"), 2048);
  EXPECT_EQ(*parseByteSize("1.5 MiB"), 1572864);
  EXPECT_EQ(*parseByteSize("40GiB"), 40LL << 30);
  EXPECT_EQ(*parseByteSize("80GB"), 80'000'000'000);
  EXPECT_EQ(*parseByteSize("1TiB"), 1LL << 40);
}

TEST(ByteSize, RefusesWhatIsNoAmount) {
  for (const char *text : {"", "GiB", "40gib", "40 G", "-1GiB", "0", "0.5", "nan", "inf", "1e3",
                           "9e18TiB", "99999999TiB", "4GiB ", "0x10", "1,5GiB"}) {
    const StatusOr<int64_t> size = parseByteSize(text);
    ASSERT_FALSE(size.ok()) << text;
    EXPECT_EQ(size.status().message(),
              "\"" + std::string(text) +
                  "\" is no amount of memory: a positive number and KiB, MiB, GiB, TiB, KB, MB, GB "
                  "or TB, such as \"40GiB\"");
  }
}

TEST(ByteSize, ThisMachineHasMemory) { EXPECT_GT(physicalMemory(), 1 << 20); }

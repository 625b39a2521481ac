#include "runtime/base/Hash.h"
#include "runtime/base/EditDistance.h"
#include "runtime/base/Utf8.h"

#include <gtest/gtest.h>

using namespace titan;

// Reference values of xxHash 0.8 (python3 -c "import xxhash; xxhash.xxh64(...).intdigest()").
TEST(Hash, EqualsTheReference) {
  EXPECT_EQ(hash64(""), 0xef46db3751d8e999u);
  EXPECT_EQ(hash64("a"), 0xd24ec4f1a98c6e5bu);
  EXPECT_EQ(hash64("abc"), 0x44bc2cf5ad770999u);
  EXPECT_EQ(hash64("Nobody inspects the spammish repetition"), 0xfbcea83c8a378bf1u);
}

TEST(Hash, PiecesDoNotMatter) {
  std::string text;
  for (int i = 0; i < 300; ++i)
    text += static_cast<char>(i * 7);
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    Hasher hasher;
    hasher.update(std::string_view(text).substr(0, cut));
    hasher.update(std::string_view(text).substr(cut));
    ASSERT_EQ(hasher.digest(), hash64(text)) << cut;
  }
  EXPECT_NE(hash64(text, 1), hash64(text));
}

TEST(EditDistance, CountsEdits) {
  EXPECT_EQ(editDistance("", "abc"), 3);
  EXPECT_EQ(editDistance("kitten", "sitting"), 3);
  EXPECT_EQ(editDistance("seq_len", "seq_lne"), 1);
  const std::vector<std::string> words = {"alpha", "beta", "gamma"};
  EXPECT_EQ(nearest("bata", words), "beta");
  EXPECT_EQ(nearest("x", {}), "");
}

TEST(Utf8, RoundTripsEveryCodePoint) {
  for (char32_t codePoint = 0; codePoint < 0x110000; ++codePoint) {
    std::string text;
    appendCodePoint(text, codePoint);
    const bool surrogate = codePoint >= 0xD800 && codePoint < 0xE000;
    ASSERT_EQ(isValidUtf8(text), !surrogate) << static_cast<uint32_t>(codePoint);
    std::string_view rest = text;
    if (!surrogate) {
      ASSERT_EQ(takeCodePoint(rest), codePoint);
    }
  }
}

TEST(Utf8, RefusesWhatIsNotStrict) {
  for (const char *text :
       {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xF0\x80\x80\x80", "\xF4\x90\x80\x80",
        "\xF5\x80\x80\x80", "\xC3", "\xE2\x82", "\xFF", "\xC3("})
    EXPECT_FALSE(isValidUtf8(text)) << text;
}

#include "runtime/base/DynamicLibrary.h"
#include "runtime/base/File.h"

#include <gtest/gtest.h>

using namespace titan;

static void expectAnswer(const DynamicLibrary &library) {
  auto answer = library.function<int()>("titanTestPluginAnswer");
  ASSERT_TRUE(answer.ok()) << answer.status().message();
  EXPECT_EQ((*answer)(), 42);
}

TEST(DynamicLibrary, OpensAFile) {
  auto library = DynamicLibrary::open(TITAN_TEST_PLUGIN);
  ASSERT_TRUE(library.ok()) << library.status().message();
  expectAnswer(*library);
  auto missing = library->symbol("noSuchSymbol");
  ASSERT_FALSE(missing.ok());
  EXPECT_NE(missing.status().message().find("no symbol 'noSuchSymbol'"), std::string::npos);
}

TEST(DynamicLibrary, OpensAnImageInMemory) {
  auto image = readFile(TITAN_TEST_PLUGIN);
  ASSERT_TRUE(image.ok());
  auto library = DynamicLibrary::openImage(std::as_bytes(std::span(*image)), "plugin image");
  ASSERT_TRUE(library.ok()) << library.status().message();
  image->assign(image->size(), '\0');
  DynamicLibrary moved = *std::move(library);
  expectAnswer(moved);
}

TEST(DynamicLibrary, RefusesWhatIsNoLibrary) {
  auto missing = DynamicLibrary::open("/no/such/library.so");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.status().code(), StatusCode::unavailable);
  EXPECT_NE(missing.status().message().find("/no/such/library.so"), std::string::npos);
  const std::string text = "not an ELF file";
  auto image = DynamicLibrary::openImage(std::as_bytes(std::span(text)), "text");
  ASSERT_FALSE(image.ok());
  EXPECT_NE(image.status().message().find("image 'text'"), std::string::npos);
}

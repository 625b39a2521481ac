// The search for algorithms of matrix products, on the stub, whose second algorithm is the fastest
// and whose fourth does not run.
#include "runtime/base/File.h"
#include "runtime/world/LocalWorld.h"
#include "test/unit/TestFolder.h"
#include "test/unit/device/cuda/TestDevice.h"

#include <gmock/gmock.h>
#include <thread>

using namespace titan;
using namespace titan::cuda;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

namespace {

class GemmSearchTest : public StubTest {
protected:
  GemmSearchTest() {
    options.searchesGemms = true;
    options.gemmFolder = folder / "model.tbin.gemms";
    options.note = [this](const std::string &text) { notes.push_back(text); };
  }

  /// Prepares a product of `m` rows twice; how many products were run for that.
  static long prepare(const CudaOptions &options, int64_t m = 16) {
    auto opened = CudaDevice::open(options);
    EXPECT_TRUE(opened.ok()) << opened.status().message();
    CudaDevice &device = **opened;
    format::Gemm op;
    op.a = 0, op.b = 1, op.c = 2;
    op.m = m, op.n = 8, op.k = 24, op.lda = 24, op.ldb = 8, op.ldc = 8;
    const format::View views[] = {format::denseView(DType::f32, {m, 24}),
                                  format::denseView(DType::f32, {24, 8}),
                                  format::denseView(DType::f32, {m, 8})};
    std::vector<std::unique_ptr<DeviceMemory>> memory;
    std::vector<Operand> operands;
    for (const format::View &view : views) {
      memory.push_back(*device.allocate(format::Space::device, view.numElements() * 4));
      operands.push_back({memory.back()->data(), &view});
    }
    format::Program program;
    program.target = "cuda";
    const auto kernels = *device.loadKernels(program);
    const long before = products();
    for (int i = 0; i < 2; ++i) {
      const auto plan = device.prepare(op, operands, program, *kernels);
      EXPECT_TRUE(plan.ok()) << plan.status().message();
    }
    for (const auto &it : memory) {
      std::vector<std::byte> bytes(static_cast<size_t>(it->size()));
      EXPECT_TRUE(device.copyToHost(bytes, it->data()).ok());
      EXPECT_THAT(bytes, testing::Each(std::byte{0}));
    }
    return products() - before;
  }
  static long products() {
    // Held open, or the count would begin anew with each device.
    static const DynamicLibrary library = *DynamicLibrary::open(testOptions().blasLt);
    return (*library.function<long()>("titanStubProducts"))();
  }

  std::vector<std::filesystem::path> files() const {
    std::vector<std::filesystem::path> found;
    for (const auto &entry : std::filesystem::directory_iterator(options.gemmFolder))
      found.push_back(entry.path());
    return found;
  }

  test::TestFolder folder;
  CudaOptions options = testOptions();
  std::vector<std::string> notes;
};

TEST_F(GemmSearchTest, KeepsTheFastestThatRuns) {
  EXPECT_GT(prepare(options), 0);
  ASSERT_EQ(files().size(), 1u);
  const std::string text = *readFile(files().front());
  EXPECT_THAT(text,
              HasSubstr("key stub of a GPU, cuBLASLt 13.0.0, f32 8x24 by 8 and 0 at 256, f32 "
                        "24x16 by 24 and 0 at 256, f32 8x16 by 8 and 0 at 256, NN, batch 1\n"));
  EXPECT_THAT(text, HasSubstr(" 100 100 100 1 0 0 0\n")) << "alignments and the second algorithm";
  EXPECT_THAT(notes, ElementsAre("matrix products: the fastest algorithm for each shape is "
                                 "searched, and kept in " +
                                 options.gemmFolder.string()));
  notes.clear();
  EXPECT_EQ(prepare(options), 0) << "what is kept is not searched again";
  EXPECT_THAT(notes, IsEmpty());
  EXPECT_GT(prepare(options, 32), 0) << "another shape is";
  EXPECT_EQ(files().size(), 2u);
}

TEST_F(GemmSearchTest, TakesTheHeuristicsFirstWithoutASearch) {
  options.searchesGemms = false;
  EXPECT_EQ(prepare(options), 0);
  EXPECT_FALSE(std::filesystem::exists(options.gemmFolder));
}

TEST_F(GemmSearchTest, IgnoresWhatIsDamagedOrRefused) {
  prepare(options);
  const std::filesystem::path file = files().front();
  const std::string right = *readFile(file);
  for (size_t i = 0; i < right.size(); i += 31) {
    std::string wrong = right;
    wrong[i] = static_cast<char>(wrong[i] ^ 1);
    ASSERT_TRUE(writeFileAtomically(file, wrong).ok());
    notes.clear();
    EXPECT_GT(prepare(options), 0) << i;
    EXPECT_EQ(*readFile(file), right) << "it is written anew";
    ASSERT_EQ(notes.size(), 2u);
    EXPECT_EQ(notes[0], file.string() + " is damaged or not of this library, and is ignored");
  }
  const std::string key = right.substr(right.find("key ") + 4);
  ASSERT_TRUE(writeFileAtomically(file, writeGemmChoice(key.substr(0, key.find('\n')), {})).ok());
  EXPECT_GT(prepare(options), 0) << "the library does not know that algorithm";
}

TEST_F(GemmSearchTest, GoesOnWhereNothingCanBeKept) {
  ASSERT_TRUE(writeFileAtomically(folder / "file", "").ok());
  options.gemmFolder = folder / "file" / "gemms";
  EXPECT_GT(prepare(options), 0);
  ASSERT_EQ(notes.size(), 2u);
  EXPECT_THAT(notes[1], HasSubstr("what was found is not kept: "));
}

TEST_F(GemmSearchTest, OneRankSearchesForAll) {
  options.gemmFolder.clear();
  products();
  const long alone = prepare(options);
  const auto group = *LocalGroup::create(2, {});
  const long before = products();
  std::vector<std::thread> threads;
  for (int rank = 0; rank < 2; ++rank)
    threads.emplace_back([&, rank] {
      const std::unique_ptr<World> world = *group->join(rank);
      CudaOptions own = options;
      own.note = {};
      own.store = storeOf(*world);
      prepare(own);
      EXPECT_TRUE(world->leave(std::chrono::minutes(1)).ok());
    });
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_EQ(products() - before, alone);
}

} // namespace

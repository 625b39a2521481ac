// Batches in their GPU form, by emulation.
#include "test/unit/compiler/KernelRunner.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <numeric>

using namespace titan;
using namespace titan::testing;

namespace {

using Tensor = std::vector<double>;

/// Different ones for each `seed`.
Tensor values(int64_t size, double seed) {
  Tensor result;
  for (int64_t i = 0; i < size; ++i)
    result.push_back(static_cast<float>(std::sin(static_cast<double>(i) + 10 * seed)));
  return result;
}

} // namespace

// Each kind of sum needs a kibibyte to combine what blocks have, and a block combines one of them.
TEST(KernelBatch, DifferentSumsShareTheirMemory) {
  constexpr int64_t kSums = 50;
  std::string inputs, outer, types, inner, yielded, results, returned;
  std::vector<Tensor> arguments;
  for (int64_t i = 0; i < kSums; ++i) {
    const std::string n = std::to_string(i), comma = i ? ", " : "";
    const std::string type = "tensor<" + std::to_string(100 + i) + "xf32>";
    inputs += comma + "%x" + n + ": " + type;
    outer += comma + "%a" + n + " = %x" + n;
    types += comma + type;
    inner += "%k" + n + " = titan.kernel (%a = %a" + n + ") : (" + type +
             ") -> tensor<f32> {\n%z = titan.reduce sum %a [0] : " + type +
             " -> tensor<f32>\ntitan.yield %z : tensor<f32>\n}\n";
    yielded += comma + "%k" + n;
    returned += comma + "%b#" + n;
    results += comma + "tensor<f32>";
    arguments.push_back(values(100 + i, static_cast<double>(i)));
  }
  KernelRunner gpu("func.func @f(" + inputs + ") -> (" + results +
                       ") {\n%b:" + std::to_string(kSums) + " = titan.kernel (" + outer + ") : (" +
                       types + ") -> (" + results + ") {\n" + inner + "titan.yield " + yielded +
                       " : " + results + "\n}\nreturn " + returned + " : " + results + "\n}",
                   {.gpu = true});
  ASSERT_TRUE(gpu.ok()) << gpu.failure();
  const auto found = gpu.run(arguments);
  ASSERT_EQ(gpu.failure(), "");
  for (size_t i = 0; i < arguments.size(); ++i)
    EXPECT_NEAR(found[i][0], std::accumulate(arguments[i].begin(), arguments[i].end(), 0.0), 1e-4)
        << "sum " << i;
}

// Kernels of several sizes and kinds in one launch: each takes its own buffers and partial sums.
TEST(KernelBatch, EveryKernelHasItsOwnBuffers) {
  std::string inputs, outer, inner, types, yielded, results;
  std::vector<Tensor> arguments = {{0.5}}, expected;
  auto add = [&](const std::string &type, const std::string &to, int64_t size,
                 const std::string &body, const std::function<Tensor(const Tensor &)> &compute) {
    const std::string n = std::to_string(expected.size());
    inputs += ", %x" + n + ": " + type;
    outer += ", %a" + n + " = %x" + n;
    types += ", " + type;
    inner += "%k" + n + " = titan.kernel (%r = %rate, %a = %a" + n + ") : (tensor<f32>, " + type +
             ") -> " + to + " {\n" + body + "titan.yield %z : " + to + "\n}\n";
    yielded += (n == "0" ? "%k" : ", %k") + n;
    results += (n == "0" ? "" : ", ") + to;
    arguments.push_back(values(size, static_cast<double>(expected.size())));
    expected.push_back(compute(arguments.back()));
  };
  auto addScaled = [&](const std::string &type, int64_t size) {
    add(type, type, size,
        "%b = titan.broadcast %r [] : tensor<f32> -> " + type +
            "\n%z = titan.mul %a, %b : " + type + "\n",
        [](Tensor it) {
          for (double &value : it)
            value *= 0.5;
          return it;
        });
  };
  auto addSquares = [&](int64_t size) {
    const std::string type = "tensor<" + std::to_string(size) + "xf32>";
    add(type, "tensor<f32>", size,
        "%s = titan.mul %a, %a : " + type + "\n%t = titan.reduce sum %s [0] : " + type +
            " -> tensor<f32>\n%z = titan.mul %t, %r : tensor<f32>\n",
        [](const Tensor &it) {
          double sum = 0;
          for (double value : it)
            sum += value * value;
          return Tensor{0.5 * sum};
        });
  };
  for (int i = 0; i < 3; ++i) {
    addScaled("tensor<300xf32>", 300);
    addSquares(20000); // several blocks
  }
  addScaled("tensor<7x11xf32>", 77); // scalar accesses
  addScaled("tensor<f32>", 1);
  addSquares(48);
  const std::string source = "func.func @f(%rate0: tensor<f32>" + inputs + ") -> (" + results +
                             ") {\n%b:" + std::to_string(expected.size()) +
                             " = titan.kernel (%rate = %rate0" + outer + ") : (tensor<f32>" +
                             types + ") -> (" + results + ") {\n" + inner + "titan.yield " +
                             yielded + " : " + results + "\n}\nreturn ";
  std::string returned;
  for (size_t i = 0; i < expected.size(); ++i)
    returned += (i == 0 ? "%b#" : ", %b#") + std::to_string(i);
  const std::string text = source + returned + " : " + results + "\n}";
  for (const bool tie : {false, true}) {
    KernelRunner gpu(text, {.tie = tie, .gpu = true});
    ASSERT_TRUE(gpu.ok()) << gpu.failure();
    EXPECT_EQ(gpu.countKernels(), 1u);
    const auto found = gpu.run(arguments);
    ASSERT_EQ(gpu.failure(), "");
    for (size_t i = 0; i < expected.size(); ++i) {
      SCOPED_TRACE("result " + std::to_string(i) + (tie ? ", tied" : ""));
      ASSERT_EQ(found[i].size(), expected[i].size());
      for (size_t element = 0; element < expected[i].size(); ++element)
        ASSERT_NEAR(found[i][element], expected[i][element],
                    1e-5 * std::max(1.0, std::abs(expected[i][element])))
            << "element " << element;
    }
  }
  EXPECT_EQ(KernelRunner(text).failure(),
            "'titan.kernel' op is a batch of kernels, which only GPUs run");
}

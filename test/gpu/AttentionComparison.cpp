// Attention in bfloat16 at a length where its flops count: how fast each library is, and whether
// all compute the same.
#include "test/gpu/Alone.h"
#include "test/gpu/GpuTools.h"
#include "test/unit/device/Numbers.h"

#include <cmath>
#include <cstdio>
#include <limits>

namespace titan::gpu {
namespace {

constexpr const char *kResults[] = {"out", "lse", "dq", "dk", "dv"};

/// Between two that add in another order and round weights to bfloat16, whose half unit in the last
/// place is 3.9e-3; of the log of sums, which is float32, as attention's own tests have it.
double toleranceOf(const format::View &view) { return view.type == DType::bf16 ? 1.6e-2 : 1e-3; }

/// The largest distance of two rows over the length of the expected one. A row is what stands
/// behind the first two dimensions: a token's heads, or a head's log of sums. Rows of nearly
/// nothing, such as the first query's gradient, count as a thousandth of the others.
double deviationOf(const std::vector<float> &found, const std::vector<float> &expected,
                   const format::View &view) {
  const size_t rows = static_cast<size_t>(view.shape[0] * view.shape[1]);
  const size_t length = expected.size() / rows;
  std::vector<double> squares(rows), distances(rows);
  double all = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double a = static_cast<double>(found[i]), b = static_cast<double>(expected[i]);
    distances[i / length] += (a - b) * (a - b);
    squares[i / length] += b * b;
    all += b * b;
  }
  double worst = 0;
  for (size_t row = 0; row < rows; ++row) {
    const double least = 1e-6 * all / static_cast<double>(rows);
    const double deviation = std::sqrt(distances[row] / std::max(squares[row], least));
    worst = std::isfinite(deviation) ? std::max(worst, deviation)
                                     : std::numeric_limits<double>::infinity();
    if (std::isinf(worst))
      break;
  }
  return worst;
}

/// The scratch memory that a program plans for a gradient on the device's GPU, in bytes: as
/// AttentionGradOp::getScratchBytes in dialects/titan/ops/Attention.cpp has it, which needs MLIR.
int64_t scratchBytes(const Device &device, const format::View &q, const format::View &k) {
  const auto aligned = [](int64_t bytes) { return (bytes + 255) / 256 * 256; };
  const std::string gpu = device.describe();
  const bool keepsTwoSums = gpu.find("compute capability 8.") != std::string::npos ||
                            gpu.find("compute capability 12.") != std::string::npos;
  const int64_t rows = q.shape[0] * q.shape[2] * q.shape[1] * 4, dim = q.shape[3];
  const int64_t shared = aligned(q.shape[0] * q.shape[2] * k.shape[1] * dim * 2);
  return aligned(rows) + aligned(rows * dim) * (keepsTwoSums ? 2 : 1) + 2 * shared + 512;
}

/// One head dimension: 32 heads that share 8.
class AttentionCase {
public:
  /// A stub of a GPU has less memory than any that is measured.
  AttentionCase(Device &device, int64_t tokens, int64_t dim)
      : device(device), isLarge(device.memoryCapacity() > (int64_t{16} << 30)) {
    const int64_t heads = isLarge ? 32 : 2, kvHeads = isLarge ? 8 : 1;
    tokens = isLarge ? tokens : tokens / 512;
    q = format::denseView(DType::bf16, {1, tokens, heads, dim});
    k = format::denseView(DType::bf16, {1, tokens, kvHeads, dim});
    lse = format::denseView(DType::f32, {1, heads, tokens});
    scratch = format::denseView(DType::i8, {scratchBytes(device, q, k)});
    forward.scale = gradient.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(dim)));
    forward.causal = gradient.causal = true;
  }

  Status run() {
    {
      Alone alone(device);
      TITAN_RETURN_IF_ERROR(alone.prepare(forward, {q, k, k, q, lse}));
      TITAN_ASSIGN_OR_RETURN(const double seconds, measure(alone, 3, {3, 4}));
      forwardRate = attentionFlops(forward, q, k, 2) / seconds;
    }
    Alone alone(device);
    TITAN_RETURN_IF_ERROR(alone.prepare(gradient, {q, k, k, q, lse, q, q, k, k, scratch}));
    TITAN_RETURN_IF_ERROR(alone.write(3, results[0]));
    TITAN_RETURN_IF_ERROR(alone.write(4, results[1]));
    TITAN_RETURN_IF_ERROR(alone.fillRandom(5, 5));
    TITAN_ASSIGN_OR_RETURN(const double seconds, measure(alone, 3, {6, 7, 8}));
    gradientRate = attentionFlops(gradient, q, k, 5) / seconds;
    return okStatus();
  }

  const format::View &viewOf(size_t result) const { return result == 1 ? lse : result < 3 ? q : k; }

  double forwardRate = 0, gradientRate = 0;    ///< flops per second
  std::vector<std::vector<std::byte>> results; ///< as kResults names them

private:
  /// Seconds of a run on random q, k and v; keeps what it writes.
  StatusOr<double> measure(Alone &alone, size_t inputs, std::initializer_list<size_t> written) {
    for (size_t i = 0; i < inputs; ++i)
      TITAN_RETURN_IF_ERROR(alone.fillRandom(i, i));
    for (const size_t buffer : written)
      TITAN_RETURN_IF_ERROR(alone.poison(buffer));
    TITAN_RETURN_IF_ERROR(alone.run());
    for (const size_t buffer : written) {
      TITAN_ASSIGN_OR_RETURN(results.emplace_back(), alone.read(buffer));
    }
    return alone.time(isLarge ? 10 : 1);
  }

  Device &device;
  bool isLarge;
  format::View q, k, lse, scratch;
  format::Attention forward{0, 1, 2, format::kNone, format::kNone, 3, 4};
  format::AttentionGrad gradient{0, 1, 2, format::kNone, format::kNone, 3, 4, 5, 6, 7, 8, 9};
};

} // namespace

StatusOr<bool> AttentionComparison::run(Device &device, const std::string &name, int64_t tokens) {
  bool isRight = true;
  for (const int64_t dim : {64, 128}) {
    AttentionCase it(device, tokens, dim);
    TITAN_RETURN_IF_ERROR(it.run());
    std::printf("%s, %lld tokens, heads of %lld: %.1f TFLOP/s forward, %.1f TFLOP/s gradient",
                name.c_str(), static_cast<long long>(it.viewOf(0).shape[1]),
                static_cast<long long>(dim), it.forwardRate * 1e-12, it.gradientRate * 1e-12);
    const auto [first, isFirst] = expected.try_emplace({tokens, dim}, it.results);
    for (size_t i = 0; i < std::size(kResults) && !isFirst; ++i) {
      const format::View &view = it.viewOf(i);
      const double deviation = deviationOf(test::numbersOf(it.results[i], view.type),
                                           test::numbersOf(first->second[i], view.type), view);
      const bool isWithin = deviation <= toleranceOf(view);
      isRight &= isWithin;
      std::printf("%s %s %.1e%s", i == 0 ? "; deviations:" : ",", kResults[i], deviation,
                  isWithin ? "" : " WRONG");
    }
    std::printf("\n");
  }
  return isRight;
}

} // namespace titan::gpu

// Attention in bfloat16 at a length where its flops count.
#include "test/gpu/Alone.h"
#include "test/gpu/GpuTools.h"
#include "test/gpu/RandomNumbers.h"

#include <cstdio>

namespace titan::gpu {
namespace {

/// Numbers between -1 and 1 in bfloat16.
Status fillRandom(Device &device, std::byte *to, const format::View &view) {
  std::vector<uint16_t> numbers(static_cast<size_t>(view.numElements()));
  for (size_t i = 0; i < numbers.size(); ++i)
    numbers[i] = toBFloat16(2 * unitOf(randomBits(1, i)) - 1);
  return device.copyToDevice(to, std::as_bytes(std::span(numbers)));
}

/// Seconds of an instruction whose first buffers are random; the log of sums, buffer 4, is zeros.
StatusOr<double> measure(Device &device, const format::Instruction &instruction,
                         const std::vector<format::View> &views, int repeats) {
  Alone alone(device);
  TITAN_RETURN_IF_ERROR(alone.prepare(instruction, views));
  for (size_t i = 0; i < views.size(); ++i)
    if (views[i].type == DType::bf16)
      TITAN_RETURN_IF_ERROR(fillRandom(device, alone.data(i), views[i]));
  return alone.time(repeats);
}

} // namespace

Status timeAttention(Device &device, const std::string &name) {
  // A stub of a GPU has less memory than any that is measured.
  const bool isLarge = device.memoryCapacity() > (int64_t{16} << 30);
  const int64_t tokens = isLarge ? 8192 : 16, heads = isLarge ? 32 : 2, kvHeads = isLarge ? 8 : 1;
  for (const int64_t dim : {64, 128}) {
    const format::View q = format::denseView(DType::bf16, {1, tokens, heads, dim});
    const format::View k = format::denseView(DType::bf16, {1, tokens, kvHeads, dim});
    const format::View lse = format::denseView(DType::f32, {1, heads, tokens});
    format::Attention forward{0, 1, 2, format::kNone, format::kNone, 3, 4};
    format::AttentionGrad gradient{0, 1, 2, format::kNone, format::kNone, 3, 4, 5, 6, 7, 8};
    forward.scale = gradient.scale = 0.125f;
    forward.causal = gradient.causal = true;
    const int repeats = isLarge ? 10 : 1;
    TITAN_ASSIGN_OR_RETURN(const double seconds,
                           measure(device, forward, {q, k, k, q, lse}, repeats));
    TITAN_ASSIGN_OR_RETURN(const double gradientSeconds,
                           measure(device, gradient, {q, k, k, q, lse, q, q, k, k}, repeats));
    std::printf("%s, heads of %lld: %.1f TFLOP/s forward, %.1f TFLOP/s gradient\n", name.c_str(),
                static_cast<long long>(dim), attentionFlops(forward, q, k, 2) * 1e-12 / seconds,
                attentionFlops(gradient, q, k, 5) * 1e-12 / gradientSeconds);
  }
  return okStatus();
}

} // namespace titan::gpu

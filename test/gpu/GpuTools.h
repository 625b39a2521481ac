// What tools/gpu-check.sh runs on a machine with a GPU, beside tests and training.
#pragma once

#include "runtime/base/Safetensors.h"
#include "runtime/device/Device.h"

#include <map>
#include <string>
#include <vector>

namespace titan::gpu {

/// Runs all kernels of a program on random numbers and compares them with what the reference
/// interpreter has of these: a file of KernelNumbers for the same job. Prints what is wrong and a
/// summary; whether nothing is. Fails where the file is not of this program.
StatusOr<bool> checkKernels(const format::Program &program, const Safetensors &numbers,
                            Device &device);

/// Measures the GPU's rates, then each instruction of a training step on random tokens, and prints
/// where the step's time goes: by class, beside what bytes and flops allow at those rates.
Status timeClasses(const format::Program &program, Device &device);

/// Attention and its gradient in bfloat16, causal, with heads of 64 and of 128 elements, by several
/// devices of one GPU: the first one's numbers for a length are what the others' are held against.
class AttentionComparison {
public:
  /// Prints the rates and deviations in a line for each head dimension, which begins with `name`.
  /// Whether all deviations are within what bfloat16 explains.
  StatusOr<bool> run(Device &device, const std::string &name, int64_t tokens);

private:
  /// By tokens and head dimension.
  std::map<std::pair<int64_t, int64_t>, std::vector<std::vector<std::byte>>> expected;
};

} // namespace titan::gpu

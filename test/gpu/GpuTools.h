// What tools/gpu-check.sh runs on a machine with a GPU, beside tests and training.
#pragma once

#include "runtime/base/Safetensors.h"
#include "runtime/device/Device.h"

namespace titan::gpu {

/// Runs all kernels of a program on random numbers and compares them with what the reference
/// interpreter has of these: a file of KernelNumbers for the same job. Prints what is wrong and a
/// summary; whether nothing is. Fails where the file is not of this program.
StatusOr<bool> checkKernels(const format::Program &program, const Safetensors &numbers,
                            Device &device);

/// Measures the GPU's rates, then each instruction of a training step on random tokens, and prints
/// where the step's time goes: by class, beside what bytes and flops allow at those rates.
Status timeClasses(const format::Program &program, Device &device);

/// Measures attention and its gradient in bfloat16, causal, with heads of 64 and of 128 elements,
/// and prints a line for each that begins with `name`.
Status timeAttention(Device &device, const std::string &name);

} // namespace titan::gpu

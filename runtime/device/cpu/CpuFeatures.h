// What the CPU at hand can execute, and the instruction sets that the kernels are built for.
#pragma once

#include <cstdint>
#include <string>

namespace titan::cpu {

/// Instruction sets the hand-written kernels have a version for, each including the ones before.
enum class Isa : uint8_t {
  portable, ///< whatever every CPU of the architecture has (SSE2 on x86-64)
  avx2,     ///< AVX2 and FMA
  avx512,   ///< AVX-512 F, BW, CD, DQ and VL, as on Skylake-SP and Zen 4
};

/// "portable", "avx2" or "avx512".
const char *toString(Isa isa);

struct CpuFeatures {
  bool avx2 = false;   ///< AVX2, FMA, BMI2 and F16C, and an operating system that saves ymm
  bool avx512 = false; ///< the set of Isa::avx512, and an operating system that saves zmm
  bool avx512Bf16 = false;
  std::string model; ///< such as "AMD EPYC-Milan Processor"; empty when the CPU does not tell

  /// The best instruction set among those above.
  Isa isa() const;
  /// For messages, such as "avx2 (AMD EPYC-Milan Processor)".
  std::string describe() const;
};

/// Asks the CPU.
CpuFeatures cpuFeatures();

/// cpuFeatures().isa(), without building strings: cheap enough for every call.
Isa bestIsa();

} // namespace titan::cpu

#include "runtime/device/cpu/CpuFeatures.h"

#include <cstring>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace titan::cpu {

const char *toString(Isa isa) {
  switch (isa) {
  case Isa::portable:
    return "portable";
  case Isa::avx2:
    return "avx2";
  case Isa::avx512:
    return "avx512";
  }
  return "unknown";
}

#if defined(__x86_64__)

// __builtin_cpu_supports also checks that the operating system saves the registers.
static bool hasAvx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
}

static bool hasAvx512() {
  return hasAvx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl");
}

static std::string cpuModel() {
  constexpr unsigned firstBrandLeaf = 0x80000002;
  unsigned words[12] = {};
  if (__get_cpuid_max(0x80000000, nullptr) < firstBrandLeaf + 2)
    return {};
  for (unsigned i = 0; i < 3; ++i)
    __get_cpuid(firstBrandLeaf + i, &words[4 * i], &words[4 * i + 1], &words[4 * i + 2],
                &words[4 * i + 3]);
  char text[sizeof(words) + 1] = {};
  std::memcpy(text, words, sizeof(words));
  std::string model(text);
  size_t begin = model.find_first_not_of(' ');
  size_t end = model.find_last_not_of(' ');
  return begin == std::string::npos ? std::string() : model.substr(begin, end - begin + 1);
}

CpuFeatures cpuFeatures() {
  CpuFeatures features;
  features.avx2 = hasAvx2();
  features.avx512 = hasAvx512();
  features.avx512Bf16 = features.avx512 && __builtin_cpu_supports("avx512bf16");
  features.model = cpuModel();
  return features;
}

Isa bestIsa() { return hasAvx512() ? Isa::avx512 : hasAvx2() ? Isa::avx2 : Isa::portable; }

#else

CpuFeatures cpuFeatures() { return {}; }
Isa bestIsa() { return Isa::portable; }

#endif

Isa CpuFeatures::isa() const { return avx512 ? Isa::avx512 : avx2 ? Isa::avx2 : Isa::portable; }

std::string CpuFeatures::describe() const {
  std::string text = toString(isa());
  if (!model.empty())
    text += " (" + model + ")";
  return text;
}

} // namespace titan::cpu

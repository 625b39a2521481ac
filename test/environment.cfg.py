"""The environment that the processes of both suites find, and what this machine's processor can."""

import os


def cpu_flags():
    """The feature names of the first CPU, as Linux lists them."""
    with open("/proc/cpuinfo") as info:
        for line in info:
            if line.startswith("flags"):
                return set(line.split(":", 1)[1].split())
    return set()


flags = cpu_flags()
config.has_avx2 = {"avx2", "fma"} <= flags
config.has_avx512 = {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= flags

# OpenBLAS, which the interpreter multiplies with, takes a processor that is newer than itself for one
# without AVX.
if config.has_avx2:
    config.environment.setdefault("OPENBLAS_CORETYPE", "SKYLAKEX" if config.has_avx512 else "HASWELL")

# Where the sanitizers of the `sanitize` preset find a symbolizer. What they are told stands in
# cmake/SanitizerOptions.cpp.
if config.titan_sanitize:
    for name in ("ASAN", "UBSAN"):
        if f"{name}_OPTIONS" in os.environ:
            config.environment[f"{name}_OPTIONS"] = os.environ[f"{name}_OPTIONS"]
        config.environment[f"{name}_SYMBOLIZER_PATH"] = os.path.join(config.llvm_tools_dir, "llvm-symbolizer")

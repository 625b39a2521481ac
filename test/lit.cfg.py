"""The script tests: .mlir and .test files with RUN lines.

    /usr/lib/llvm-22/bin/lit -v build/test --filter=passes     some of them, after a build

Substitutions
    %python        the interpreter that runs lit
    %source_root   the repository
    %build_root    the build folder
    %golden        test/golden, the reference numbers

Features (REQUIRES, UNSUPPORTED)
    asan           the build has the address and undefined behavior sanitizers
    avx2, avx512   this CPU has them (avx512: F, BW, DQ and VL)
    mpirun         the mpi data plane was built, and mpirun is on PATH
    ptxas          NVIDIA's assembler is on PATH
    torch          the interpreter that runs lit can import PyTorch
"""

import importlib.util
import os
import shutil
import sys

import lit.formats

config.name = "Titan"
config.suffixes = [".mlir", ".test"]
# GoogleTests have a suite of their own; Inputs are read by tests.
config.excludes = ["unit", "golden", "Inputs"]
config.test_source_root = os.path.join(config.titan_source_root, "test")
config.test_exec_root = os.path.join(config.titan_build_root, "test")
config.test_format = lit.formats.ShTest(execute_external=False)

tools = [os.path.join(config.titan_build_root, "bin"), config.llvm_tools_dir]
config.environment["PATH"] = os.pathsep.join(tools + [os.environ.get("PATH", "")])

config.substitutions += [
    ("%python", sys.executable),
    ("%source_root", config.titan_source_root),
    ("%build_root", config.titan_build_root),
    ("%golden", os.path.join(config.test_source_root, "golden")),
]


lit_config.load_config(config, os.path.join(config.test_source_root, "environment.cfg.py"))
if config.has_avx2:
    config.available_features.add("avx2")
if config.has_avx512:
    config.available_features.add("avx512")
if config.titan_sanitize:
    config.available_features.add("asan")
if shutil.which("mpirun") and os.path.exists(os.path.join(config.titan_build_root, "lib", "libtitan_mpi.so")):
    config.available_features.add("mpirun")
if shutil.which("ptxas"):
    config.available_features.add("ptxas")
if importlib.util.find_spec("torch"):
    config.available_features.add("torch")

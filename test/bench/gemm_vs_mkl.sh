#!/bin/sh
# GemmBench with Intel MKL as a third party. Installs PyPI's mkl (about 1 GB) into a virtual
# environment outside the repository, once.
#
#   test/bench/gemm_vs_mkl.sh [BUILD_FOLDER [VENV_FOLDER]] [GemmBench options]
set -eu
build=${1:-build}
venv=${2:-${XDG_CACHE_HOME:-$HOME/.cache}/titan-mkl}
[ $# -lt 2 ] || shift
[ $# -lt 1 ] || shift
if [ ! -d "$venv/lib" ]; then
  python3 -m venv "$venv"
  "$venv/bin/pip" --quiet install mkl
fi
library=$(find "$venv/lib" -name 'libmkl_rt.so*' | head -n 1)
LD_LIBRARY_PATH=$(dirname "$library") exec "$build/bench/GemmBench" "--mkl=$library" "$@"

#!/usr/bin/env bash
# Proves or disproves Titan on a GPU, with one command on a machine that has one and needs no LLVM.
#
#   tools/gpu-check.sh pack [--quick] [--build BUILD] [FOLDER]    here, after a build: all that is
#                                                                 needed, under 50 MB
#   FOLDER/gpu-check.sh run [--quick] [--seconds N]    there (540 seconds by default)
#
# BUILD is build, and FOLDER is BUILD/gpu-check, unless given; FOLDER.tar.gz is made beside it. `run`
# does first what decides whether results are right: every instruction against the CPU's, what every
# data plane must do, every generated kernel against the interpreter's numbers on random
# inputs, then the golden models against PyTorch's float64; then what takes time, until the deadline:
# benchmarks by importance, each with PyTorch on the same shapes, and where a step's time goes. Its
# last lines are one table. --quick is one model for one step, for tests.
#
# Exit status: 0 all comparisons ended and are right, 1 something is wrong or a comparison did not end
# before the deadline, 77 there is no GPU. Benchmarks may be left out.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
action=${1:-}
[ $# -gt 0 ] && shift
quick= seconds=540 folder= build=$(dirname "$here")/build
while [ $# -gt 0 ]; do
  case $1 in
  --quick) quick=1 ;;
  --build) build=${2:?--build needs a folder} && shift ;;
  --seconds) seconds=${2:?--seconds needs a number} && shift ;;
  -*) echo "error: unknown option $1; expected --quick, --build BUILD or --seconds N" >&2 && exit 1 ;;
  *) folder=$1 ;;
  esac
  shift
done

goldens() { # name, precision and target of each
  echo "untied float32 cuda:sm_90"
  [ -n "$quick" ] || printf '%s\n' "tied float32 cuda:sm_80" "untied bfloat16 cuda:sm_90" "tied bfloat16 cuda:sm_80"
}

# name, job, rows, tokens in a row, vocabulary, shapes as test/gpu/torch_peer.py takes them, options: the
# most important first
benchmarks() {
  local of1b=dim=2048,layers=16,heads=32,kv=8,ffn=8192,tied=1
  printf '%s\n' \
    "1B-8192x1 models/llama3/1b.toml 1 8192 128256 $of1b" \
    "1B-8192x4 models/llama3/1b.toml 4 8192 128256 $of1b" \
    "debugmodel models/llama3/debugmodel.toml 8 2048 2048 dim=256,layers=6,heads=16,kv=16,ffn=768" \
    "1B-1024x4 models/llama3/1b.toml 4 1024 128256 $of1b" \
    "8B-8layers-1024x4 models/llama3/8b.toml 4 1024 128256 dim=4096,layers=8,heads=32,kv=8,ffn=14336 --model.n_layers=8"
}

# name, job, options: programs whose kernels are compared with the interpreter's numbers. It can do only what
# fits a host: of 1B and 8B one layer, with rows of their width, few tokens and few rows of the embedding (8B's
# feed-forward is narrower: its kernels have no rows); and rows of logits of their vocabulary in a narrow model.
kernels() {
  local golden=$folder/jobs/untied-float32/job.toml llama=$root/models/llama3
  printf '%s\n' "untied-float32 $golden --training.mixed_precision_param=float32"
  [ -n "$quick" ] || printf '%s\n' "untied-bfloat16 $golden --training.mixed_precision_param=bfloat16" \
    "debugmodel $llama/debugmodel.toml --training.mixed_precision_param=bfloat16" \
    "vocabulary $llama/debugmodel.toml --model.vocab_size=128256 --model.n_layers=1 --model.dim=128 --model.n_heads=8 --model.n_kv_heads=8 --training.local_batch_size=1 --training.seq_len=512 --training.mixed_precision_param=bfloat16" \
    "1B-layer $llama/1b.toml --model.vocab_size=512 --model.n_layers=1 --training.seq_len=512 --training.mixed_precision_param=bfloat16" \
    "8B-layer $llama/8b.toml --model.vocab_size=512 --model.n_layers=1 --model.ffn_hidden_dim=4096 --training.seq_len=256 --training.mixed_precision_param=bfloat16"
}

pack() {
  set -e
  . "$here/common.sh"
  local name precision target job rows seq vocabulary shapes options program seed
  folder=${folder:-$build/gpu-check}
  rm -rf "$folder"
  mkdir -p "$folder"/{bin,lib,test/e2e,test/golden,test/gpu,jobs}
  cp "$here/gpu-check.sh" "$folder/"
  cp "$build/lib/libtitan_cuda.so" "$folder/lib/"
  cp "$root/test/e2e/golden.py" "$folder/test/e2e/"
  cp "$root/test/gpu/torch_peer.py" "$folder/test/gpu/"
  cp "$root"/test/golden/*.safetensors "$root"/test/golden/*.json "$folder/test/golden/"
  local binary
  for binary in bin/titan-run gpu/GpuCheck test/unit/CudaTests test/unit/NcclConformanceTests; do
    cp "$build/$binary" "$folder/bin/$(basename "$binary").bin"
    strip "$folder/bin/$(basename "$binary").bin"
    # Libraries that the other machine may lack; those of the C and C++ run time are its own, since
    # its driver needs them too.
    ldd "$build/$binary" | awk '$3 ~ /^\// { print $3 }' |
      grep -v -E '/(libc|libm|libdl|libpthread|librt|libstdc\+\+|libgcc_s)\.so' |
      xargs -I{} cp -Ln {} "$folder/lib/"
    printf '#!/bin/sh\nhere=$(cd "$(dirname "$0")" && pwd)\nexec env LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$here/../lib" "$here/%s.bin" "$@"\n' \
      "$(basename "$binary")" >"$folder/bin/$(basename "$binary")"
    chmod +x "$folder/bin/$(basename "$binary")"
  done
  while read -r name precision target; do
    python3 "$root/test/e2e/golden.py" "$build" "$name" "$folder/jobs/$name-$precision" \
      $([ "$precision" = float32 ] || echo bfloat16) "target=$target" phase=compile
  done < <(goldens)
  # Of the random numbers that kernels are compared on: other ones in each pack.
  if [ -n "$quick" ]; then seed=1; else seed=$(date +%s%N); fi
  while read -r name job options; do
    program=$folder/jobs/kernels-$name
    "$build/bin/titan-compile" "$job" --target=cuda:sm_90 --world-size 1 $options -o "$program.tbin"
    "$build/bin/titan-compile" "$job" --target=cuda:sm_90 --world-size 1 $options --compile-to=exec -o "$program.mlir"
    "$build/gpu/KernelNumbers" "$program.mlir" "$seed" "$program.safetensors"
    rm "$program.mlir"
  done < <(kernels)
  [ -n "$quick" ] || while read -r name job rows seq vocabulary shapes options; do
    "$build/bin/titan-compile" "$root/$job" --target=cuda:sm_90 --world-size 1 -o "$folder/jobs/$name.tbin" \
      --training.local_batch_size="$rows" --training.seq_len="$seq" \
      --training.mixed_precision_param=bfloat16 $options
  done < <(benchmarks)
  tar -C "$(dirname "$folder")" -czf "$folder.tar.gz" "$(basename "$folder")"
  local bytes
  bytes=$(stat -c %s "$folder.tar.gz")
  say "$folder.tar.gz: $bytes bytes"
  [ "$bytes" -lt 50000000 ] || fail "$folder.tar.gz is larger than 50 MB"
}

#--- on the machine with the GPU

started=$(date +%s)
table=()
wrong=0

left() { echo $((seconds - ($(date +%s) - started))); }

# row NAME LEAST MOST COMMAND...: runs it for up to MOST seconds unless fewer than LEAST are left. What hangs
# is killed with its children, so that it keeps neither the time nor the GPU of the rows behind it.
row() {
  local name=$1 least=$2 most=$3 begin status what
  shift 3
  if [ "$(left)" -lt "$least" ]; then
    table+=("$name|skipped|fewer than $least seconds were left")
    return
  fi
  echo "=== $name"
  begin=$(date +%s)
  timeout -s KILL "$(($(left) < most ? $(left) : most))" "$@" >"$here/log.txt" 2>&1
  status=$?
  tail -n 60 "$here/log.txt"
  what=$(detail "$here/log.txt")
  grep -o '[^-]*, compute capability.*, ready' "$here/log.txt" >>"$here/device.txt"
  case $status in
  3) table+=("$name|skipped|$(tail -n 1 "$here/log.txt")") ;;
  0) table+=("$name|right|$what") ;;
  124 | 137) table+=("$name|out of time|after $(($(date +%s) - begin)) s; $what") ;;
  *) table+=("$name|WRONG|exit status $status; $what") && wrong=1 ;;
  esac
}

# proof NAME LEAST MOST COMMAND...: a row that decides whether results are right: one that does not end, or does
# not begin in time, proves nothing, and is no success.
proof() {
  row "$@"
  case ${table[-1]} in
  *"|out of time|"* | *"|skipped|fewer than "*) wrong=1 ;;
  esac
}

# What the table says of a log: a benchmark's last step, a comparison's worst rows, a test's count.
detail() {
  sed 's/\x1b\[[0-9;]*m//g' "$1" | awk '
    /step: *[0-9]+ / { sub(/.*step:/, "step:"); step = $0 }
    /FAILED/ { failed = failed " " $0 ";" }
    /\[  PASSED  \]/ { passed = $0 }
    /^gradients of step 1|^losses, interpreter|^kernels: |^step: .* by graphs|^PyTorch |TFLOP\/s gradient/ { worst = worst " " $0 ";" }
    /^WRONG: / { failed = failed " " $0 ";" }
    END { print failed passed worst (passed worst == "" ? step : "") }'
}

# batches FILE ROWS TOKENS VOCABULARY: 10 steps of random tokens.
batches() {
  python3 - "$@" <<'PYTHON'
import array, json, random, struct, sys
path, rows, seq, vocabulary = sys.argv[1], *map(int, sys.argv[2:])
random.seed(1)
count = 10 * rows * seq
data = array.array("i", (random.randrange(vocabulary) for _ in range(count))).tobytes()
shape = [10, rows, seq]
header = json.dumps({
    "labels": {"dtype": "I32", "shape": shape, "data_offsets": [0, len(data)]},
    "tokens": {"dtype": "I32", "shape": shape, "data_offsets": [len(data), 2 * len(data)]},
}).encode()
header += b" " * (-len(header) % 8)
with open(path, "wb") as file:
    file.write(struct.pack("<Q", len(header)) + header + data + data)
PYTHON
}

benchmark() {
  local name=$1 rows=$2 seq=$3 vocabulary=$4
  batches "$here/jobs/$name.safetensors" "$rows" "$seq" "$vocabulary" &&
    "$here/bin/titan-run" "$here/jobs/$name.tbin" --training.dataset_path="$here/jobs/$name.safetensors" \
      --training.steps=10 --debug.seed=1 --metrics.log_freq=1
}

run() {
  local name precision target job rows seq vocabulary shapes options reason
  rm -f "$here/device.txt"
  # pip's libraries are looked for in the Python that the machine has.
  [ -n "${VIRTUAL_ENV:-}" ] || VIRTUAL_ENV=$(python3 -c 'import sys; print(sys.prefix)')
  export VIRTUAL_ENV here
  export -f batches benchmark # a row is a command that timeout starts
  # For the conformance suite, as titan-run sets it.
  export CUDA_DEVICE_MAX_CONNECTIONS=${CUDA_DEVICE_MAX_CONNECTIONS:-32} NCCL_RUNTIME_CONNECT=${NCCL_RUNTIME_CONNECT:-0}
  # Fails at its data at the latest.
  reason=$(timeout -s KILL 60 "$here/bin/titan-run" "$here/jobs/untied-float32/model.tbin" 2>&1)
  if grep -q -E "driver is missing|CUDA_ERROR_NO_DEVICE" <<<"$reason"; then
    echo "$reason"
    if nvidia-smi -L 2>/dev/null | grep -q '^GPU'; then
      echo "error: nvidia-smi lists a GPU that titan-run does not find"
      exit 1
    fi
    echo "skipped: there is no GPU here"
    exit 77
  fi
  nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.sm,clocks.mem,clocks.max.sm --format=csv 2>/dev/null
  [ -n "$quick" ] || proof "instructions against the CPU" 30 150 env TITAN_TEST_GPU=1 "$here/bin/CudaTests"
  [ -n "$quick" ] || [ "$(nvidia-smi -L 2>/dev/null | wc -l)" -lt 2 ] ||
    proof "collectives between these GPUs" 30 100 env TITAN_TEST_GPU=1 "$here/bin/NcclConformanceTests"
  # Small programs first.
  for name in $(ls -rS "$here"/jobs/kernels-*.tbin); do
    name=$(basename "$name" .tbin)
    proof "$name" 20 90 "$here/bin/GpuCheck" kernels "$here/jobs/$name.tbin" "$here/jobs/$name.safetensors"
  done
  [ -n "$quick" ] || row "attention, cuDNN and own kernels" 20 60 "$here/bin/GpuCheck" attention
  while read -r name precision target; do
    proof "golden $name $precision $target" 20 60 python3 "$here/test/e2e/golden.py" "$here" "$name" \
      "$here/jobs/$name-$precision" $([ "$precision" = float32 ] || echo bfloat16) phase=train \
      $([ -z "$quick" ] || echo steps=1)
  done < <(goldens)
  [ -n "$quick" ] || while read -r name job rows seq vocabulary shapes options; do
    row "$name bfloat16" 40 120 bash -c 'benchmark "$@"' benchmark "$name" "$rows" "$seq" "$vocabulary" </dev/null
    row "$name PyTorch" 60 120 python3 "$here/test/gpu/torch_peer.py" "rows=$rows" "seq=$seq" "vocab=$vocabulary" \
      seconds=90 ${shapes//,/ } </dev/null
    row "$name where the time goes" 40 60 "$here/bin/GpuCheck" classes "$here/jobs/$name.tbin" </dev/null
  done < <(benchmarks)
  nvidia-smi --query-gpu=clocks.sm,clocks.mem,temperature.gpu,power.draw --format=csv 2>/dev/null
  echo
  [ ! -s "$here/device.txt" ] || head -n 1 "$here/device.txt"
  printf '%s\n' "${table[@]}" | awk -F'|' '{ printf "%-38s %-12s %s\n", $1, $2, $3 }'
  exit $wrong
}

case $action in
pack) pack ;;
run) run ;;
*) echo "usage: gpu-check.sh pack [--quick] [FOLDER] | run [--quick] [--seconds N]" >&2 && exit 1 ;;
esac

#!/usr/bin/env bash
# Proves or disproves Titan on a GPU, with one command on a machine that has one and needs no LLVM.
#
#   tools/gpu-check.sh pack [--quick] [--build BUILD] [FOLDER]    here, after a build: all that is
#                                                                 needed, under 60 MB
#   FOLDER/gpu-check.sh run [--quick] [--seconds N] [--only REGEX]
#                                                                 there (540 seconds by default)
#
# BUILD is build, and FOLDER is BUILD/gpu-check, unless given; FOLDER.tar.gz is made beside it. `run`
# does first what decides whether results are right, side by side: every instruction against the CPU's,
# what every data plane must do, every generated kernel against the interpreter's numbers on random
# inputs, the golden models against PyTorch's float64, the debug model against the CPU; then attention by
# each library. Then what takes time, until the deadline: all benchmarks, where a step's time goes, and
# PyTorch on the same shapes. Its last lines are one table, which is $OUT/table.txt, too; $OUT/logs.txt
# has the logs of all rows (FOLDER/table.txt and FOLDER/logs.txt without OUT). Both grow with every row, so
# that whoever is killed leaves them. --only leaves out rows whose names do not match, such as a second
# run's for what the first had no time for: its exit status is of the others. --quick is tiny models for a
# few steps and a few small tests, for tests of this script.
#
# Exit status: 0 all comparisons ended and are right, and no benchmark failed; 1 something is wrong or a
# comparison did not end before the deadline; 77 there is no GPU. Benchmarks may be left out.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
action=${1:-}
[ $# -gt 0 ] && shift
quick= seconds=540 only= folder= build=$(dirname "$here")/build
while [ $# -gt 0 ]; do
  case $1 in
  --quick) quick=1 ;;
  --build) build=${2:?--build needs a folder} && shift ;;
  --seconds) seconds=${2:?--seconds needs a number} && shift ;;
  --only) only=${2:?--only needs a regular expression} && shift ;;
  -*) echo "error: unknown option $1; expected --quick, --build BUILD, --seconds N or --only REGEX" >&2 && exit 1 ;;
  *) folder=$1 ;;
  esac
  shift
done

goldens() { # name, precision and target of each
  echo "untied float32 cuda:sm_90"
  [ -n "$quick" ] || printf '%s\n' "tied float32 cuda:sm_80" "untied bfloat16 cuda:sm_90" "tied bfloat16 cuda:sm_80"
}

# precision, options: trainings of the debug model that are compared with the CPU's.
losses() {
  if [ -n "$quick" ]; then
    echo "bfloat16 $(tiny)"
  else
    printf '%s\n' float32 bfloat16
  fi
}

# A model that a stub trains in a second.
tiny() {
  echo "--model.vocab_size=64 --model.dim=32 --model.n_layers=1 --model.n_heads=2 --model.n_kv_heads=2" \
    "--model.ffn_hidden_dim=64 --training.seq_len=16 --training.local_batch_size=1"
}

# name, job, rows, tokens in a row, vocabulary, shapes as test/gpu/torch_peer.py takes them, options: the
# most important first. Of those named FAMILY/N, the first that fits the GPU's memory is taken.
benchmarks() {
  local of1b=dim=2048,layers=16,heads=32,kv=8,ffn=8192,tied=1 layers
  if [ -n "$quick" ]; then
    for layers in $slices; do
      echo "tiny/$layers models/llama3/debugmodel.toml 1 16 64 dim=32,layers=$layers,heads=2,kv=2,ffn=64 $(tiny)" \
        "--model.n_layers=$layers"
    done
    return
  fi
  printf '%s\n' \
    "1B-8192x1 models/llama3/1b.toml 1 8192 128256 $of1b" \
    "1B-8192x4 models/llama3/1b.toml 4 8192 128256 $of1b" \
    "1B-1024x4 models/llama3/1b.toml 4 1024 128256 $of1b"
  for layers in $slices; do
    echo "8B-1024x4/$layers models/llama3/8b.toml 4 1024 128256 dim=4096,layers=$layers,heads=32,kv=8,ffn=14336" \
      "--model.n_layers=$layers"
  done
  echo "debugmodel-2048x8 models/llama3/debugmodel.toml 8 2048 2048 dim=256,layers=6,heads=16,kv=16,ffn=768"
}
# Layers: of 8B about what GPUs of 180, 141, 80, 64 and 48 GB take.
slices=$([ -n "$quick" ] && echo "2 1" || echo "32 31 30 29 28 16 15 14 12 8")

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

# The binaries, with libraries that the other machine may lack; those of the C and C++ run time are its own,
# since its driver needs them too.
packBinaries() {
  local binary name
  for binary in bin/titan-run gpu/GpuCheck test/unit/CudaTests test/unit/NcclConformanceTests; do
    name=$(basename "$binary")
    cp "$build/$binary" "$folder/bin/$name.bin"
    strip "$folder/bin/$name.bin"
    ldd "$build/$binary" | awk '$3 ~ /^\// { print $3 }' |
      grep -v -E '/(libc|libm|libdl|libpthread|librt|libstdc\+\+|libgcc_s)\.so' |
      xargs -I{} cp -Ln {} "$folder/lib/"
    printf '#!/bin/sh\nhere=$(cd "$(dirname "$0")" && pwd)\nexec env LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$here/../lib" "$here/%s.bin" "$@"\n' \
      "$name" >"$folder/bin/$name"
    chmod +x "$folder/bin/$name"
  done
}

packComparisons() {
  local name precision target job options program seed
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
  while read -r precision options; do
    python3 "$root/test/gpu/debug_losses.py" compile "$build" "$folder/jobs/losses-$precision" "$precision" "$root" $options
  done < <(losses)
}

# Beside each program NAME.plan, the bytes that it plans to take.
packBenchmarks() {
  local name job rows seq vocabulary shapes options program
  while read -r name job rows seq vocabulary shapes options; do
    program=$folder/jobs/$name
    mkdir -p "$(dirname "$program")"
    # Nothing is computed twice: all of them fit GPUs of 80 GB.
    "$build/bin/titan-compile" "$root/$job" --target=cuda:sm_90 --world-size 1 --report -o "$program.tbin" \
      --training.local_batch_size="$rows" --training.seq_len="$seq" --activation_checkpoint.mode=none \
      --training.mixed_precision_param=bfloat16 $options |
      awk '/^memory of one rank/ { inside = 1 } inside && $1 == "total" { gsub(",", "", $2); print $2; inside = 0 }' \
        >"$program.plan"
  done < <(benchmarks)
}

pack() {
  set -e
  . "$here/common.sh"
  local bytes
  folder=${folder:-$build/gpu-check}
  rm -rf "$folder"
  mkdir -p "$folder"/{bin,lib,test/e2e,test/golden,test/gpu,jobs}
  cp "$here/gpu-check.sh" "$folder/"
  cp "$build/lib/libtitan_cuda.so" "$folder/lib/"
  cp "$root/test/e2e/golden.py" "$folder/test/e2e/"
  cp "$root"/test/gpu/*.py "$folder/test/gpu/"
  cp "$root"/test/golden/*.safetensors "$root"/test/golden/*.json "$folder/test/golden/"
  packBinaries
  packComparisons
  packBenchmarks
  tar -C "$(dirname "$folder")" -czf "$folder.tar.gz" "$(basename "$folder")"
  bytes=$(stat -c %s "$folder.tar.gz")
  say "$folder.tar.gz: $bytes bytes"
  [ "$bytes" -lt 60000000 ] || fail "$folder.tar.gz is larger than 60 MB"
}

#--- on the machine with the GPU

started=$(date +%s)
logs=$here/logs
out=${OUT:-$here}
table=()
started_proofs=()
wrong=0

left() { echo $((seconds - ($(date +%s) - started))); }

logOf() { echo "$logs/${1//[^A-Za-z0-9.-]/-}.txt"; }

# One file of all logs, of each at most what lets all of them back. Rows that run side by side write it, each under a
# name of its own until it is whole.
collectLogs() {
  local all=$logs/all.$BASHPID
  tail -v -c 400000 "$logs"/*.txt >"$all"
  mv "$all" "$out/logs.txt"
}

printTable() {
  local cudnn
  cudnn=$(grep -h -o 'attention: cuDNN [0-9.]*' "$logs"/*.txt 2>/dev/null | sort -u | head -n 1)
  echo "$reason; ${cudnn:-attention: no cuDNN}; $(($(date +%s) - started)) s"
  printf '%s\n' "${table[@]}" | awk -F'|' '{ printf "%-38s %-12s %s\n", $1, $2, $3 }'
}

# limited NAME MOST COMMAND...: runs it for up to MOST seconds. What hangs is killed with its children, so that it
# keeps neither the time nor the GPU of the others.
limited() {
  local log begin
  log=$(logOf "$1") begin=$(date +%s)
  timeout -s KILL "$2" "${@:3}" >"$log" 2>&1 </dev/null
  echo "$? $(($(date +%s) - begin))" >"$log.status"
  collectLogs
}

# enter NAME: what became of it goes into the table, and what went wrong onto the console.
enter() {
  local name=$1 log status took what
  log=$(logOf "$name")
  read -r status took <"$log.status"
  rm "$log.status"
  what=$(detail "$log")
  case $status in
  3) table+=("$name|skipped|$(tail -n 1 "$log")") ;;
  0) table+=("$name|right|$what") ;;
  124 | 137) table+=("$name|out of time|after $took s; $what") ;;
  *) table+=("$name|WRONG|exit status $status; $what") && wrong=1 ;;
  esac
  printTable >"$out/table.txt"
  echo "=== $name: ${table[-1]#*|}, $took s"
  [ "$status" = 0 ] || tail -n 25 "$log"
}

skip() { # NAME LEAST
  table+=("$1|skipped|fewer than $2 seconds were left")
}

wanted() { [[ "$1" =~ $only ]]; }

# row NAME LEAST MOST COMMAND...: runs it for up to MOST seconds unless fewer than LEAST are left.
row() {
  wanted "$1" || return
  if [ "$(left)" -lt "$2" ]; then
    skip "$1" "$2"
    return 1
  fi
  limited "$1" "$(($(left) < $3 ? $(left) : $3))" "${@:4}"
  enter "$1"
}

# proof NAME COMMAND...: starts a row that decides whether results are right; as many as there are cores run side
# by side, and all of them end within two thirds of the time.
proof() {
  local least=20 most
  wanted "$1" || return
  started_proofs+=("$1")
  while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do
    wait -n
  done
  most=$(($(left) - seconds / 3))
  [ "$(left)" -lt $least ] || [ "$most" -le 0 ] || limited "$1" "$most" "${@:2}" &
}

# Waits for all of them. One that does not end, or does not begin in time, proves nothing, and is no success.
finishProofs() {
  local name
  wait
  for name in "${started_proofs[@]}"; do
    if [ -e "$(logOf "$name").status" ]; then
      enter "$name"
    else
      skip "$name" 20
    fi
    isProven
  done
}

isProven() {
  case ${table[-1]} in
  *"|out of time|"* | *"|skipped|"*) wrong=1 ;;
  esac
}

# What the table says of a log: a benchmark's last step, a comparison's worst rows, a test's count, PyTorch's best,
# and why cuDNN has no part in attention.
detail() {
  sed 's/\x1b\[[0-9;]*m//g' "$1" | awk '
    / plans [0-9]+ bytes/ { planned = sprintf("planned %.2f GiB, ", $3 / 2^30) }
    /step: *[0-9]+ / { sub(/.*step:/, "step:"); sub(/grad_norm.*memory:/, "memory:"); gsub(/  +/, " "); step = planned $0 }
    /FAILED/ { failed = failed " " $0 ";" }
    /\[  PASSED  \]/ { passed = $0 }
    /\[  SKIPPED \].*, listed below/ { sub(/, listed below:/, ""); passed = passed " " $0 }
    /^gradients of step 1|^losses, interpreter|^loss, CPU|^fall of the loss|^kernels: |^step: .* by graphs|^classes, |TFLOP\/s gradient/ {
      gsub(/  +/, " ")
      worst = worst " " $0 ";"
    }
    /^PyTorch .*: speed: / { best = " " $0 ";" }
    /^PyTorch / { peer = " " $0 ";" }
    /^WRONG: / { failed = failed " " $0 ";" }
    match($0, /(gradient of )?attention: Titan.s own kernels, since /) && !/since cuDNN (is not wanted|takes bf16)/ {
      reason = " " substr($0, RSTART, 120) ";"
      if (index(own, reason) == 0) own = own reason
    }
    END {
      all = passed worst (best == "" ? peer : best)
      print failed all (all == "" ? step : "") own
    }' | sed 's/^ //; s,|,/,g' | cut -c 1-1200
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

# The last line is the mean of 5 steps, as PyTorch's.
benchmark() {
  local name=$1 rows=$2 seq=$3 vocabulary=$4
  batches "$here/jobs/$name.safetensors" "$rows" "$seq" "$vocabulary" || return
  echo "$name plans $(cat "$here/jobs/$name.plan") bytes"
  "$here/bin/titan-run" "$here/jobs/$name.tbin" --training.dataset_path="$here/jobs/$name.safetensors" \
    --training.steps=10 --debug.seed=1 --metrics.log_freq=5
}

# Whether a benchmark's plan fits the GPU, and 3600 MiB of what nvidia-smi counts, for the driver, its context and
# the libraries; yes where its memory is not known.
fits() {
  [ -z "$memory" ] || [ $(($(cat "$here/jobs/$1.plan") / 1048576 + 3600)) -le "$memory" ]
}

# Titan's row of every benchmark, of a family that of the first that fits. `chosen` has their lines.
runBenchmarks() {
  local line name rows seq vocabulary family before done=" "
  chosen=()
  while read -r line; do
    read -r name _ rows seq vocabulary _ <<<"$line"
    family=${name%/*}
    [[ "$done" != *" $family "* ]] && fits "$name" || continue
    before=$wrong
    row "$name bfloat16" 40 75 bash -c 'benchmark "$@"' benchmark "$name" "$rows" "$seq" "$vocabulary"
    if [ "$family" != "$name" ] && grep -q -E 'OUT_OF_MEMORY|ALLOC_FAILED' "$(logOf "$name bfloat16")" 2>/dev/null; then
      table[-1]="$name bfloat16|skipped|the GPU's memory is too small" # the next may fit
      wrong=$before
      continue
    fi
    done+="$family "
    chosen+=("$line")
  done < <(benchmarks)
  while read -r family; do
    [[ "$done" == *" $family "* ]] || ! wanted "$family bfloat16" ||
      table+=("$family bfloat16|skipped|does not fit the GPU's memory")
  done < <(benchmarks | sed 's,[ /].*,,' | uniq)
}

# numberOf KEY FILE: the number behind "KEY: " in the last line of a log that has it, without separators.
numberOf() {
  sed 's/\x1b\[[0-9;]*m//g' "$2" 2>/dev/null | grep -o "$1: *[0-9][0-9.,e+]*" | tail -n 1 | sed 's/.*: *//; s/,//g; s/\.$//'
}

# PyTorch on the shapes of a benchmark for up to MOST seconds, beside what Titan reached; where it fits fewer layers
# only, Titan runs these too. The rates of unequal models are compared by their flops. Of a search that is killed or
# fails, the best until then counts.
runPeer() { # MOST LINE
  local name job rows seq vocabulary shapes log own peak layers at=${#table[@]}
  read -r name job rows seq vocabulary shapes _ <<<"$2"
  own=$(logOf "$name bfloat16") log=$(logOf "$name PyTorch")
  peak=$(sed -n 's/^peak: \([^ ]*\).*/peak=\1/p' <<<"$reason")
  layers=${name#*/}
  # What PyTorch fails at is no fault of Titan's.
  row "$name PyTorch" $leastOfPeer "$1" bash -c 'python3 "$@" || { [ $? -eq 3 ] || echo "PyTorch failed"; exit 3; }' peer \
    "$here/test/gpu/torch_peer.py" "rows=$rows" "seq=$seq" "vocab=$vocabulary" \
    "seconds=$(($1 < $(left) ? $1 - 10 : $(left) - 10))" $peak ${shapes//,/ } \
    $([ "$layers" = "$name" ] || echo "fewer=$(fewerThan "$layers")") || return
  if [[ "${table[-1]}" != *"|right|"* ]]; then
    grep -q '^PyTorch .*: speed: ' "$log" || return
    table[-1]="$name PyTorch|right|so far: $(detail "$log")"
  fi
  layers=$(grep -o '; [0-9]* layers' "$log" | tail -n 1 | tr -dc 0-9)
  if [ "$name" != "${name%/*}" ] && [ "$layers" != "${name#*/}" ]; then
    own=$(logOf "${name%/*}/$layers bfloat16")
    row "${name%/*}/$layers bfloat16" 40 60 bash -c 'benchmark "$@"' benchmark "${name%/*}/$layers" "$rows" "$seq" "$vocabulary" ||
      own=$(logOf "$name bfloat16")
  fi
  table[at]+="$(compareRates "$own" "$log")"
}

# Import and the first compilation take about 60 seconds.
leastOfPeer=75

fewerThan() { tr ' ' '\n' <<<"$slices" | awk -v most="$1" '$1 < most' | paste -sd,; }

compareRates() { # TITAN'S LOG, PYTORCH'S LOG
  awk "BEGIN { own = \"$(numberOf tps "$1")\" * \"$(numberOf flops/token "$1")\"
    peer = \"$(numberOf speed "$2")\" * \"$(numberOf flops/token "$2")\"
    if (own > 0 && peer > 0) printf \" Titan / PyTorch: %.2f\", own / peer }"
}

run() {
  local reason memory
  mkdir -p "$logs" "$out"
  rm -f "$logs"/*
  # pip's libraries are looked for in the Python that the machine has.
  [ -n "${VIRTUAL_ENV:-}" ] || VIRTUAL_ENV=$(python3 -c 'import sys; print(sys.prefix)')
  export VIRTUAL_ENV here
  export -f batches benchmark # a row is a command that timeout starts
  # For the conformance suite, as titan-run sets it.
  export CUDA_DEVICE_MAX_CONNECTIONS=${CUDA_DEVICE_MAX_CONNECTIONS:-32} NCCL_RUNTIME_CONNECT=${NCCL_RUNTIME_CONNECT:-0}
  reason=$(timeout -s KILL 60 "$here/bin/GpuCheck" describe 2>&1)
  if grep -q -E "driver is missing|CUDA_ERROR_NO_DEVICE" <<<"$reason"; then
    echo "$reason"
    if nvidia-smi -L 2>/dev/null | grep -q '^GPU'; then
      echo "error: nvidia-smi lists a GPU that GpuCheck does not find"
      exit 1
    fi
    echo "skipped: there is no GPU here"
    exit 77
  fi
  nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.sm,clocks.mem,clocks.max.sm --format=csv 2>/dev/null
  memory=$(nvidia-smi --query-gpu=memory.total --format=csv,noheader,nounits -i 0 2>/dev/null)
  [[ "$memory" =~ ^[0-9]+$ ]] || memory= # where the GPU's is the host's, "[N/A]"
  compareAll
  measureAll
  nvidia-smi --query-gpu=clocks.sm,clocks.mem,temperature.gpu,power.draw --format=csv 2>/dev/null
  echo
  collectLogs
  printTable | tee "$out/table.txt"
  exit $wrong
}

compareAll() {
  local i name precision target options shards=4
  # One small test of each suite.
  if [ -n "$quick" ]; then
    shards=1
    export GTEST_FILTER='InstructionTest.Fill:PointToPoint.SendsEveryTypeAroundTheRing'
  fi
  for ((i = 0; i < shards; ++i)); do
    # An address that does not exist ends all that its process has on the GPU, and no more.
    proof "instructions against the CPU, part $i" env TITAN_TEST_GPU=1 GTEST_TOTAL_SHARDS=$shards GTEST_SHARD_INDEX=$i \
      "$here/bin/CudaTests"
  done
  # With one GPU, what one rank does.
  grep -q '^no NCCL' <<<"$reason" ||
    proof "data plane of NCCL" env TITAN_TEST_GPU=1 "$here/bin/NcclConformanceTests"
  while read -r name precision target; do
    proof "golden $name $precision $target" python3 "$here/test/e2e/golden.py" "$here" "$name" \
      "$here/jobs/$name-$precision" $([ "$precision" = float32 ] || echo bfloat16) phase=train \
      $([ -z "$quick" ] || echo steps=1)
  done < <(goldens)
  while read -r precision options; do
    proof "debugmodel $precision against the CPU" python3 "$here/test/gpu/debug_losses.py" train "$here" \
      "$here/jobs/losses-$precision" "$precision"
  done < <(losses)
  # Small programs first.
  for name in $(ls -rS "$here"/jobs/kernels-*.tbin); do
    name=$(basename "$name" .tbin)
    proof "$name" "$here/bin/GpuCheck" kernels "$here/jobs/$name.tbin" "$here/jobs/$name.safetensors"
  done
  finishProofs
  if grep -q '^no NCCL' <<<"$reason" && wanted "data plane of NCCL"; then
    table+=("data plane of NCCL|skipped|$(grep '^no NCCL' <<<"$reason")") # it is needed with several GPUs only
  fi
  name="attention, cuDNN and own kernels"
  if wanted "$name"; then
    row "$name" 20 90 "$here/bin/GpuCheck" attention
    isProven
  fi
}

# Benchmarks first, then the rest, by importance.
measureAll() {
  local line i share chosen
  runBenchmarks
  for line in "${chosen[@]}"; do
    row "${line%% *} where the time goes" 40 40 "$here/bin/GpuCheck" classes "$here/jobs/${line%% *}.tbin"
  done
  for i in "${!chosen[@]}"; do
    # An equal share of what is left, the last with what those before it leave; or what gives a number, and none to
    # the least important.
    share=$(($(left) / (${#chosen[@]} - i)))
    runPeer $((share > 100 ? share : 100)) "${chosen[$i]}"
  done
}

case $action in
pack) pack ;;
run) run ;;
*) echo "usage: gpu-check.sh pack [--quick] [FOLDER] | run [--quick] [--seconds N] [--only REGEX]" >&2 && exit 1 ;;
esac

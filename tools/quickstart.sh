#!/usr/bin/env bash
# From a bare Debian 12 to a Llama in training: installs what is missing, builds the compiler and the
# runtime, compiles models/llama3/quickstart.toml and trains it on the texts of Debian's `fortunes`.
#
#   tools/quickstart.sh [--section.key value ...]
#
# Arguments go to titan-run (say --training.steps 1000). Everything it makes is in build/ and
# outputs/quickstart/; a second run builds nothing that is up to date. At the end it prints the loss
# on held-out text beside the corpus's unigram entropy, which is the best that a model can do
# that ignores context: without arguments, a loss that is not below it is an error.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$root"

out=outputs/quickstart
job=models/llama3/quickstart.toml
started=$SECONDS

say "packages"
tools/install-dependencies.sh quickstart

say "build (log: build/quickstart-build.log)"
cmake --preset default >/dev/null
logged build/quickstart-build.log \
  cmake --build build -j "$(build_jobs)" --target titan-compile titan-run ||
  fail "the build failed; its output is in build/quickstart-build.log"

say "corpus"
python3 tools/fortunes-corpus.py "$out/corpus"

say "compile $job"
build/bin/titan-compile "$job" -o "$out/model.tbin"

say "train (log: $out/train.log)"
logged "$out/train.log" build/bin/titan-run "$out/model.tbin" "$@" || # the job names the corpus
  fail "training failed; its output is in $out/train.log"

# The last number in the log that stands after the given words.
last_number() {
  sed 's/\x1b\[[0-9;]*m//g' "$out/train.log" |
    sed -nE "s/.*$1[^0-9]*([0-9]+\.[0-9]+).*/\1/p" | tail -n 1
}
loss=$(last_number 'held-out loss')
entropy=$(last_number 'unigram entropy')
[ -n "$loss" ] && [ -n "$entropy" ] ||
  fail "titan-run printed no held-out loss or no unigram entropy; its output is in $out/train.log"

say "held-out loss $loss, unigram entropy of the corpus $entropy (nats per token), $((SECONDS - started)) s in all"
if awk -v loss="$loss" -v entropy="$entropy" 'BEGIN { exit !(loss < entropy) }'; then
  say "the model has learned to use context"
elif [ $# -eq 0 ]; then
  fail "the held-out loss is not below the unigram entropy: the model has learned nothing from context"
else
  say "the held-out loss is not below the unigram entropy: train for longer"
fi

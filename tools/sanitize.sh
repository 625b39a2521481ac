#!/usr/bin/env bash
# Broken input under the address and undefined behavior sanitizers: builds the `sanitize` preset's
# tools and the tests that damage what they read, and runs these.
#
#   tools/sanitize.sh            damaged programs, jobs, tokenizers, corpora, tensors
#   tools/sanitize.sh --all      every test: the same as tools/check.sh --preset sanitize
#   tools/sanitize.sh --threads  under ThreadSanitizer, what has threads: collectives, world, data, device,
#                                executor, and training of 2 and 4 ranks, with faults; its programs
#                                are compiled by the default preset's titan-compile
#
# Logs are in build-sanitize, or build-thread: sanitize-build.log, sanitize-lit.log,
# sanitize-ranks.log. Exits with 1 if a test failed.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$root"

case ${1:-} in
'')
  preset=sanitize
  tools=(titan-compile titan-data titan-opt titan-run titan-translate)
  suites=(BaseTests DataTests FormatTests ToolInputTests)
  scripts=(compiler/errors format/roundtrip tools/bad-input dialects/)
  ;;
--all) exec tools/check.sh --preset sanitize ;;
--threads)
  preset=thread
  tools=(titan-run)
  suites=(CollectivesTests DataTests DeviceTests ExecTests LocalConformanceTests WorldTests)
  scripts=()
  ;;
*) fail "no such option '$1'; expected --all, --threads or nothing" ;;
esac
build=build-$preset

say "build (log: $build/sanitize-build.log)"
tools/install-dependencies.sh test
cmake --preset "$preset" >/dev/null
logged "$build/sanitize-build.log" \
  cmake --build "$build" -j "$(build_jobs)" --target "${tools[@]}" "${suites[@]}" ||
  fail "the build failed; its output is in $build/sanitize-build.log"

say "tests (log: $build/sanitize-lit.log)"
rm -f "$build"/test/unit/*.json # an interrupted run leaves GoogleTest's reports behind
filter=$(IFS='|' && all=("${suites[@]}" "${scripts[@]}") && echo "${all[*]}")
status=0
logged "$build/sanitize-lit.log" /usr/lib/llvm-22/bin/lit -v -j "$(nproc)" --filter "$filter" \
  "$build/test" "$build/test/unit" || status=1

# The tests of faults find a titan-compile and a titan-run in one folder.
train_ranks() {
  local folder=$build/ranks work=$build/ranks/work
  rm -rf "$folder"
  mkdir -p "$folder/bin"
  ln -s "$root/build/bin/titan-compile" "$root/$build/bin/titan-run" "$folder/bin"
  python3 test/e2e/mesh_faults.py local "$folder" "$work" &&
    (cd "$work" && ../bin/titan-compile auto.toml --world-size 2 -o two.tbin && ../bin/titan-run two.tbin)
}

if [ "$preset" = thread ]; then
  say "training of 2 and 4 ranks (log: $build/sanitize-ranks.log)"
  cmake --preset default >/dev/null
  logged "$build/sanitize-build.log" cmake --build build -j "$(build_jobs)" --target titan-compile ||
    fail "the build failed; its output is in $build/sanitize-build.log"
  logged "$build/sanitize-ranks.log" train_ranks || status=1
fi
exit $status

#!/usr/bin/env bash
# Builds Titan and runs every test: what CI runs.
#
#   tools/check.sh [--preset default | gcc | sanitize] [--filter REGEX]
#
# --filter runs only the lit and GoogleTest tests whose path matches. Logs are in the build folder:
# check-build.log, check-lit.log. The last line is 'N passed, M failed'; the line before counts the tests
# that this machine cannot run. A check of the sources (format, generated documents) counts as one test.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$root" || exit 1
exec </dev/null

preset=default
filter=
while [ $# -gt 0 ]; do
  case $1 in
  --preset=* | --filter=*)
    set -- "${1%%=*}" "${1#*=}" "${@:2}"
    ;;
  --preset | --filter)
    [ $# -ge 2 ] || fail "$1 wants a value"
    [ "$1" = --preset ] && preset=$2 || filter=$2
    shift 2
    ;;
  *) fail "no such option '$1'; expected --preset NAME or --filter REGEX" ;;
  esac
done
build=build
[ "$preset" = default ] || build=build-$preset
# The longest that all tests together may take; what has not run by then has failed.
seconds_for_tests=1800
[ "$preset" != sanitize ] || seconds_for_tests=7200 # these slow tests down

passed=0
failed=0
skipped=0
failures=()

# The last line, and the exit status: zero needs a test that passed and none that failed.
finish() {
  if [ ${#failures[@]} -gt 0 ]; then
    say "failed:"
    printf '    %s\n' "${failures[@]}"
  fi
  [ "$skipped" -eq 0 ] || say "skipped, since this machine lacks what they need: $skipped"
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
  exit
}

# A run that is cut short has failed, and says so.
trap 'failed=$((failed + 1)); failures+=("interrupted"); finish' INT TERM

# check NAME COMMAND...: one check of the sources, counted as one test.
check() {
  local name=$1
  shift
  if "$@" >"$build/check-$name.log" 2>&1; then
    echo "PASS: $name"
    passed=$((passed + 1))
  else
    echo "FAIL: $name"
    tail -n 40 "$build/check-$name.log"
    failed=$((failed + 1))
    failures+=("$name (whole output: $build/check-$name.log)")
  fi
}

# A step that must succeed before there is anything to test.
required() {
  local name=$1
  shift
  say "$name"
  if ! logged "$build/check-$name.log" "$@"; then
    failed=$((failed + 1))
    failures+=("$name (whole output: $build/check-$name.log)")
    finish
  fi
}

run_lit() {
  local report="$build/check-lit.xml" status counts
  rm -f "$report"
  rm -f "$build"/test/unit/*.json # an interrupted run leaves GoogleTest's reports behind
  logged "$build/check-lit.log" /usr/lib/llvm-22/bin/lit -v --xunit-xml-output "$report" \
    --max-time "$seconds_for_tests" -j "$(nproc)" ${filter:+--filter "$filter"} \
    "$build/test" "$build/test/unit"
  status=$?
  # Counts every case, GoogleTest's included, from lit's own report; prints names of the failed.
  if ! counts=$(python3 tools/lit-counts.py "$report"); then
    counts='0 0 0'
    [ "$status" -ne 0 ] || status=1
  fi
  read -r lit_passed lit_failed lit_skipped <<<"$(head -n 1 <<<"$counts")"
  while read -r name; do
    failures+=("$name (whole output: $build/check-lit.log)")
  done < <(tail -n +2 <<<"$counts")
  # lit can fail without a failed test: no test found, or time was up.
  if [ "$status" -ne 0 ] && [ "$lit_failed" -eq 0 ]; then
    lit_failed=1
    failures+=("lit itself, exit status $status (whole output: $build/check-lit.log)")
  fi
  passed=$((passed + lit_passed))
  failed=$((failed + lit_failed))
  skipped=$((skipped + lit_skipped))
}

required dependencies tools/install-dependencies.sh test
required configure cmake --preset "$preset"
# A test binary whose target is gone would still be found and run.
required clean-stale ninja -C "$build" -t cleandead
required build cmake --build "$build" -j "$(build_jobs)"
say "tests"
run_lit
say "checks of the sources"
check format tools/format.sh --check
check generated-docs cmake --build "$build" --target check-docs
finish

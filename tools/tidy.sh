#!/usr/bin/env bash
# clang-tidy with the checks of .clang-tidy.
#
#   tools/tidy.sh                        every C++ source of the libraries and tools
#   tools/tidy.sh runtime/data passes    those below some folders, or single files
#
# It needs a configured build (cmake --preset default) whose generated headers exist, reads the
# flags of each file from it, and prints findings; its exit status is 1 if there is one.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$root"

build=build
[ -f "$build/compile_commands.json" ] ||
  fail "$build/compile_commands.json is missing: run cmake --preset default, then build"
tools/install-dependencies.sh develop
[ $# -gt 0 ] || set -- compiler dialects frontend models passes runtime tools
# Kernels that are compiled for GPUs alone are no entries of the database.
known=$(sed -n 's|^ *"file": "'"$root"'/\(.*\)",*$|\1|p' "$build/compile_commands.json")
files=$(git -c safe.directory='*' ls-files -- "$@" | grep '\.cpp$' | grep -Fx "$known") ||
  fail "$build compiles no C++ source below: $*"

# clang-tidy cannot read a precompiled header of another compilation; headers are included anew.
log=$build/tidy.log
xargs -d '\n' -n 1 -P "$(build_jobs)" clang-tidy-22 -p "$build" --quiet <<<"$files" 2>&1 |
  grep -vE '^[0-9]+ warnings? (generated|treated)|^Suppressed |^Use -header-filter' | tee "$log" || true
! grep -qE ' (warning|error): ' "$log"

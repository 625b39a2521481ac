#!/usr/bin/env bash
# Formats the C++ sources that git tracks; with --check only says which need it, and fails if any.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$root"

action=(-i)
case ${1:-} in
'') ;;
--check) action=(--dry-run -Werror) ;;
*) fail "no such option '$1'; expected --check or nothing" ;;
esac

# A container may run this as another user than the clone's owner.
files=$(git -c safe.directory='*' ls-files '*.cpp' '*.h' '*.inc' '*.cu')
[ -n "$files" ] || fail "git tracks no C++ source in $root"
xargs -d '\n' clang-format-22 "${action[@]}" <<<"$files"

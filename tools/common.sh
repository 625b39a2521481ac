# Sourced by the scripts of this folder: where things are, how much to run at once, how to say it.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '==> %s\n' "$*"; }

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# Compiler processes that fit: one per core, each with 1.5 GiB (what a source file that includes
# much of MLIR takes).
build_jobs() {
  local cores memory
  cores=$(nproc)
  memory=$(awk '/^MemAvailable:/ { print int($2 / 1572864) }' /proc/meminfo)
  [ "$memory" -ge 1 ] || memory=1
  echo $((cores < memory ? cores : memory))
}

# logged FILE COMMAND...: runs it, output to the terminal and to FILE; its exit status.
logged() {
  local log=$1
  shift
  mkdir -p "$(dirname "$log")"
  (
    set -o pipefail
    "$@" 2>&1 | tee "$log"
  )
}

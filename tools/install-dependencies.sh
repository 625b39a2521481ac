#!/usr/bin/env bash
# Installs the Debian packages that Titan needs, and only those that are missing.
#
#   tools/install-dependencies.sh [build | test | docs | quickstart | develop]
#
#   build       what the configured build of all tools needs (default)
#   test        build, and what tools/check.sh runs
#   docs        build: the reference pages are rendered by the build's own TableGen
#   quickstart  build, and the corpus that tools/quickstart.sh trains on
#   develop     test, and what a developer runs by hand
#
# Works as root and as a user with sudo. TITAN_SKIP_INSTALL=1 makes it do nothing, for systems whose
# packages come from elsewhere.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# Package and the mode that first needs it; docs/dependencies.md has a reason for each.
packages() {
  cat <<'LIST'
cmake                 build
ninja-build           build
ccache                build
g++                   build
clang-22              build
lld-22                build
llvm-22-dev           build
libmlir-22-dev        build
mlir-22-tools         build
flatbuffers-compiler  build
libflatbuffers-dev    build
libdnnl-dev           build
libhwy-dev            build
libopenblas-dev       build
libspdlog-dev         build
libtomlplusplus-dev   build
nlohmann-json3-dev    build
libpcre2-dev          build
zlib1g-dev            build
libgtest-dev          build
libgmock-dev          build
libbenchmark-dev      build
python3               build
llvm-22-tools         test
clang-format-22       test
libclang-rt-22-dev    test
git                   test
libopenmpi-dev        test
openmpi-bin           test
fortunes              quickstart
clang-tidy-22         develop
LIST
}

mode=${1:-build}
case $mode in
build | docs) wanted="build" ;;
test | quickstart) wanted="build $mode" ;;
develop) wanted="build test develop" ;;
*) fail "no such mode '$mode'; expected build, test, docs, quickstart or develop" ;;
esac
[ -z "${TITAN_SKIP_INSTALL:-}" ] || exit 0

names=$(packages | awk -v wanted=" $wanted " 'index(wanted, " " $2 " ") { print $1 }')
installed=
if command -v dpkg-query >/dev/null; then
  # dpkg-query fails when it does not know one of the names, and prints the others all the same.
  # shellcheck disable=SC2086
  installed=$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' $names 2>/dev/null |
    awk '$2 == "installed" { print $1 }') || true
fi
missing=$(comm -23 <(sort <<<"$names") <(sort -u <<<"$installed") | xargs)
[ -n "$missing" ] || exit 0

system=$(. /etc/os-release 2>/dev/null && echo "${ID:-unknown} ${VERSION_ID:-}") || system=unknown
if [ "$system" != "debian 12" ]; then
  fail "these packages are missing: $missing
This script installs them on Debian 12 only, and this system is '$system'.
Install their equivalents by hand (docs/dependencies.md says what each is for), then set TITAN_SKIP_INSTALL=1."
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null ||
    fail "neither root nor sudo is at hand; run this as root: apt-get install $missing"
  as_root=(sudo)
  if [ ! -t 0 ]; then # nobody is there to type a password
    as_root=(sudo -n)
    sudo -n true 2>/dev/null ||
      fail "sudo wants a password, and there is no terminal; run this as root: apt-get install $missing"
  fi
fi
apt() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@"
}

say "installing from Debian: $missing"
# Old lists may do when the archives cannot be reached, or when a source that is not ours is broken.
hint=
apt -o APT::Update::Error-Mode=any update ||
  hint="
apt-get update failed before, as it says above: is the network there?"
unknown=
for name in $missing; do
  apt-cache show "$name" >/dev/null 2>&1 || unknown="$unknown $name"
done
[ -z "$unknown" ] ||
  fail "apt knows no package$unknown; LLVM 22 is in Debian 12's security archive:
is 'deb http://deb.debian.org/debian-security bookworm-security main' among apt's sources?$hint"
# shellcheck disable=SC2086
apt install -y --no-install-recommends $missing </dev/null ||
  fail "apt-get could not install: $missing; its messages stand above$hint"

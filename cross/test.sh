#!/bin/bash
# The unit, model and golden tests on the target's instruction set, and a story between the release binary and this
# machine's own agent, under qemu's user emulation.
#
#   cross/test.sh TARGET            all of it, but for what cross/skip.txt names
#   cross/test.sh TARGET quick      the crates' tests with fewer random cases, and the story
#   cross/test.sh TARGET story      what .ci/run runs: the story
#
# Builds what it needs with cross/build.sh. TIDEGATE_BIN: this machine's agent; it is built where that is not set.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"

usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; }

# PROGRAM:PACKAGE.
install_packages() {
    # Debian keeps daemons out of a user's PATH.
    local PATH=$PATH:/usr/sbin:/sbin missing=() program
    for program in qemu-arm-static:qemu-user-static unshare:util-linux mosquitto:mosquitto openssl:openssl; do
        command -v "${program%%:*}" >/dev/null || missing+=("${program#*:}")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# The tests that are left out, as libtest wants them.
skipped() { awk -v scope="$scope" '/^[^#]/ && ($1 == "always" || $1 == scope) { print "--skip"; print $2 }' cross/skip.txt; }

# Built first, outside the namespace: what is missing can be installed there.
test_packages() {
    local skip
    mapfile -t skip < <(skipped)
    cross/build.sh "$target" test --locked --no-run "$@"
    cross/emulated.sh "$target" cross/build.sh "$target" test --locked --no-fail-fast "$@" -- "${skip[@]}"
}

# In 32 bits each crate has something to get wrong. A 64 bit target shares the widths with this machine, whose tests have
# run: where time is short it is sled's atomics that are worth it, and the story reads what the other crates wrote.
test_crates() {
    local packages=(--package model --package journal)
    [[ $scope:$target == quick:aarch64-* ]] || packages+=(--package instruments --package lake)
    test_packages "${packages[@]}" --lib --tests
}

native_agent() {
    [ -z "${TIDEGATE_BIN:-}" ] || { realpath "$TIDEGATE_BIN"; return; }
    cargo build --locked --package tidegate || return
    echo "$root/target/debug/tidegate"
}

tell_story() {
    local native foreign
    native=$(native_agent) || return
    foreign=$(cross/build.sh "$target" | tail -n 1)
    cross/emulated.sh "$target" cross/story.sh "$native" "$foreign"
}

case ${1:-}:${2:-} in
    -h: | --help:) usage; exit ;;
    -*: | :*) usage >&2; exit 64 ;;
    *:) scope=always ;;
    *:story) scope=story ;;
    *:quick) scope=quick; export PROPTEST_CASES=${PROPTEST_CASES:-32} ;;
    *) usage >&2; exit 64 ;;
esac
target=$1
install_packages
[ $scope = story ] || test_crates
[ $scope != always ] || test_packages --package tidegate --lib --test captures --test profiles --test delivery --test layers
tell_story

#!/bin/bash
# A release binary against its budget in cross/budgets, and the oldest glibc that it starts with; fails when either passes.
#
#   cross/size.sh TARGET            what cross/build.sh TARGET has built
#   cross/size.sh TARGET BINARY     another one
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

# Debian 12, and Raspberry Pi OS of the same year.
readonly glibc_floor=2.36

usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; }

# Symbols' versions are text in the binary; no tool of the target is needed.
newest_glibc() { grep -aoE 'GLIBC_2\.[0-9]+' "$1" | sort -Vu | tail -n 1 | sed 's/GLIBC_//'; }

check_size() {
    local target=$1 binary=$2 size budget
    budget=$(awk -v target="$target" '$1 == target { print $2 }' "$root/cross/budgets")
    [ -n "$budget" ] || { echo "$target has no budget in cross/budgets" >&2; exit 64; }
    size=$(stat -c %s "$binary")
    awk -v target="$target" -v size="$size" -v budget="$budget" \
        'BEGIN { printf "%s: %d bytes, %.2f MiB of %d MiB", target, size, size / 1048576, budget }'
    if [ "$size" -gt $((budget * 1024 * 1024)) ]; then
        printf '\n'
        echo "$target is over its budget: find what came in (cargo bloat --release --crates), or argue for more" >&2
        exit 1
    fi
}

check_glibc() {
    local newest
    newest=$(newest_glibc "$1")
    printf ', glibc %s or newer\n' "$newest"
    [ "$(printf '%s\n' "$newest" $glibc_floor | sort -V | tail -n 1)" = $glibc_floor ] || {
        echo "it wants a newer glibc than $glibc_floor: boards with Debian 12 can not start it" >&2
        exit 1
    }
}

case ${1:-} in
    -h | --help) usage; exit ;;
    -* | "") usage >&2; exit 64 ;;
esac
binary=${2:-$root/.cache/cross/$1/$1/release/tidegate}
[ -f "$binary" ] || { echo "$binary is not there: cross/build.sh $1" >&2; exit 66; }
check_size "$1" "$binary"
check_glibc "$binary"

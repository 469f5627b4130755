#!/bin/bash
# Proves that two builds of HEAD for a target, in two directories of different names and lengths, are the same bytes.
# Takes two whole builds: half an hour on two cores. Nothing that is not committed counts. The binary stays behind as
# .cache/cross/TARGET/proven.
#
#   cross/reproducible.sh TARGET
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
target=${1:?usage: cross/reproducible.sh TARGET}
proven=$root/.cache/cross/$target/proven
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

build_in() {
    local copy=$1 binary
    git clone --quiet --no-hardlinks "$root" "$copy"
    mkdir -p "$copy/.cache/cross"
    # The compiler's own library is downloaded once; it is an input, like the compiler.
    cp -a "$root/.cache/cross/std" "$copy/.cache/cross/"
    binary=$("$copy/cross/build.sh" "$target" | tail -n 1)
    cp "$binary" "$proven"
    sha256sum <"$binary"
    # Nothing of one build can help the other.
    rm -rf "$copy"
}

"$root/cross/build.sh" "$target" fetch --locked
first=$(build_in "$dir/one")
echo "one: $first"
second=$(build_in "$dir/another-place/of-a-longer-name")
echo "another: $second"
[ "$first" = "$second" ] || { echo "the bytes differ" >&2; exit 1; }
echo "$target: $(git -C "$root" rev-parse --short HEAD) is reproducible"

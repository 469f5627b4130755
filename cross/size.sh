#!/usr/bin/env bash
# The release binary against its budget: 16 MiB, stripped. usage: cross/size.sh [BINARY]
set -euo pipefail
binary=${1:-$(dirname "$0")/../target/release/tidegate}
budget=$((16 * 1024 * 1024))
size=$(stat -c %s "$binary")
awk -v s="$size" -v b="$budget" 'BEGIN { printf "binary %.2f MiB, budget %.2f MiB, ratio %.2f\n", s/1048576, b/1048576, s/b }'
[ "$size" -le "$budget" ]

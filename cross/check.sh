#!/bin/bash
# What `cross` makes of Cross.toml, without Docker: an engine that only writes down what it is asked to run. Fails where a
# key is unknown (`cross` itself only warns) or another image is asked for than the file says. That the images exist and
# build is not proven.
#
#   cross/check.sh
#
# Installs `cross` below .cache/cross with cargo, a minute, when it is not there.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
tools=$root/.cache/cross/tools
readonly cross_version=0.2.5
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

install_cross() {
    [ -x "$tools/bin/cross" ] || cargo install --quiet cross --version $cross_version --locked --root "$tools"
}

# `cross` asks rustup for toolchains and adds what is missing: here nothing is missing.
write_fakes() {
    cat >"$dir/docker" <<'END'
#!/bin/sh
echo "$*" >>"$(dirname "$0")/asked"
END
    cat >"$dir/rustup" <<'END'
#!/bin/sh
case "$*" in
    "toolchain list") echo "stable-x86_64-unknown-linux-gnu (default)" ;;
    *"target list"*) printf '%s (installed)\n' aarch64-unknown-linux-gnu armv7-unknown-linux-gnueabihf x86_64-unknown-linux-gnu ;;
    *"component list"*) echo "rust-src (installed)" ;;
esac
END
    chmod +x "$dir/docker" "$dir/rustup"
}

ask() {
    local target=$1 image
    image=$(python3 - "$root/Cross.toml" "$target" <<'END'
import sys, tomllib
print(tomllib.load(open(sys.argv[1], "rb"))["target"][sys.argv[2]]["image"])
END
    )
    : >"$dir/asked"
    (
        cd "$root"
        PATH=$dir:$rust:/usr/bin:/bin CROSS_CONTAINER_ENGINE=$dir/docker CROSS_CONFIG=$root/Cross.toml \
            CARGO_TARGET_DIR=$dir/target "$tools/bin/cross" build --release --target "$target" --package tidegate
    ) >"$dir/said" 2>&1 || { cat "$dir/said" >&2; exit 1; }
    if grep -i "unused key" "$dir/said" >&2; then exit 1; fi
    grep -qF -- "$image" "$dir/asked" || { echo "$target: $image was not asked for:" >&2; cat "$dir/asked" "$dir/said" >&2; exit 1; }
    echo "$target: $image"
}

install_cross
write_fakes
rust=$(dirname "$(rustup which rustc 2>/dev/null || command -v rustc)")
for target in $("$root/cross/build.sh" --list); do ask "$target"; done

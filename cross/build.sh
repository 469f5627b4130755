#!/bin/bash
# Builds the release binary for a board, with Debian's own cross compilers and Debian's own Rust: no rustup, no Docker.
#
#   cross/build.sh TARGET           build; the last line says where the binary lies
#   cross/build.sh TARGET ARG...    run cargo with these arguments for that target instead: cross/build.sh TARGET test -p journal
#   cross/build.sh --experimental TARGET [ARG...]   for riscv64gc-unknown-linux-gnu and x86_64-unknown-linux-musl, of which
#                                   Debian has no standard library: built from its source by unstable means; to try, not
#                                   to release. musl is linked by Zig, which comes from PyPI
#   cross/build.sh --list           the targets
#   cross/build.sh --help
#
# Installs Debian packages (with sudo where it must) and unpacks the target's standard library below .cache/cross, each
# only when missing; a second run needs no network. Nothing is written into /usr by hand and the system's apt knows
# no foreign architecture afterwards. The same commit gives the same bytes in any directory, as long as Debian's
# compilers are the same: cross/reproducible.sh proves it.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cache=$root/.cache/cross

# Rust as Debian builds browsers with: kept new in stable releases, unlike its plain `rustc`.
rust_packages=(rustc-web cargo-web libstd-rust-web-dev)

usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; }

targets() { printf '%s\n' aarch64-unknown-linux-gnu armv7-unknown-linux-gnueabihf x86_64-unknown-linux-gnu; }

# Debian's architecture, the prefix of its compiler's programs, the packages that hold that compiler, and Rust's flags.
describe() {
    flags=() zig=''
    case $1 in
        aarch64-unknown-linux-gnu)
            arch=arm64 tools=aarch64-linux-gnu packages=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross) ;;
        armv7-unknown-linux-gnueabihf)
            arch=armhf tools=arm-linux-gnueabihf packages=(gcc-arm-linux-gnueabihf libc6-dev-armhf-cross)
            # Every ARMv7 knows Thumb-2; Rust's target writes ARM's longer instructions where it is not told. Debian's C
            # compiler needs no telling.
            flags=(-C target-feature=+thumb-mode) ;;
        x86_64-unknown-linux-gnu)
            arch=amd64 tools=x86_64-linux-gnu packages=(gcc libc6-dev) ;;
        riscv64gc-unknown-linux-gnu)
            only_experimental "$1"
            arch=riscv64 tools=riscv64-linux-gnu packages=(gcc-riscv64-linux-gnu libc6-dev-riscv64-cross rust-web-src) ;;
        x86_64-unknown-linux-musl)
            only_experimental "$1"
            # Zig has musl, its start-up code and an unwinder; Rust is not to bring its own.
            flags=(-C link-self-contained=no) zig=$cache/zig
            arch=amd64 tools=zig packages=(python3-venv rust-web-src) ;;
        *)
            echo "no such target: $1; cross/README.md says why; there are:" >&2
            targets >&2
            exit 64 ;;
    esac
}

only_experimental() {
    [ -n "$experimental" ] || { echo "$1: only with --experimental; cross/README.md says why" >&2; exit 64; }
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

is_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

install_packages() {
    local missing=() package
    for package in "${rust_packages[@]}" "${packages[@]}"; do is_installed "$package" || missing+=("$package"); done
    [ ${#missing[@]} -gt 0 ] || return 0
    echo "installing ${missing[*]}" >&2
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -y -qq \
        --no-install-recommends "${missing[@]}" >&2
}

# A C compiler, linker and musl in one, and what makes cargo use them.
install_zig() {
    [ -z "$zig" ] || [ -x "$zig/bin/cargo-zigbuild" ] || {
        rm -rf "$zig"
        python3 -m venv "$zig"
        "$zig/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: ziglang==0.17.1 cargo-zigbuild==0.24.0
    }
}

# The standard library of a foreign architecture is a package that Debian lets stand beside the native one, of the same
# version. Unpacked beside a link to the native one it is a sysroot of its own.
make_sysroot() {
    local version sysroot_of_debian
    if [ -n "$experimental" ]; then
        sysroot=$(/usr/bin/rustc --print sysroot)
        return
    fi
    version=$(dpkg-query -W -f '${Version}' libstd-rust-web-dev)
    sysroot=$cache/std/$version
    [ ! -d "$sysroot/lib/rustlib/$target" ] || return 0
    mkdir -p "$sysroot/lib/rustlib"
    sysroot_of_debian=$(/usr/bin/rustc --print sysroot)
    ln -sfn "$sysroot_of_debian/lib/rustlib/x86_64-unknown-linux-gnu" "$sysroot/lib/rustlib/x86_64-unknown-linux-gnu"
    [ -d "$sysroot/lib/rustlib/$target" ] || unpack_std "$version"
}

unpack_std() {
    local version=$1 name="libstd-rust-web-dev_${1}_$arch.deb" work
    work=$(mktemp -d "$cache/std/unpack.XXXXXX")
    if grep -q "  $name\$" "$root/cross/std.sha256"; then download_pinned "$name" "$work"; else
        download_indexed "$version" "$work"
    fi
    dpkg -x "$work/$name" "$work/x"
    # The move is the last step: a folder that is there is whole.
    mv "$work/x/usr/lib/rustlib/$target" "$sysroot/lib/rustlib/"
    rm -rf "$work"
}

# From beside the native package, wherever this system has that from. The hash is in the repository.
download_pinned() {
    local name=$1 into=$2 native
    native=$(apt-get download --print-uris libstd-rust-web-dev | sed "s/^'\([^']*\)'.*/\1/")
    echo "downloading $name" >&2
    (
        cd "$into"
        /usr/lib/apt/apt-helper -o APT::Sandbox::User=root download-file "${native%_amd64.deb}_$arch.deb" "$name" >&2
        grep "  $name\$" "$root/cross/std.sha256" | sha256sum --check --quiet
    )
}

# For a version that nobody has pinned yet: through Debian's signed index of the architecture, with an apt state of its
# own, since a foreign architecture in the system's apt makes each of its updates fail whenever that index does.
download_indexed() {
    local version=$1 into=$2 state=$cache/apt/$arch options
    mkdir -p "$state"/{lists/partial,archives/partial}
    : >>"$state/status"
    options=(-o "Dir::State=$state" -o "Dir::State::status=$state/status" -o "Dir::Cache=$state"
        -o "APT::Architecture=$arch" -o "APT::Architectures::=$arch" -o APT::Sandbox::User=root)
    echo "$version of Rust is not in cross/std.sha256: asking Debian's index" >&2
    apt-get "${options[@]}" update -qq >&2
    (cd "$into" && apt-get "${options[@]}" download -qq "libstd-rust-web-dev=$version" >&2)
}

# Cargo calls this for the compiler. What differs from one directory to the next is said here and not in RUSTFLAGS, which
# cargo hashes into the symbols' names. What aborts on a panic needs no tables for unwinding; tests unwind.
write_rustc() {
    local text
    mkdir -p "$target_dir"
    text="#!/bin/sh
case \" \$* \" in *' panic=abort '*) set -- \"\$@\" -C force-unwind-tables=no ;; esac
exec /usr/bin/rustc --sysroot '$sysroot' --remap-path-prefix='$cargo_home=/cargo' --remap-path-prefix='$root=/tidegate' \"\$@\""
    # Cargo builds all anew when this file's time changes.
    [ "$(cat "$target_dir/rustc" 2>/dev/null)" = "$text" ] || printf '%s\n' "$text" >"$target_dir/rustc"
    chmod +x "$target_dir/rustc"
}

run_cargo() {
    local snake=${target//-/_} upper date
    upper=${snake^^}
    date=$(git -C "$root" log -1 --format=%ct 2>/dev/null || echo 0)
    local settings=(
        RUSTC="$target_dir/rustc" CARGO_TARGET_DIR="$target_dir" SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$date}"
        "CARGO_TARGET_${upper}_RUSTFLAGS=${flags[*]}"
        "CFLAGS_$snake=-ffile-prefix-map=$cargo_home=/cargo -ffile-prefix-map=$root=/tidegate"
    )
    local words=(--target "$target") command=$1
    if [ -n "$zig" ]; then
        settings+=(CARGO=/usr/bin/cargo PATH="$zig/bin:$PATH")
        [ "$command" != build ] || command=zigbuild
    else
        settings+=("CARGO_TARGET_${upper}_LINKER=$tools-gcc" "CC_$snake=$tools-gcc" "AR_$snake=$tools-ar")
    fi
    if [ -n "$experimental" ]; then
        settings+=(RUSTC_BOOTSTRAP=1)
        words+=("-Zbuild-std=std,panic_abort")
    fi
    # Right behind the command: what follows a `--` is not cargo's.
    (cd "$root" && env -u RUSTFLAGS -u RUSTUP_TOOLCHAIN "${settings[@]}" /usr/bin/cargo "$command" "${words[@]}" "${@:2}")
}

build() {
    target=$1
    shift
    describe "$target"
    target_dir=$cache/$target
    cargo_home=${CARGO_HOME:-$HOME/.cargo}
    install_packages
    install_zig
    make_sysroot
    write_rustc
    if [ $# -gt 0 ]; then run_cargo "$@"; return; fi
    run_cargo build --release --locked --package tidegate
    echo "$target_dir/$target/release/tidegate"
}

experimental=''
if [ "${1:-}" = --experimental ]; then
    experimental=yes
    shift
fi
case ${1:-} in
    -h | --help) usage ;;
    --list) targets ;;
    -* | "") usage >&2; exit 64 ;;
    *) build "$@" ;;
esac

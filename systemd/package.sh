#!/bin/bash
# Makes tidegate_VERSION_ARCH.deb and tidegate-VERSION-ARCH.tar.gz of a release binary, and holds the .deb against its budget.
#
#   systemd/package.sh ARCH BINARY [OUT]    ARCH: amd64, arm64, armhf; OUT: target/packages
#
# VERSION is the workspace's, with a revision 1, unless the environment says otherwise (1.2.3-1); so is MAINTAINER
# (Name <address>), whom a fleet's people should ask. What is packed carries the
# time of the last commit, or SOURCE_DATE_EPOCH: the same commit and binary give the same bytes.
# dpkg-deb and no more than that: the .deb and the tarball are one tree, and nothing is compiled but the man pages.
# Needs dpkg-deb, readelf (binutils) and cargo; lintian looks at the result where it is installed.
set -euo pipefail
cd "$(dirname "$0")/.."

deb_bytes_max=$((5 * 1024 * 1024))
target=${CARGO_TARGET_DIR:-target}

fail() { echo "package.sh: $*" >&2; exit 1; }

[ $# -ge 2 ] || { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2; exit 64; }
arch=$1 binary=$2 out=${3:-$target/packages}
case $arch in
    amd64) machine='X86-64' ;;
    arm64) machine='AArch64' ;;
    armhf) machine='ARM' ;;
    *) fail "no packages for $arch" ;;
esac
readelf -h "$binary" | grep -q "Machine:.* $machine\$" || fail "$binary is not for $arch"

workspace_version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
version=${VERSION:-$workspace_version-1}
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2>/dev/null || date +%s)}"
export SOURCE_DATE_EPOCH
maintainer=${MAINTAINER:-tidegate <tidegate@example.org>}
# The newest symbol that the binary takes from the C library says which one it needs.
libc=$(readelf -V "$binary" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -1)
libc=${libc#GLIBC_}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022

# What both packages install, at its place below $1.
install_tree() {
    local tree=$1 doc=$1/usr/share/doc/tidegate page
    install -D -m 0755 "$binary" "$tree/usr/bin/tidegate"
    install -D -m 0644 systemd/tidegate.service "$tree/usr/lib/systemd/system/tidegate.service"
    install -D -m 0644 systemd/tidegate-update.service "$tree/usr/lib/systemd/system/tidegate-update.service"
    install -D -m 0644 systemd/tidegate-update.path "$tree/usr/lib/systemd/system/tidegate-update.path"
    install -D -m 0644 systemd/tidegate-reboot.service "$tree/usr/lib/systemd/system/tidegate-reboot.service"
    install -D -m 0644 systemd/tidegate-reboot.path "$tree/usr/lib/systemd/system/tidegate-reboot.path"
    install -D -m 0644 systemd/tidegate.sysusers "$tree/usr/lib/sysusers.d/tidegate.conf"
    install -D -m 0644 systemd/tidegate.tmpfiles "$tree/usr/lib/tmpfiles.d/tidegate.conf"
    install -D -m 0644 systemd/tidegate.rules "$tree/usr/lib/udev/rules.d/60-tidegate.rules"
    install -D -m 0640 systemd/tidegate.toml "$tree/etc/tidegate/tidegate.toml"
    for page in "$work"/manuals/man/*.1; do
        gzip -9n <"$page" | install -D -m 0644 /dev/stdin "$tree/usr/share/man/man1/${page##*/}.gz"
    done
    install -D -m 0644 "$work/manuals/completions/tidegate.bash" "$tree/usr/share/bash-completion/completions/tidegate"
    install -D -m 0644 "$work/manuals/completions/_tidegate" "$tree/usr/share/zsh/vendor-completions/_tidegate"
    install -D -m 0644 "$work/manuals/completions/tidegate.fish" "$tree/usr/share/fish/vendor_completions.d/tidegate.fish"
    for page in docs/{OPERATIONS,CONFIG,INSTRUMENTS,SEMANTICS,REMOTE,PROVISION,UPDATE}.md; do
        install -D -m 0644 "$page" "$doc/${page##*/}"
    done
    gzip -9n <CHANGELOG.md | install -m 0644 /dev/stdin "$doc/changelog.gz"
    install -m 0644 systemd/deb/copyright "$doc/copyright"
}

make_deb() {
    local tree=$work/deb doc=$work/deb/usr/share/doc/tidegate script
    install_tree "$tree"
    mkdir -p "$tree/DEBIAN" "$tree/usr/share/lintian/overrides"
    install -m 0644 systemd/deb/lintian-overrides "$tree/usr/share/lintian/overrides/tidegate"
    gzip -9n <<EOF | install -m 0644 /dev/stdin "$doc/changelog.Debian.gz"
tidegate ($version) unstable; urgency=medium

  * As built from its repository; what is new is in changelog.gz.

 -- $maintainer  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
EOF
    for script in postinst prerm postrm; do install -m 0755 "systemd/deb/$script" "$tree/DEBIAN/"; done
    echo /etc/tidegate/tidegate.toml >"$tree/DEBIAN/conffiles"
    (cd "$tree" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum) >"$tree/DEBIAN/md5sums"
    cat >"$tree/DEBIAN/control" <<EOF
Package: tidegate
Version: $version
Architecture: $arch
Maintainer: $maintainer
Installed-Size: $(du -k -s --exclude=DEBIAN "$tree" | cut -f1)
Depends: init-system-helpers (>= 1.52), libc6 (>= $libc), libgcc-s1 (>= 4.2), systemd (>= 247)
Recommends: ca-certificates, udev
Section: science
Priority: optional
Description: edge ingestion agent for instruments on serial lines
 tidegate reads the instruments on a board's serial lines, makes every reading
 durable within a second, and delivers to MQTT, to S3 and to a folder whenever
 the link allows. Nothing that was durable is lost: kills and power cuts are
 the normal case, and every loss that there could be is named.
EOF
    deb=$out/tidegate_${version}_$arch.deb
    dpkg-deb --root-owner-group -Zxz --build "$tree" "$deb" >/dev/null
}

make_tarball() {
    local name=tidegate-$version-$arch
    tarball=$out/$name.tar.gz
    install_tree "$work/$name/tree"
    install -m 0755 systemd/install.sh "$work/$name/install.sh"
    echo "$version" >"$work/$name/VERSION"
    tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -cf - "$name" |
        gzip -9n >"$tarball"
}

mkdir -p "$out"
# C compilers are told the time, too, and cargo would make all of the C anew for it.
env -u SOURCE_DATE_EPOCH cargo run --quiet --locked -p tidegate --example manuals -- "$work/manuals"
make_deb
make_tarball
if command -v lintian >/dev/null; then
    # As root it warns of being root.
    lintian --tag-display-limit 0 --fail-on error,warning --allow-root "$deb"
else
    echo "lintian is not installed: $deb is not looked at"
fi
bytes=$(stat -c %s "$deb")
awk -v name="${deb##*/}" -v s="$bytes" -v b="$deb_bytes_max" \
    'BEGIN { printf "%s %.2f MiB, budget %.2f MiB, ratio %.2f\n", name, s/1048576, b/1048576, s/b }'
printf '%s\n%s\n' "$deb" "$tarball"
[ "$bytes" -le "$deb_bytes_max" ] || fail "$deb is over its budget"

#!/bin/sh
# Installs tidegate on a system with systemd and without dpkg, from the unpacked tarball, as root.
#
#   ./install.sh                      install, or upgrade: keeps the configuration and the journal
#   ./install.sh uninstall            removes the program, keeps the configuration and the journal
#   ./install.sh uninstall --purge    removes them, too
#
# What was installed is written down in /usr/share/doc/tidegate/FILES, by which an upgrade and a removal find it. A
# configuration that was changed is never overwritten: a new default is put beside it as tidegate.toml.new.
# POSIX sh and what busybox has: small systems have no more.
set -eu

cd "$(dirname "$0")"
list=/usr/share/doc/tidegate/FILES
config=/etc/tidegate/tidegate.toml

fail() { echo "install.sh: $*" >&2; exit 1; }

remove_files() {
    [ ! -e "$list" ] || while IFS= read -r file; do rm -f "$file"; done <"$list"
}

install_all() {
    # After `dpkg --remove` its list of files stays and its sums go.
    [ ! -e /var/lib/dpkg/info/tidegate.md5sums ] ||
        fail "the Debian package is installed: upgrade that one"
    is_upgrade=false
    [ ! -e "$list" ] || is_upgrade=true
    # A file that the new version lacks must not stay; each of the others is replaced in one step, also under an agent that
    # is running.
    new_list=$(mktemp)
    (cd tree && find usr -type f) | sed 's,^,/,' | sort >"$new_list"
    if $is_upgrade; then
        while IFS= read -r file; do
            grep -qxF "$file" "$new_list" || rm -f "$file"
        done <"$list"
    fi
    while IFS= read -r file; do
        mkdir -p "$(dirname "$file")"
        cp -p "tree$file" "$file.tidegate-new"
        chown 0:0 "$file.tidegate-new"
        mv -f "$file.tidegate-new" "$file"
    done <"$new_list"
    mv -f "$new_list" "$list"
    chmod 0644 "$list"

    systemd-sysusers tidegate.conf
    systemd-tmpfiles --create tidegate.conf
    if [ ! -e "$config" ]; then
        new=$config
    else
        new=$config.new
    fi
    cp "tree$config" "$new"
    chown root:tidegate "$new"
    chmod 0640 "$new"
    if [ "$new" != "$config" ] && cmp -s "$new" "$config"; then rm -f "$new"; fi

    udevadm control --reload || true
    systemctl daemon-reload
    if $is_upgrade; then systemctl try-restart tidegate.service; else systemctl enable --now tidegate.service; fi
    # Not started where it is an update that runs this.
    systemctl enable tidegate-update.service
    systemctl enable --now tidegate-update.path
    echo "tidegate $(cat VERSION) is installed: edit $config, then tidegate check"
}

uninstall() {
    [ -e "$list" ] || fail "nothing is installed by this script"
    systemctl disable --now tidegate-reboot.path tidegate-update.path tidegate-update.service tidegate.service || true
    remove_files
    rm -f "$list"
    rmdir /usr/share/doc/tidegate 2>/dev/null || true
    systemctl daemon-reload
    if [ "${1:-}" = --purge ]; then
        rm -rf /var/lib/tidegate /var/lib/tidegate-update /etc/tidegate /etc/systemd/system/tidegate.service.d
    else
        echo "kept: /etc/tidegate, /var/lib/tidegate"
    fi
}

[ "$(id -u)" = 0 ] || fail "run it as root"
[ -d /run/systemd/system ] || fail "no systemd is running here: put tree/usr/bin/tidegate in place and run 'tidegate run' by what starts programs here"
case "${1:-install} ${2:-}" in
    "install ") install_all ;;
    "uninstall " | "uninstall --purge") uninstall "${2:-}" ;;
    *) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2; exit 64 ;;
esac

#!/bin/bash
# Runs a command in which programs for another target can be executed as if they were this machine's, also by one another
# (the agent starts itself as a child): qemu's user emulation, known to the kernel inside a namespace of the command's own.
#
#   cross/emulated.sh TARGET COMMAND...
#
# Needs Linux 6.7 or newer with unprivileged user namespaces, and no root; nothing of it is left when the command ends.
# What it proves is the target's instructions, sizes of words, atomics and file offsets. System calls go to this kernel.
set -euo pipefail

usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; }

# The beginning of an ELF file for the machine: class, byte order, executable or shared, machine.
describe() {
    case $1 in
        aarch64-unknown-linux-gnu) qemu=qemu-aarch64-static libraries=/usr/aarch64-linux-gnu class=02 machine=b7 ;;
        armv7-unknown-linux-gnueabihf) qemu=qemu-arm-static libraries=/usr/arm-linux-gnueabihf class=01 machine=28 ;;
        x86_64-unknown-linux-gnu) qemu='' ;;
        *) usage >&2; exit 64 ;;
    esac
}

# Runs inside the namespace. `F` opens the emulator now, so that it is found below any root.
register_and_run() {
    local zeros='\x00\x00\x00\x00\x00\x00\x00\x00\x00' any='\xff\xff\xff\xff\xff\xff\xff\xff\xff'
    mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
    printf '%s' ":tidegate:M::\\x7fELF\\x$class\\x01\\x01$zeros\\x02\\x00\\x$machine\\x00:\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x00${any#\\xff}\\xfe\\xff\\xff\\xff:$(command -v "$qemu"):F" \
        >/proc/sys/fs/binfmt_misc/register
    export QEMU_LD_PREFIX=$libraries
    exec "$@"
}

[ $# -ge 2 ] || { usage >&2; exit 64; }
describe "$1"
shift
[ -n "$qemu" ] || exec "$@"
export qemu libraries class machine
export -f register_and_run
exec unshare --user --map-root-user --mount bash -euc 'register_and_run "$@"' register "$@"

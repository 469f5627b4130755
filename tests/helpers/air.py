"""A line that loses packets: air.py DELAY_MS LOSS KBIT_S SEED CONGESTION

Two network namespaces with a TUN device each, `near` (10.77.0.2) and `far` (10.77.0.1), and this process between them. A
packet of either side waits for its turn in a queue that holds two seconds of the line, takes its time at KBIT_S, is lost
with the probability LOSS, a lost packet having taken its time, and arrives DELAY_MS later. Each way the same; chance
comes from SEED. Both namespaces send by the congestion control
CONGESTION (`cubic`, `bbr`). For kernels without netem,
which is what else would do this.

Says where the namespaces are, as JSON: paths for `nsenter --net=`, which hold as long as this process lives; nothing else
names them and nothing is left behind. SIGUSR1 makes the line dead (every packet is lost, nobody is told), SIGUSR2
alive again; each is answered by a line, `dead` or `alive`, behind which it is true. SIGTERM prints what was carried, and
ends. Needs root and /dev/net/tun; a machine that lacks them is told so, with exit code 69.
"""

import ctypes
import fcntl
import heapq
import json
import os
import random
import select
import signal
import struct
import subprocess
import sys
import time

delay_s, loss, byte_s = float(sys.argv[1]) / 1e3, float(sys.argv[2]), 8 / (float(sys.argv[3]) * 1e3)
chance, congestion = random.Random(int(sys.argv[4])), sys.argv[5]

ADDRESSES = {"near": "10.77.0.2/24", "far": "10.77.0.1/24"}
# Below every mobile network's own.
MTU = 1400
# Modems keep more than is good for anybody.
QUEUE_S = 2.0

# <sched.h> and <linux/if_tun.h>. Debian 12's Python has no os.unshare.
CLONE_NEWNET = 0x4000_0000
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x4004_54CA, 0x0001, 0x1000


def side(address):
    """A new namespace, in which this process then is, as (its descriptor, the device's)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "no network namespace can be made")
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH", b"line", IFF_TUN | IFF_NO_PI))
    # By the route and not by sysctl: that may choose less in a namespace than in the machine.
    way = f"route replace 10.77.0.0/24 dev line src {address.split('/')[0]} congctl {congestion}"
    for words in (f"addr add {address} dev line", f"link set line up mtu {MTU}", "link set lo up", way):
        subprocess.run(["ip", *words.split()], check=True)
    return os.open("/proc/self/ns/net", os.O_RDONLY), tun


try:
    # The second is made from within the first: they are siblings all the same.
    sides = {name: side(address) for name, address in ADDRESSES.items()}
except (OSError, subprocess.CalledProcessError) as error:
    print(f"no line that loses packets on this machine: {error}", file=sys.stderr)
    sys.exit(69)

is_alive, is_over = True, False


def turn(to_alive):
    global is_alive
    is_alive = to_alive
    print("alive" if is_alive else "dead", flush=True)


def end(*_):
    global is_over
    is_over = True


signal.signal(signal.SIGUSR1, lambda *_: turn(False))
signal.signal(signal.SIGUSR2, lambda *_: turn(True))
signal.signal(signal.SIGTERM, end)
print(json.dumps({name: f"/proc/{os.getpid()}/fd/{space}" for name, (space, _) in sides.items()}), flush=True)

(_, near), (_, far) = sides.values()
opposite = {near: far, far: near}
free_at = {near: 0.0, far: 0.0}
carried = {"arrived": 0, "lost": 0, "overflowed": 0, "died": 0}
# (when, order, to, packet)
under_way, order = [], 0

while not is_over:
    # Signals are looked at between two waits at the latest.
    patience = min(0.2, max(0.0, under_way[0][0] - time.monotonic())) if under_way else 0.2
    for tun in select.select([near, far], [], [], patience)[0]:
        packet, now = os.read(tun, MTU), time.monotonic()
        begin = max(now, free_at[tun])
        if not is_alive:
            carried["died"] += 1
        elif begin - now > QUEUE_S:
            carried["overflowed"] += 1
        else:
            free_at[tun] = begin + len(packet) * byte_s
            if chance.random() < loss:
                carried["lost"] += 1
            else:
                order += 1
                heapq.heappush(under_way, (free_at[tun] + delay_s, order, opposite[tun], packet))
    while under_way and under_way[0][0] <= time.monotonic():
        _, _, to, packet = heapq.heappop(under_way)
        if is_alive:
            os.write(to, packet)
        carried["arrived" if is_alive else "died"] += 1

print(json.dumps(carried), flush=True)

"""What a card is written a month: whole agents on disks of their own, with instruments that talk and a broker that listens.

usage: flash.py BINARY FOLDER MINUTES

FOLDER is a tmpfs or a disk with 600 MB; root, for the loop devices, in a mount namespace that ends with this. `device` is what
the disk below was given to write, with the file system's own journal; `agent` is the agent's part of it. The first half
minute, in which a journal is made, does not count.
"""

import math
import os
import pty
import socket
import subprocess
import sys
import threading
import time
import tty

# What it is called, instruments, seconds between two lines of one, commit_interval.
LOADS = [
    ("5 instruments every 10 s", 5, 10.0, "1s"),
    ("the same, commit_interval = 10s", 5, 10.0, "10s"),
    ("20 instruments at 1 Hz", 20, 1.0, "1s"),
    ("the same, commit_interval = 10s", 20, 1.0, "10s"),
]
VALUES = 4
MONTH_SECONDS = 30 * 86_400
WARM_SECONDS = 30


def port_of_broker(folder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = os.path.join(folder, "mosquitto.conf")
    with open(config, "w", encoding="utf-8") as file:
        file.write(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    log = open(os.path.join(folder, "mosquitto.log"), "wb")
    return subprocess.Popen(["mosquitto", "-c", config], stdout=log, stderr=log), port


class Load:
    """One agent on a disk of its own."""

    def __init__(self, binary, folder, broker, load):
        self.what, self.count, self.pause, commit_interval = load
        os.mkdir(folder)
        image, disk = folder + "/image", folder + "/disk"
        self.disk = disk
        os.mkdir(disk)
        subprocess.run(["truncate", "-s", "128M", image], check=True)
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
        subprocess.run(["mount", "-o", "loop", image, disk], check=True)
        device = os.stat(disk).st_dev
        self.stat = f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat"
        config = f'[device]\nid = "gw-{os.path.basename(folder)}"\n[journal]\npath = "{disk}/journal"\nmax_bytes = "64MiB"\n'
        config += f'commit_interval = "{commit_interval}"\n[local]\nsocket = "{folder}/socket"\n[clock]\nhold_untrusted = "0s"\n'
        config += f'[sink.cloud]\ntype = "mqtt"\nurl = "mqtt://127.0.0.1:{broker}"\n'
        self.ports = []
        for number in range(self.count):
            ours, theirs = pty.openpty()
            tty.setraw(theirs)
            self.ports.append(ours)
            config += f'[bus.b{number}]\nport = "{os.ttyname(theirs)}"\n[instrument.i{number}]\nbus = "b{number}"\n'
            config += f'[instrument.i{number}.protocol]\ntype = "stream"\n'
            config += f'decode = {{ type = "delimited", sep = ",", columns = {VALUES} }}\n'
            for field in range(1, VALUES + 1):
                config += f'[instrument.i{number}.quantity.q{field}]\nfield = {field}\nunit = "1"\n'
        with open(folder + "/config", "w", encoding="utf-8") as file:
            file.write(config)
        log = open(folder + "/log", "wb")
        self.agent = subprocess.Popen([binary, "--config", folder + "/config", "run"], stdout=log, stderr=log)
        threading.Thread(target=self.talk, daemon=True).start()

    def talk(self):
        """Each instrument in its own time, as they are where nobody asks them."""
        begun, turn = time.monotonic(), 0
        while True:
            turn += 1
            at = begun + turn * self.pause / self.count
            time.sleep(max(0.0, at - time.monotonic()))
            swing = math.sin(turn / 400)
            values = [7.8 + swing + 0.01 * (turn % 7), 21.5 + swing / 3, 8.1 + swing / 10, 400 + 5 * swing]
            os.write(self.ports[turn % self.count], ",".join(f"{value:.2f}" for value in values).encode() + b"\n")

    def written(self):
        with open(f"/proc/{self.agent.pid}/io", encoding="ascii") as file:
            agent = int(next(line for line in file if line.startswith("write_bytes")).split()[1])
        with open(self.stat, encoding="ascii") as file:
            return agent, int(file.read().split()[6]) * 512


def main(binary, folder, minutes):
    broker, port = port_of_broker(folder)
    loads = [Load(binary, f"{folder}/{number}", port, load) for number, load in enumerate(LOADS)]
    try:
        time.sleep(WARM_SECONDS)
        os.sync()
        before = [load.written() for load in loads]
        time.sleep(minutes * 60)
        os.sync()
        after = [load.written() for load in loads]
    finally:
        for process in [load.agent for load in loads] + [broker]:
            process.terminate()
            process.wait()
        for load in loads:
            subprocess.run(["umount", load.disk], check=True)
    print(f"{minutes} minutes of lines of {VALUES} values, delivered over MQTT every 10 s; GB in 30 days")
    for load, then, now in zip(loads, before, after):
        agent, device = ((b - a) * MONTH_SECONDS / (minutes * 60) / 1e9 for a, b in zip(then, now))
        print(f"{load.what:<32} agent {agent:6.2f}  device {device:6.2f}")


main(sys.argv[1], sys.argv[2], float(sys.argv[3]))

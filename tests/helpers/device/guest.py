"""A board: Debian under systemd in QEMU, whose power can be cut.

Everything is emulated (TCG): slow, and the same on every machine. The disk is a file that QEMU writes without the host's
page cache; SIGKILL to QEMU is the power cut. What the guest had not synced was in its memory and is gone; what it had,
stays. A disk that lies or reorders is not modelled.

Four serial ports: the console (into a file), the instrument, `ask` (a shell that a service of the guest holds to it) and
`witness` (what `tidegate tail -f` says, for the host to keep when the power goes).
"""

import base64
import gzip
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

# By Debian's names: the program with its machine, and the device of the console.
MACHINES = {
    "amd64": (["qemu-system-x86_64", "-machine", "q35", "-cpu", "max"], "ttyS0"),
    "armhf": (["qemu-system-aarch64", "-machine", "virt", "-cpu", "cortex-a53"], "ttyAMA0"),
}
PORTS = ("instrument", "ask", "witness")
# A power-on under TCG beside a build takes 30 s; ten times that is a hang.
START_SECONDS_MAX = 300


class Failed(Exception):
    """The guest, or what runs in it, did not do what it had to."""


def wait_for(what, seconds, look, every=0.05):
    """Waits until `look` gives something, and gives that."""
    end = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > end:
            raise Failed(f"waited {seconds} s for {what}")
        time.sleep(every)


class Guest:
    """One board; `start` and `cut` or `halt` it as often as wanted, its disks stay."""

    def __init__(self, arch, folder, kernel, initrd, disk, extra_disk):
        self.machine, self.console_device = MACHINES[arch]
        self.folder, self.kernel, self.initrd = folder, kernel, initrd
        self.disks = (disk, extra_disk)
        self.console = os.path.join(folder, "console")
        self.qemu = None
        self.answers = None

    def start(self, rtc="utc"):
        """Power on; returns when the board's services are up, with the seconds that took."""
        begun = time.monotonic()
        arguments = self.machine + [
            "-accel", "tcg,thread=multi", "-smp", "2", "-m", "512",
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-rtc", f"base={rtc}",
            "-kernel", self.kernel, "-initrd", self.initrd,
            "-append", f"console={self.console_device} quiet panic=-1 no_timer_check random.trust_cpu=on net.ifnames=0 systemd.show_status=0",
            "-nic", "user,model=virtio-net-pci",
            "-chardev", f"file,id=console,path={self.console},append=on", "-serial", "chardev:console",
        ]
        # The others are ttyS1 and so on everywhere: where the console is no ttyS, nobody is at ttyS0.
        has_own_console = self.console_device != "ttyS0"
        if has_own_console:
            arguments += ["-chardev", "null,id=nobody", "-device", "pci-serial,chardev=nobody"]
        for name in PORTS:
            path = self.port(name)
            if os.path.exists(path):
                os.remove(path)
            arguments += ["-chardev", f"socket,id={name},path={path},server=on,wait=off"]
            arguments += ["-device", f"pci-serial,chardev={name}"] if has_own_console else ["-serial", f"chardev:{name}"]
        for number, disk in enumerate(self.disks):
            arguments += ["-drive", f"file={disk},if=none,id=d{number},format=raw,cache=none,aio=threads"]
            arguments += ["-device", f"virtio-blk-pci,drive=d{number}"]
        with open(os.path.join(self.folder, "qemu.log"), "ab") as log:
            self.qemu = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.answers = Lines(self.connect("ask"))
        self.answer("READY", START_SECONDS_MAX)
        return time.monotonic() - begun

    def port(self, name):
        return os.path.join(self.folder, name)

    def connect(self, name):
        """The host's end of a serial port."""
        end = socket.socket(socket.AF_UNIX)

        def tried():
            if self.qemu.poll() is not None:
                raise Failed("qemu ended: see qemu.log")
            try:
                end.connect(self.port(name))
                return True
            except (FileNotFoundError, ConnectionRefusedError):
                return False

        wait_for("qemu", 30, tried)
        return end

    def answer(self, word, seconds):
        line = wait_for(f"{word} from the guest", seconds, self.next_answer)
        if not line.startswith(word):
            raise Failed(f"the guest said {line!r}")
        return line

    def next_answer(self):
        if self.qemu.poll() is not None:
            raise Failed("qemu ended by itself: see qemu.log and console")
        return self.answers.next()

    def run(self, script, seconds=180):
        """Runs a script of bash in the guest as root: (exit code, what it said)."""
        packed = base64.b64encode(gzip.compress(script.encode())) + b"\n"
        self.answers.end.sendall(packed)
        _, code, text = self.answer("RESULT", seconds).split(" ")
        return int(code), gzip.decompress(base64.b64decode(text)).decode(errors="replace")

    def ask(self, script, seconds=180):
        """The same; what it said, if it ended well."""
        code, text = self.run(script, seconds)
        if code != 0:
            raise Failed(f"exit {code} of: {script}\n{text}")
        return text.strip()

    def status(self):
        """What the agent says of itself; nothing while it does not answer."""
        code, text = self.run("tidegate status --json")
        return json.loads(text) if code in (0, 1) else None

    def wait_status(self, what, wanted, seconds=120, every=0.05):
        last = []

        def look():
            status = self.status()
            last[:] = [status]
            return status if status and wanted(status) else None

        try:
            return wait_for(what, seconds, look, every)
        except Failed as error:
            raise Failed(f"{error}; its last status: {json.dumps(last)}\n{self.log()}") from None

    def unit(self, *names):
        """Properties of the agent's unit."""
        text = self.ask("systemctl show tidegate " + " ".join(f"-p {name}" for name in names))
        values = dict(line.split("=", 1) for line in text.splitlines())
        return [values[name] for name in names]

    def log(self, lines=40):
        return self.run(f"journalctl -u tidegate --no-pager -o short-monotonic -n {lines}")[1]

    def cut(self):
        """The power goes."""
        self.qemu.send_signal(signal.SIGKILL)
        self.qemu.wait()

    def halt(self):
        """An orderly end."""
        self.run("systemctl poweroff --no-block")
        self.qemu.wait(START_SECONDS_MAX)


class Lines:
    """Lines from a socket, without waiting for them."""

    def __init__(self, end):
        self.end, self.rest = end, b""
        end.setblocking(True)

    def next(self):
        """The next whole line; nothing while there is none."""
        if b"\n" not in self.rest:
            try:
                self.rest += self.end.recv(1 << 16, socket.MSG_DONTWAIT)
            except (BlockingIOError, ConnectionResetError):
                pass
        line, newline, rest = self.rest.partition(b"\n")
        if not newline:
            return None
        self.rest = rest
        return line.decode(errors="replace").strip("\r")


class Instrument(threading.Thread):
    """Says `n,1`, `n,2` ... to whichever board is powered, and never waits: what the line does not take is not said."""

    def __init__(self, per_second):
        super().__init__(daemon=True)
        self.pause, self.number, self.end = 1 / per_second, 0, None
        self.is_on = True
        self.start()

    def plug(self, end):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        end.setblocking(False)
        self.end = end

    def run(self):
        rest = b""
        due = time.monotonic()
        while True:
            due += self.pause
            time.sleep(max(0.0, due - time.monotonic()))
            end = self.end
            if end is None or not self.is_on:
                rest = b""
                continue
            self.number += 1
            try:
                # A line that went in by half is finished first: what is lost is a whole line.
                if not rest:
                    rest = f"n,{self.number}\r\n".encode()
                rest = rest[end.send(rest):]
            except BlockingIOError:
                pass
            except OSError:
                self.end, rest = None, b""


class Witness(threading.Thread):
    """Keeps what `tail -f` said: each row was durable before it was said."""

    def __init__(self, end):
        super().__init__(daemon=True)
        self.lines, self.rows, self.is_open = Lines(end), {}, True
        self.start()

    def run(self):
        file = self.lines.end.makefile("rb", buffering=0)
        for line in iter(file.readline, b""):
            # A line that the power cut is none.
            if not line.endswith(b"\n"):
                break
            # The terminal's first words, when the service starts, are no row.
            if found := re.search(rb"\{.*\}", line):
                try:
                    row = json.loads(found[0])
                except ValueError:
                    continue
                self.rows[row["seq"]] = row
        self.is_open = False


def number_of(row):
    """The number that the instrument said; nothing for other rows."""
    return int(row["value"]) if row.get("quantity") == "number" else None

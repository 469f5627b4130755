"""The stories of tests/device: what becomes of the agent on a board.

usage: stories.py ARCH CACHE WORK CUTS [STORY ...]

CACHE holds vmlinuz, initrd and system.img, WORK/packages what is to be installed. Without stories: all of them. The first thing that is not as it must be
ends it, with what the agent's log says.
"""

import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import threading
import time

from guest import Failed, Guest, Instrument, Witness, number_of, wait_for

LINES_PER_SECOND = 20
# Broker on the host's loopback, seen from QEMU's network.
HOST = "10.0.2.2"
# What tests/device puts into the journal that is delivered in `backlog`, at the least.
BACKLOG_READINGS = 10_000_000
# The budgets of a board with 64 MiB or more: in the steady state, and while a backlog goes out.
IDLE_MIB_MAX, CATCH_UP_MIB_MAX = 16, 28
# A guest under TCG that shares its cores delivers some thousand readings a second.
BACKLOG_SECONDS_MAX = 5400
FIRST_TIMES = "1970-01-01T00:00:00"

CONFIG = """
[device]
id   = "gw-1"
site = "farm"
health_every = "0s"
{more}
[bus.line]
port = "/dev/ttyS1"
baud = 115200
[instrument.counter]
bus = "line"
[instrument.counter.protocol]
type   = "stream"
frame  = {{ type = "line", start = "n,", end = "\\r\\n", max = 64 }}
decode = {{ type = "delimited", sep = ",", columns = 2 }}
[instrument.counter.quantity.number]
field = 2
unit  = "1"
[sink.cloud]
type  = "mqtt"
url   = "mqtt://{host}:{port}"
batch = {{ max_age = "500ms" }}
"""


def check(claim, fact, *shown):
    if not fact:
        raise Failed(" ".join([f"not so: {claim}", *map(str, shown)]))


class Board:
    """The guest, with everything around it."""

    def __init__(self, arch, cache, work):
        self.work = work
        disk, extra = os.path.join(work, "disk"), os.path.join(work, "packages.img")
        subprocess.run(["cp", "--sparse=always", os.path.join(cache, "system.img"), disk], check=True)
        subprocess.run(["truncate", "-s", "256M", extra], check=True)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-d", os.path.join(work, "packages"), extra], check=True)
        self.guest = Guest(arch, work, os.path.join(cache, "vmlinuz"), os.path.join(cache, "initrd"), disk, extra)
        self.instrument = Instrument(LINES_PER_SECOND)
        self.witness, self.durable, self.rows = None, {}, {}
        self.cuts, self.starts, self.cuts_wanted = 0, [], 0
        self.is_configured = False
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.processes = []
        self.open_broker()

    def open_broker(self):
        config, self.heard = os.path.join(self.work, "mosquitto.conf"), os.path.join(self.work, "heard")
        with open(config, "w", encoding="utf-8") as file:
            file.write(f"listener {self.port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n")
        log = open(os.path.join(self.work, "mosquitto.log"), "wb")
        self.processes.append(subprocess.Popen(["mosquitto", "-c", config], stdout=log, stderr=log))

        def listens():
            with socket.socket() as end:
                return end.connect_ex(("127.0.0.1", self.port)) == 0

        wait_for("the broker", 30, listens)
        subscriber = ["mosquitto_sub", "-p", str(self.port), "-q", "1", "-V", "5", "-t", "farm/farm/gw-1/readings"]
        self.processes.append(subprocess.Popen(subscriber, stdout=open(self.heard, "wb"), stderr=log))

    def close(self):
        if self.guest.qemu and self.guest.qemu.poll() is None:
            self.guest.cut()
        for process in self.processes:
            process.terminate()

    def power_on(self, rtc="utc"):
        seconds = self.guest.start(rtc)
        self.starts.append(seconds)
        self.instrument.plug(self.guest.connect("instrument"))
        self.witness = Witness(self.guest.connect("witness"))
        self.guest.ask("mkdir -p /mnt/packages && mountpoint -q /mnt/packages || mount -o ro /dev/vdb /mnt/packages")
        return seconds

    def power_cut(self):
        """Pulls the plug; what was durable by then is kept in mind."""
        self.guest.cut()
        self.witness.join(30)
        self.durable.update(self.witness.rows)
        self.cuts += 1

    def configure(self, more=""):
        text = CONFIG.format(more=more, host=HOST, port=self.port)
        self.guest.ask(f"cat >/etc/tidegate/tidegate.toml <<'EOF'\n# Ours.\n{text}EOF\ntidegate check")

    def settle(self):
        """Reads and delivers, whatever the clock."""
        self.configure('[clock]\nhold_untrusted = "0s"')
        self.guest.ask("systemctl restart tidegate && systemctl enable --now witness")
        self.says_more("when it is configured")
        self.is_configured = True

    def says_more(self, what, lines=LINES_PER_SECOND, seconds=120):
        """Waits until so many more lines are durable."""
        before = len(self.witness.rows)
        try:
            wait_for(f"{lines} more durable lines, {what}", seconds, lambda: len(self.witness.rows) >= before + lines)
        except Failed as error:
            raise Failed(f"{error}\n{self.guest.run('systemctl status witness tidegate | cat')[1]}") from None

    def delivered(self):
        """Every row that the subscriber has, by place; a row that came twice came the same."""
        with open(self.heard, encoding="utf-8") as file:
            for line in file:
                if not line.endswith("\n"):
                    break
                envelope = json.loads(line)
                for row in envelope.get("readings", []) + envelope.get("events", []):
                    key = (row.get("epoch") or envelope["epoch"], row["seq"])
                    known = self.rows.setdefault(key, row)
                    check("a row that comes twice is the same", same(known, row), known, row)
        return self.rows

    def wait_delivered(self, what, seconds=180):
        """Waits until the subscriber has all that is durable by now, and checks it."""
        wanted = {**self.durable, **self.witness.rows}

        def has_all():
            rows = self.delivered()
            return all((row["epoch"], row["seq"]) in rows for row in wanted.values())

        try:
            wait_for(f"delivery, {what}", seconds, has_all, every=0.5)
        except Failed as error:
            raise Failed(f"{error}\n{self.guest.log()}") from None
        rows = self.delivered()
        for row in wanted.values():
            other = rows[row["epoch"], row["seq"]]
            check("what is delivered is what was durable", same(row, other), row, other)


def same(row, other):
    """Times may have been put right in between, nothing else."""
    fields = ("seq", "instrument", "quantity", "value", "unit", "quality", "event")
    return all(row.get(field) == other.get(field) for field in fields)


def say(text):
    print(f"{time.monotonic() - BEGUN:5.0f} s  {text}", flush=True)


def install(board):
    """As it comes out of the package, without a line of configuration: it runs."""
    guest = board.guest
    guest.ask("dpkg -i /mnt/packages/tidegate.deb")
    state, entered, user = guest.unit("ActiveState", "UnitFileState", "User")
    check("installed is enabled and started", (state, entered, user) == ("active", "enabled", "tidegate"), guest.log())
    code, text = guest.run("tidegate status")
    check("as installed, its status is fine", code == 0, text)
    modes = guest.ask("stat -c '%a %U %G' /etc/tidegate /etc/tidegate/tidegate.toml /var/lib/tidegate /run/tidegate/tidegate.sock")
    wanted = ["750 root tidegate", "640 root tidegate", "750 tidegate tidegate", "660 tidegate tidegate"]
    check("files are for the agent and its group", modes.splitlines() == wanted, modes)
    guest.ask("useradd --groups tidegate technician && setpriv --reuid technician --init-groups tidegate status")
    code, text = guest.run("useradd stranger && setpriv --reuid stranger --init-groups tidegate status")
    check("a stranger gets no answer", code != 0, text)
    complaints = guest.run("journalctl -b --no-pager | grep -i -E 'tidegate.*(ignor|unknown|fail|invalid)'")[1]
    check("systemd and udev understand the files", not complaints, complaints)
    check("man pages and completions are there", guest.run("ls /usr/share/man/man1/tidegate-run.1.gz /usr/share/bash-completion/completions/tidegate")[0] == 0)
    say("installed: " + guest.ask("systemd-analyze security tidegate | tail -1"))


def sandbox(board):
    """What the unit allows and what not, tried in its own cgroup; the port is opened by the stories that follow."""
    guest = board.guest
    # No driver is behind these numbers: who may open them is told so (ENXIO), who may not is refused (EPERM).
    tried = guest.ask("""
        for port in 188:ttyUSB0 166:ttyACM0 7:vcs9; do mknod -m 666 /dev/try-${port#*:} c ${port%:*} 200; done
        bash -c 'echo $$ >/sys/fs/cgroup/system.slice/tidegate.service/cgroup.procs
            for name in ttyUSB0 ttyACM0 vcs9; do cat </dev/try-$name; done' 2>&1 | sed 's/.*: //'
        rm /dev/try-*""").splitlines()
    wanted = ["No such device or address", "No such device or address", "Operation not permitted"]
    check("adapters that are plugged in later may be opened, other devices not", tried == wanted, tried)


def clock_of_1970(board):
    """A board without a battery: nothing goes out until the clock is set, and then with the right times."""
    guest = board.guest
    guest.ask("date -s @100")
    board.configure()
    guest.ask("systemctl restart tidegate && systemctl enable --now witness")
    board.says_more("in 1970")
    status = guest.wait_status("the sink to hold", lambda status: status["sinks"][0]["state"] == "holding")
    check("the clock is not believed", status["clock"]["state"] == "untrusted", status["clock"])
    check("nothing has left", not board.delivered())
    guest.ask(f"date -s @{time.time():.3f}")
    guest.wait_status("the clock to be believed", lambda status: status["clock"]["state"] == "synced")
    board.wait_delivered("after the clock was set")
    corrected = [row for row in board.rows.values() if row["clock"] == "corrected" and number_of(row)]
    check("what was held went out with its time put right", len(corrected) >= LINES_PER_SECOND, len(corrected))
    years = {row["time"][:4] for row in board.rows.values()}
    check("no time is of 1970", years == {time.strftime("%Y", time.gmtime())}, years)
    say(f"a clock of 1970, then set: {len(corrected)} readings held and put right")
    # The boots to come find no clock either.
    board.settle()


def credentials(board):
    """A password that the service manager hands over, which the agent's user could not read where it lies."""
    guest = board.guest
    guest.ask("""
        mkdir -p /etc/credstore /etc/tidegate/conf.d /run/systemd/system/tidegate.service.d
        (umask 077 && echo secret >/etc/credstore/mqtt.password)
        printf '[Service]\nLoadCredential=mqtt.password:/etc/credstore/mqtt.password\n' >/run/systemd/system/tidegate.service.d/login.conf
        printf '[sink.cloud]\nusername = "gw-1"\npassword_file = "{credential:mqtt.password}"\n' >/etc/tidegate/conf.d/login.toml
        systemctl daemon-reload && systemctl restart tidegate""")
    board.says_more("with a login")
    board.wait_delivered("with a login")
    with open(os.path.join(board.work, "mosquitto.log"), encoding="utf-8") as file:
        check("the broker was told who it is", "u'gw-1'" in file.read())
    guest.ask("rm -r /etc/tidegate/conf.d /run/systemd/system/tidegate.service.d && systemctl daemon-reload && systemctl restart tidegate")
    say("a password from LoadCredential: delivered")


def cold_start(board):
    """From the start of the process to its first durable reading, and how much slower than the host the guest is."""
    guest = board.guest
    guest.ask("systemctl stop tidegate")
    seconds = guest.ask("""
        systemctl stop witness
        head() { tidegate status --json 2>/dev/null | sed 's/.*"head":\\([0-9]*\\).*/\\1/'; }
        before=$(tidegate journal stat --json | sed 's/.*"head":\\([0-9]*\\).*/\\1/')
        # The programs come from the disk, too, as after a boot.
        sync; echo 3 >/proc/sys/vm/drop_caches
        read begun _ </proc/uptime
        systemctl start tidegate
        read ready _ </proc/uptime
        # Its own first event is at `before`; behind it stands the first line of the instrument.
        until now=$(head) && [ -n "$now" ] && [ "$now" -gt $((before + 3)) ]; do :; done
        read durable _ </proc/uptime
        used=$(systemctl show tidegate -p CPUUsageNSec --value)
        systemctl start witness
        echo "$begun $ready $durable $used"
    """)
    begun, ready, durable, used = map(float, seconds.split())
    work = "i=0; time while [ $i -lt 200000 ]; do i=$((i+1)); done"
    script = f"TIMEFORMAT=%U; {work}"
    slow = float(guest.ask(script).splitlines()[-1])
    fast = float(subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stderr)
    factor = slow / fast
    used /= 1e9
    # Waiting, for the line and for a commit, is as long on any board; work is not.
    say(
        f"cold start: ready after {ready - begun:.2f} s, first durable reading after {durable - begun:.2f} s, {used:.2f} s of it the "
        f"agent's work, in a guest {factor:.0f} times slower than its host: {(durable - begun) / factor:.2f} s and "
        f"{used / factor:.2f} s at the host's speed"
    )


def restarted(board, what, act, result):
    """Does `act` and waits until the service manager has started the agent anew and it reads on."""
    guest = board.guest
    restarts, process = guest.unit("NRestarts", "MainPID")
    guest.ask(act)
    wait_for(
        f"a new process, {what}",
        180,
        lambda: (now := guest.unit("NRestarts", "MainPID", "SubState"))
        and int(now[0]) > int(restarts)
        and now[1] not in ("0", process)
        and now[2] == "running",
    )
    said = guest.run(f"journalctl -u tidegate --no-pager -o cat | grep -c -E \"{result}\"")[1].strip()
    check(f"the service manager says {result!r}", said not in ("", "0"), guest.log())
    board.says_more(what)
    say(f"{what}: restarted, reads on")


def killed(board):
    guest = board.guest
    guest.ask("mkdir -p /run/systemd/system/tidegate.service.d")
    # Shorter than the unit's, so that the story is.
    guest.ask("printf '[Service]\\nRestartSec=1s\\nWatchdogSec=10s\\n' >/run/systemd/system/tidegate.service.d/story.conf")
    guest.ask("systemctl daemon-reload && systemctl restart tidegate")
    board.says_more("after a restart")
    restarted(board, "kill -9", "systemctl kill -s KILL tidegate", "status=9/KILL")
    restarted(board, "frozen (SIGSTOP)", "systemctl kill -s STOP tidegate", "[Ww]atchdog timeout")
    # The kernel's own, made to run now, and to choose the agent, which the unit puts last.
    choose = "echo 1000 >/proc/$(systemctl show tidegate -p MainPID --value)/oom_score_adj && echo f >/proc/sysrq-trigger"
    restarted(board, "OOM killer", choose, "oom-kill")
    guest.ask("rm -r /run/systemd/system/tidegate.service.d && systemctl daemon-reload && systemctl restart tidegate")
    board.says_more("with the unit as it ships")
    board.wait_delivered("after the kills")


def disk_full(board):
    """Somebody else fills the disk: it goes on reading into memory, and writes all of it down when there is room."""
    guest = board.guest
    guest.ask("fallocate -l $(( $(stat -f -c '%a*%S' /) - 1048576 )) /var/filler")
    guest.wait_status("the journal to be degraded", lambda status: status["journal"]["state"] == "degraded")
    at_risk = guest.wait_status(
        "readings in memory", lambda status: status["journal"]["at_risk_readings"] >= 2 * LINES_PER_SECOND
    )["journal"]["at_risk_readings"]
    guest.ask("rm /var/filler")
    guest.wait_status("the journal to be well", lambda status: status["journal"]["state"] == "ok")
    board.says_more("on a disk with room")
    check("nothing was dropped", guest.status()["journal"]["dropped_total"] == 0)
    board.wait_delivered("after the full disk")
    say(f"disk full and free again: {at_risk} readings had waited in memory, none dropped")


def memory(guest):
    """What the agent holds, and the most that it held since it was started, in MiB."""
    text = guest.ask("grep -E 'VmRSS|VmHWM' /proc/$(systemctl show tidegate -p MainPID --value)/status")
    values = dict(line.split(":") for line in text.splitlines())
    return [int(values[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM")]


def network_away(board):
    guest = board.guest
    guest.ask("ip link set eth0 down")
    board.says_more("without a network", 10 * LINES_PER_SECOND)
    lag = guest.wait_status("a backlog", lambda status: status["sinks"][0]["lag_readings"] > 8 * LINES_PER_SECOND)
    guest.ask("ip link set eth0 up")
    board.wait_delivered("with the network back", 300)
    now, most = memory(guest)
    say(
        f"network away and back: {lag['sinks'][0]['lag_readings']} readings had waited; resident {now:.1f} MiB, "
        f"at most {most:.1f} MiB in the catch-up"
    )


def steady_writes(board):
    """Nothing but the journal is written while all is well."""
    guest = board.guest
    process = guest.unit("MainPID")[0]
    said = guest.ask(
        f"""
        disk() {{ awk '$3 == "vda" {{ print $10 * 512 }}' /proc/diskstats; }}
        agent() {{ sed -n 's/^write_bytes: //p' /proc/{process}/io; }}
        sync; before="$(disk) $(agent)"
        # The files themselves, by their names, while it writes. Not each architecture has each of these calls.
        names=write,pwrite64,writev,pwritev,ftruncate,?ftruncate64,fallocate,openat,?rename,?renameat,renameat2,?unlink,unlinkat,?mkdir,mkdirat
        timeout 20 strace -f -qq -yy -e trace=$names \
            -p {process} -o /run/traced || true
        sync; after="$(disk) $(agent)"
        echo "$before $after"
        grep -o -E '(p?writev?(64)?|ftruncate(64)?|fallocate)\\([0-9]+<[^>]*>' /run/traced | sed 's/.*<//; s/>//' | sort | uniq -c
        grep -E 'O_CREAT|rename|unlink|mkdir' /run/traced | grep -o -E '"[^"]*"' | tr -d '"' | sed 's/^/1 /'
        """,
        300,
    ).splitlines()
    disk_before, agent_before, disk_after, agent_after = map(int, said[0].split())
    paths = {}
    for line in said[1:]:
        count, path = line.split(None, 1)
        paths[path] = paths.get(path, 0) + int(count)
    files = {path: count for path, count in paths.items() if path.startswith("/") and not path.startswith("/dev/")}
    strays = [path for path in files if not path.startswith("/var/lib/tidegate/journal/")]
    idle = memory(guest)[0]
    check("the steady state is within its budget of memory", idle < IDLE_MIB_MAX, idle)
    check("nothing but the journal is written", files and not strays, paths)
    say(
        f"20 s at {LINES_PER_SECOND} lines a second: wrote to {len(files)} files, all of the journal; "
        f"{(agent_after - agent_before) / 1024:.0f} KiB by the agent, {(disk_after - disk_before) / 1024:.0f} KiB at the disk "
        f"with the file system's own journal and everything else on the board; resident {idle:.1f} MiB, budget {IDLE_MIB_MAX} MiB"
    )


def backlog(board):
    """A board comes back from months without a network: ten million readings are delivered, each of them, in little memory."""
    guest = board.guest
    guest.ask("""
        systemctl disable --now witness; systemctl stop tidegate
        cp -a /var/lib/tidegate /var/lib/kept && rm -r /var/lib/tidegate/journal
        cp -r /mnt/packages/journal /var/lib/tidegate/ && chown -R tidegate:tidegate /var/lib/tidegate
        mkdir -p /etc/tidegate/conf.d && printf '[sink.cloud]\ntopic = "backlog"\n' >/etc/tidegate/conf.d/backlog.toml""")
    counted = Counted(board, "backlog")
    guest.ask("systemctl start tidegate")
    begun = time.monotonic()
    status = guest.wait_status("the backlog to be seen", lambda status: status["sinks"][0]["lag_readings"] > 0.9 * BACKLOG_READINGS)
    wanted = status["sinks"][0]["lag_readings"]
    guest.wait_status("a delivered backlog", lambda status: status["sinks"][0]["lag_readings"] < 1000, BACKLOG_SECONDS_MAX, every=5)
    seconds = time.monotonic() - begun
    now, most = memory(guest)
    wait_for("each reading at the subscriber", 300, lambda: counted.has_all(BACKLOG_READINGS), every=0.5)
    check("a catch-up is within its budget of memory", most < CATCH_UP_MIB_MAX, most)
    check("it was not started anew", guest.unit("NRestarts") == ["0"], guest.log())
    guest.ask("""
        systemctl stop tidegate; rm -r /etc/tidegate/conf.d
        rm -r /var/lib/tidegate && mv /var/lib/kept /var/lib/tidegate
        systemctl start tidegate && systemctl enable --now witness""")
    board.says_more("after the backlog")
    say(
        f"a backlog of {wanted} readings: delivered in {seconds:.0f} s, each of them came; resident at most {most:.1f} MiB, "
        f"budget {CATCH_UP_MIB_MAX} MiB, and {now:.1f} MiB after it"
    )


class Counted(threading.Thread):
    """Which places of a journal a topic has brought."""

    def __init__(self, board, topic):
        super().__init__(daemon=True)
        subscriber = ["mosquitto_sub", "-p", str(board.port), "-q", "1", "-V", "5", "-t", topic]
        process = subprocess.Popen(subscriber, stdout=subprocess.PIPE)
        board.processes.append(process)
        self.stream, self.seen = process.stdout, bytearray(2 * BACKLOG_READINGS)
        self.start()

    def run(self):
        for line in self.stream:
            for found in re.finditer(rb'"seq":(\d+)', line):
                self.seen[int(found[1])] = 1

    def has_all(self, count):
        """Whether each of the first `count` places, which begin at 1, has come."""
        return self.seen.find(0, 1, count + 1) < 0


def power_cuts(board):
    """The plug is pulled in the middle of everything, with the network and without."""
    guest, cuts = board.guest, board.cuts_wanted
    for cut in range(1, cuts + 1):
        is_online = cut % 2 == 1
        if not is_online:
            guest.ask("ip link set eth0 down")
        board.says_more("before a cut", random.randint(1, 5 * LINES_PER_SECOND))
        # The control: a cut that loses nothing that was not synced would prove nothing.
        guest.ask(f"echo {cut} >/var/tmp/synced && sync && echo {cut} >/var/tmp/unsynced")
        said = board.instrument.number
        board.power_cut()
        seconds = board.power_on()
        control = guest.run("cat /var/tmp/synced /var/tmp/unsynced; rm /var/tmp/unsynced")[1].split()
        check("the cut keeps what was synced and loses what was not", control[:1] == [str(cut)] and control[1:2] != [str(cut)], control)
        # Read before anything else: a start that failed would be counted.
        guest.wait_status("the agent after a cut", lambda status: status["epoch"])
        state, restarts, result = guest.unit("ActiveState", "NRestarts", "Result")
        check("no start failed", (state, restarts, result) == ("active", "0", "success"), guest.log())
        code, text = guest.run("tidegate journal verify", 300)
        check("the journal is in order", code == 0, text)
        recent = {seq: row for seq, row in board.durable.items() if seq > max(board.durable) - 40 * LINES_PER_SECOND}
        kept = {}
        for line in guest.ask(f"tidegate journal export --from {min(recent)}", 300).splitlines():
            row = json.loads(line)
            kept[row["seq"]] = row
        for seq, row in recent.items():
            check("what was durable before the cut is there", seq in kept and same(row, kept[seq]), row, kept.get(seq))
        last = max(number for row in board.durable.values() if (number := number_of(row)))
        board.says_more("after a cut")
        say(
            f"power cut {cut} ({'online' if is_online else 'offline'}): up after {seconds:.0f} s, {len(recent)} durable rows looked "
            f"at, none lost; {said - last} lines had not been said to be durable"
        )
    board.wait_delivered("after the cuts", 300)
    say(f"{cuts} power cuts: nothing durable lost, no failed start, the journal in order each time; all of it delivered")


def update(board):
    """Signed packages, installed by the service that the package brings: a good one, a bad one, one with a power cut in it."""
    guest = board.guest
    guest.ask("""
        install -m 0644 /mnt/packages/update.pub /etc/tidegate/update.pub && mkdir -p /etc/tidegate/conf.d
        printf '[update]\nkey = "/etc/tidegate/update.pub"\nhealth_within = "4m"\nhealthy_for = "20s"\n' >/etc/tidegate/conf.d/update.toml
        systemctl restart tidegate && systemctl is-active tidegate-update.path""")
    board.says_more("with a key for updates")
    epoch = guest.status()["epoch"]
    package = "/mnt/packages/{0}.json --file /mnt/packages/{0}.deb"

    # What is installed need not even start.
    guest.ask("cp /usr/bin/tidegate /root/asker")

    def report():
        return json.loads(guest.run("/root/asker update status --json")[1])

    def offer(name, what, *states):
        guest.ask("runuser -u tidegate -- tidegate update fetch " + package.format(name))
        try:
            return wait_for(what, 600, lambda: (now := report()) and now["state"] in states and now, every=0.5)
        except Failed as error:
            log = guest.run("systemctl status tidegate-update.path tidegate-update --no-pager -n 50 | cat")[1]
            raise Failed(f"{error}: {report()}\n{log}\n{guest.log()}") from None

    def runs(what, version):
        status = guest.wait_status(what, lambda status: status["epoch"] and status["instruments"][0]["state"] == "up")
        check(f"{what}: the journal stays", status["epoch"] == epoch, status["epoch"], epoch)
        known = guest.ask("dpkg-query -W -f '${Version} ${Status}' tidegate")
        check(f"{what}: dpkg knows", known == f"{version} install ok installed", known)
        board.says_more(what)

    process = guest.unit("MainPID")[0]
    now = offer("younger", "an update to be installed", "done", "failed", "rolled-back")
    check("a good update is done", now["state"] == "done", now, guest.run("journalctl -u tidegate-update --no-pager | cat")[1])
    check("it was restarted", guest.unit("MainPID")[0] not in ("0", process))
    runs("updated", "99.0.0-1")
    say(f"a signed package: {now['from']} to {now['version']}")
    process = guest.unit("MainPID")[0]
    now = offer("broken", "a bad update to be taken back", "done", "failed", "rolled-back")
    check("a bad update is taken back", now["state"] == "rolled-back", now)
    runs("taken back", "99.0.0-1")
    say(f"a bad one: taken back, {now['why']}")
    offer("elder", "another one to be looked at", "checking")
    board.power_cut()
    board.power_on()
    now = wait_for("it to end", 600, lambda: (now := report()) and now["state"] not in ("checking", "staged") and now, every=0.5)
    check("what a power cut broke off is finished", now["state"] == "done", now, guest.run("journalctl -u tidegate-update --no-pager | cat")[1])
    runs("after a power cut in the middle", "0.0.1-1")
    wait_for("the ends to be told", 60, lambda: guest.run("tidegate tail --json -n 100000")[1].count('"update"') == 3 or None)
    board.wait_delivered("after the updates")
    guest.ask("rm -r /root/asker /etc/tidegate/conf.d /etc/tidegate/update.pub && systemctl restart tidegate")
    say("a power cut in the middle of an update: finished at boot; three ends told")


def upgrade(board):
    guest = board.guest
    epoch = guest.status()["epoch"]
    config = guest.ask("sha256sum </etc/tidegate/tidegate.toml")

    def same_agent(what, version):
        status = guest.wait_status(what, lambda status: status["epoch"] and status["instruments"][0]["state"] == "up")
        check(f"{what}: journal and configuration stay", status["epoch"] == epoch, status["epoch"], epoch)
        check("the configuration is ours", guest.ask("sha256sum </etc/tidegate/tidegate.toml") == config)
        check("the version", guest.ask("dpkg-query -W -f '${Version}' tidegate") == version)
        mode = guest.ask("stat -c '%a %G' /etc/tidegate/tidegate.toml")
        check("its mode stays", mode == "640 tidegate", mode)
        board.says_more(what)

    for what, package, version in [("upgraded", "younger", "99.0.0-1"), ("downgraded", "elder", "0.0.1-1")]:
        process = guest.unit("MainPID")[0]
        # No terminal: dpkg asks nobody, and keeps what was changed.
        guest.ask(f"dpkg --force-confold -i /mnt/packages/{package}.deb")
        check("it was restarted", guest.unit("MainPID")[0] not in ("0", process))
        same_agent(what, version)
    guest.ask("systemctl disable tidegate && dpkg --force-confold -i /mnt/packages/younger.deb")
    check("what was disabled stays so", guest.unit("UnitFileState")[0] == "disabled")
    guest.ask("systemctl enable tidegate")
    guest.ask("dpkg --remove tidegate && test -d /var/lib/tidegate/journal && test -e /etc/tidegate/tidegate.toml")
    check("removed is stopped", not guest.run("pgrep -x tidegate")[1].strip())
    guest.ask("dpkg --force-confold -i /mnt/packages/tidegate.deb")
    same_agent("removed and installed again", guest.ask("dpkg-deb -f /mnt/packages/tidegate.deb Version"))
    board.wait_delivered("after the packages")
    guest.ask("systemctl disable --now witness && dpkg --purge tidegate")
    left = guest.ask("find / -xdev -name '*tidegate*' -not -path '/var/log/*' -not -path '/mnt/*' | cat")
    check("nothing is left after a purge", not left, left)
    say("upgrade, downgrade, disabled, removed, installed again, purged: kept what they must, and no more")


def tarball(board):
    guest = board.guest
    guest.ask("mkdir /root/t && tar -C /root/t --strip-components=1 -xzf /mnt/packages/tidegate.tar.gz && /root/t/install.sh")
    guest.wait_status("the tarball's agent", lambda status: status["epoch"])
    board.configure()
    guest.ask("systemctl restart tidegate")
    epoch = guest.wait_status("the line", lambda status: status["instruments"][0]["state"] == "up")["epoch"]
    guest.ask("/root/t/install.sh && grep -q '^# Ours' /etc/tidegate/tidegate.toml && test -e /etc/tidegate/tidegate.toml.new")
    check("an upgrade keeps the journal", guest.wait_status("it", lambda status: status["epoch"])["epoch"] == epoch)
    guest.ask("/root/t/install.sh uninstall && test -d /var/lib/tidegate/journal && test -e /etc/tidegate/tidegate.toml")
    guest.ask("/root/t/install.sh && /root/t/install.sh uninstall --purge && rm -r /root/t")
    left = guest.ask("find / -xdev -name '*tidegate*' -not -path '/var/log/*' -not -path '/mnt/*' | cat")
    check("nothing is left after a purge", not left, left)
    say("tarball: installed, upgraded, uninstalled, purged")


STORIES = [sandbox, clock_of_1970, credentials, cold_start, killed, disk_full, network_away, steady_writes, backlog, power_cuts, update,
           upgrade, tarball]


def main(arch, cache, work, cuts, names):
    has_backlog = os.path.exists(os.path.join(work, "packages/journal"))
    wanted = [story for story in STORIES if (story.__name__ in names if names else story is not backlog or has_backlog)]
    if len(wanted) < len(names):
        sys.exit("the stories are " + ", ".join(story.__name__ for story in STORIES))
    board = Board(arch, cache, work)
    board.cuts_wanted = cuts
    try:
        say(f"the board is up after {board.power_on(FIRST_TIMES if clock_of_1970 in wanted else 'utc'):.0f} s")
        install(board)
        for story in wanted:
            # Each after the last, on the same board; what one needs of those before is made up for where they are left out.
            if story not in (sandbox, clock_of_1970, tarball) and not board.is_configured:
                board.settle()
            story(board)
    except Failed as error:
        kept = "/tmp/tidegate-device-failed"
        shutil.copy(os.path.join(work, "console"), kept)
        sys.exit(f"{error}\nthe guest's console is in {kept}")
    finally:
        board.close()
    boots = ", ".join(f"{seconds:.0f}" for seconds in board.starts[-5:])
    say(f"done: {board.cuts} power cuts, {len(board.rows)} rows delivered, boots of {boots} s")


BEGUN = time.monotonic()
main(*sys.argv[1:4], int(sys.argv[4]), sys.argv[5:])

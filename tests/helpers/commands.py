"""How long commands take beside a journal of 40 million readings: commands.py TIDEGATE JOURNAL_BENCH FOLDER [LINES]

LINES of four readings each, ten million unless said otherwise. Prints a line a command: the shortest, the median and the
longest of five runs without the agent and with it, the median as a share of the limit, 100 ms, and the processor's time,
children included, which says what is the command's own on a machine that has other things to do. Asserts nothing.
"""

import os
import pathlib
import resource
import socket
import statistics
import subprocess
import sys
import time

LIMIT_MS, RUNS = 100, 5
COMMANDS = ["status", "sinks", "tail -n 10", "tail -n 10 --json", "tail --since 1m", "tail -n 10 --instrument do-4", "journal stat"]
COMMANDS += ["config show", "ports", "check", "doctor --offline", "support-bundle --lines 0"]

tidegate, bench, folder = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
lines = sys.argv[4] if sys.argv[4:] else "10000000"


def fill():
    """A journal as a kill leaves it."""
    filling = subprocess.Popen([bench, "fill", folder / "journal", lines], stdout=subprocess.PIPE, text=True)
    said = filling.stdout.readline()
    filling.kill()
    filling.wait()
    assert said == "full\n", said


def configured():
    """A sink whose far side is away keeps all of it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    file = folder / "tidegate.toml"
    file.write_text(
        f"""[device]
id = "gw-1"
[journal]
path = "{folder}/journal"
max_bytes = "8GiB"
[local]
socket = "{folder}/agent.sock"
[sink.cloud]
type = "mqtt"
url = "mqtt://127.0.0.1:{port}"
"""
    )
    return file


def took_ms(config, command):
    """How long it took, and what it ended with."""
    words = [tidegate, "--config", config, *command.split()]
    if command.startswith("support-bundle"):
        words += ["--output", folder / f"{time.monotonic_ns()}.tar.zst"]
    begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    code = subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode
    took, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return took * 1e3, spent * 1e3, code


def measured(config, words):
    """A line a command."""
    for command in COMMANDS:
        runs = [took_ms(config, command) for _ in range(RUNS)]
        times, spent, codes = zip(*runs)
        median = statistics.median(times)
        print(
            f"{words:<17} {command:<30} {min(times):>7.1f} to {max(times):>7.1f} ms, median {median:>7.1f} ms, "
            f"{median / LIMIT_MS:>5.2f} of the limit, {statistics.median(spent):>6.1f} ms of a processor, exit {codes[-1]}",
            flush=True,
        )


fill()
config = configured()
size = sum(file.stat().st_size for file in (folder / "journal").rglob("*") if file.is_file())
print(f"{int(lines) * 4} readings, {size / 2**20:.0f} MiB", flush=True)
measured(config, "without the agent")
agent = subprocess.Popen([tidegate, "--config", config, "run"], stderr=subprocess.DEVNULL, env=dict(os.environ, NO_COLOR="1"))
begun = time.monotonic()
while not (folder / "agent.sock").exists():
    assert agent.poll() is None and time.monotonic() < begun + 120, "the agent did not start"
    time.sleep(0.01)
print(f"the agent answers after {(time.monotonic() - begun) * 1e3:.0f} ms", flush=True)
measured(config, "with the agent")
agent.terminate()
agent.wait()

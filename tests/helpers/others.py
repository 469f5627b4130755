"""Instruments that others wrote, on a pseudo-terminal: others.py LINK HEARD KIND

KIND is `modbus` (pymodbus's RTU slave, units 1 and 2), `ezo` (labmcp-atlas-ezo's oxygen circuit, which streams until it
is told not to) or `scale` (mt-sics-emulator's Ohaus Ranger). Only the plumbing is here: every answer is theirs. What the
instrument says is written to the file HEARD as it is.
"""

import asyncio
import os
import pty
import select
import subprocess
import sys
import threading
import time
import tty
from unittest.mock import MagicMock

link, heard, kind = sys.argv[1:]


def port():
    """A line and the name of its other end."""
    line, end = pty.openpty()
    tty.setraw(line)
    tty.setraw(end)
    return line, os.ttyname(end), end


def slave(device):
    from pymodbus import FramerType
    from pymodbus.server import StartAsyncSerialServer
    from pymodbus.simulator import DataType, SimData, SimDevice

    one = [
        SimData(0, values=[215, 785, 65416], datatype=DataType.REGISTERS),
        SimData(100, values=[8.4199, 94.96, 7.658], datatype=DataType.FLOAT32),
        SimData(120, values=[-9999.0], datatype=DataType.FLOAT32),
        SimData(200, values=[123456789], datatype=DataType.INT32),
    ]
    two = [SimData(0, values=list(range(1000, 1010)), datatype=DataType.REGISTERS)]
    units = [SimDevice(1, simdata=one), SimDevice(2, simdata=two)]
    asyncio.run(StartAsyncSerialServer(context=units, framer=FramerType.RTU, port=device, baudrate=19200))


def circuit():
    # The simulator sits in a server of 40 packages that it does not need.
    for name in ("fastmcp", "fastmcp.exceptions", "mcp", "mcp.types", "pydantic", "pydantic_settings"):
        sys.modules[name] = MagicMock()
    from labmcp_atlas_ezo.simulator import EZOSimulator

    return EZOSimulator("DO")


agent, name, _end = port()
os.symlink(name, link)
os.close(_end)  # Nobody holds the agent's side open but the agent.
log = open(heard, "wb", buffering=0)


def say(data):
    log.write(data)
    try:
        os.write(agent, data)
    except OSError:
        pass  # Nobody listens.


if kind == "ezo":
    ezo, typed, due = circuit(), b"", time.monotonic() + 1
    while True:
        if select.select([agent], [], [], 0.05)[0]:
            try:
                typed += os.read(agent, 256)
            except OSError:
                time.sleep(0.05)  # The port is not open.
            while b"\r" in typed:
                command, typed = typed.split(b"\r", 1)
                if command.lower() == b"r":
                    time.sleep(0.6)  # Its data sheet says 600 ms.
                for answer in ezo.handle(command.decode("latin-1")) or []:
                    say(answer.encode() + b"\r")
        if ezo.continuous and time.monotonic() >= due:
            say(ezo._reading().encode() + b"\r")
            due = time.monotonic() + ezo.continuous

theirs, device, _held = port()
if kind == "modbus":
    threading.Thread(target=slave, args=[device], daemon=True).start()
else:
    program = os.path.join(os.path.dirname(sys.executable), "mtsics-serial")
    subprocess.Popen([program, "--port", device, "--profile", "ohaus-ranger7000"])
while True:
    for ready in select.select([agent, theirs], [], [])[0]:
        try:
            data = os.read(ready, 4096)
        except OSError:
            time.sleep(0.05)  # The port is not open.
            continue
        if ready == agent:
            os.write(theirs, data)
        else:
            say(data)

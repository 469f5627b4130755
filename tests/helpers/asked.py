"""Instruments that are asked, on a pseudo-terminal: asked.py LINK KIND...

KIND is `modbus:UNIT:DELAY_MS` (registers 0, 100, 200 ... each hold their own address plus 1000; every answer is so
late), `sdi12:ADDRESS` (a three-value sensor) or `ezo` (an Atlas circuit that streams until it is told not to). Several
`modbus` share the line, as on an RS-485 pair. Written from the protocols: what is third-party is in modbus_slave.py.
"""

import os
import pty
import select
import sys
import time
import tty

from crc16 import crc

link, kinds = sys.argv[1], sys.argv[2:]
line, port = pty.openpty()
tty.setraw(line)
tty.setraw(port)
os.symlink(os.ttyname(port), link)
os.close(port)  # Nobody holds the agent's side open but the agent.

units = {int(unit): int(delay) / 1000 for kind, unit, delay in (k.split(":") for k in kinds if k.startswith("modbus"))}
address = next((k.split(":")[1] for k in kinds if k.startswith("sdi12")), None)
is_ezo = "ezo" in kinds
streams = is_ezo
answers = []  # (when, bytes), in the order of the questions: a slave answers one after the other
heard, next_line = b"", time.monotonic() + 0.2


def modbus(request):
    unit, function = request[0], request[1]
    first, count = int.from_bytes(request[2:4], "big"), int.from_bytes(request[4:6], "big")
    if function != 3:
        body = bytes([unit, function | 0x80, 1])
    else:
        body = bytes([unit, 3, count * 2]) + b"".join((first + n + 1000).to_bytes(2, "big") for n in range(count))
    # Turning the transceiver around leaves noise on the pair.
    return b"\x00\xfe" + body + crc(body)


def take(now):
    global heard, streams
    while units and len(heard) >= 8:
        request, heard = heard[:8], heard[8:]
        if request[0] in units and crc(request[:6]) == request[6:]:
            answers.append((now + units[request[0]], modbus(request)))
    while address and b"!" in heard:
        command, heard = heard.split(b"!", 1)
        said = {"M": "0013", "D0": "+35+26.4+0"}.get(command.decode()[1:])
        if command.decode()[:1] == address and said:
            answers.append((now + 0.02, f"{address}{said}\r\n".encode()))
    while is_ezo and b"\r" in heard:
        command, heard = heard.split(b"\r", 1)
        if command == b"C,0":
            streams = False
        answers.append((now + 0.3, b"8.69\r*OK\r" if command == b"R" else b"*OK\r"))


while True:
    try:
        readable, _, _ = select.select([line], [], [], 0.01)
        if readable:
            heard += os.read(line, 256)
    except OSError:
        time.sleep(0.05)  # Nobody has the port open.
        heard = b""
    now = time.monotonic()
    take(now)
    while answers and answers[0][0] <= now:
        os.write(line, answers.pop(0)[1])
    if streams and now >= next_line:
        os.write(line, b"1.11\r")
        next_line = now + 0.2

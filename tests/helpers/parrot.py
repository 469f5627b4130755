"""An instrument that is asked, on a pseudo-terminal: parrot.py LINK HEARD PROFILE [IDENTITY]

It answers what the `[example]` of PROFILE (a file) has a dialogue for, as it stands there. A Modbus unit refuses other
registers (exception 2), as units do; an SDI-12 sensor answers `?!` and `aI!` with IDENTITY, an Atlas circuit `i` with it; else
it is silent. What it is sent is written to the file HEARD.
"""

import os
import pty
import sys
import time
import tomllib
import tty

from crc16 import crc

link, heard_file, profile = sys.argv[1:4]
identity = (sys.argv[4] if len(sys.argv) > 4 else "").encode()
with open(profile, "rb") as file:
    example = tomllib.load(file)["example"]


def said(turn, key):
    return bytes.fromhex(turn[key + "_hex"]) if key + "_hex" in turn else turn.get(key, "").encode()


answers = {said(turn, "sent"): said(turn, "came") for turn in example["dialogue"]}
is_modbus = any("sent_hex" in turn for turn in example["dialogue"])
is_sdi12 = any(question.endswith(b"!") for question in answers)
if is_sdi12:
    address = next(iter(answers))[:1]
    answers |= {b"?!": address + b"\r\n", address + b"I!": address + identity + b"\r\n"}
elif identity:
    answers[b"i\r"] = identity + b"\r*OK\r"


def unit(data):
    """The answer to the first whole request in `data`, and what is left of it."""
    for at in range(len(data) - 7):
        request = data[at : at + 8]
        if crc(request[:6]) == request[6:]:
            if request[0] not in {question[0] for question in answers}:
                return b"", data[at + 8 :]
            refusal = bytes([request[0], request[1] | 0x80, 2])
            return answers.get(request, refusal + crc(refusal)), data[at + 8 :]
    return b"", data[-7:]


def line(data):
    ends = [at for at in (data.find(end) for end in (b"\r", b"\n", b"!")) if at >= 0]
    if not ends:
        return b"", data
    end = min(ends) + 1
    if data[end - 1 : end + 1] == b"\r\n":
        end += 1
    return answers.get(data[:end], b""), data[end:]


master, slave = pty.openpty()
tty.setraw(master)
tty.setraw(slave)
os.symlink(os.ttyname(slave), link)
os.close(slave)  # Nobody holds the agent's side open but the agent.
pending = b""
with open(heard_file, "wb", buffering=0) as log:
    while True:
        try:
            data = os.read(master, 256)
        except OSError:
            time.sleep(0.02)  # Nobody has the port open.
            pending = b""
            continue
        log.write(data)
        pending += data
        while True:
            before = len(pending)
            answer, pending = unit(pending) if is_modbus else line(pending)
            if answer:
                time.sleep(0.03)
                os.write(master, answer)
            if len(pending) == before:
                break

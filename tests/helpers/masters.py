"""What two Modbus masters that others wrote read from unit 1 at PORT: masters.py PORT

prints {"minimalmodbus": {...}, "mbpoll": {...}}: the three floats from register 100 on, the 32 bit number at 200, and
register 2 with its sign.
"""

import json
import re
import subprocess
import sys

import minimalmodbus

port = sys.argv[1]
unit = minimalmodbus.Instrument(port, 1)
unit.serial.baudrate, unit.serial.timeout = 19200, 1
mini = {f"r{at}": unit.read_float(at) for at in (100, 102, 104)}
mini |= {"r200": unit.read_long(200), "r2": unit.read_register(2, signed=True)}
unit.serial.close()


def mbpoll(kind, at, count=1):
    """mbpoll counts registers from 1 and prints `[at]: value`; beside a 16 bit number with its sign set, that too."""
    command = ["mbpoll", "-m", "rtu", "-a", "1", "-b", "19200", "-P", "none", "-B", "-1"]
    said = subprocess.run(
        [*command, "-t", kind, "-r", str(at + 1), "-c", str(count), port], capture_output=True, text=True, check=True
    ).stdout
    return [float(signed or value) for value, signed in re.findall(r"^\[\d+\]:\s+(\S+)(?: \((-\d+)\))?", said, re.M)]


poll = dict(zip(("r100", "r102", "r104"), mbpoll("4:float", 100, 3)))
poll |= {"r200": mbpoll("4:int", 200)[0], "r2": mbpoll("4", 2)[0]}
print(json.dumps({"minimalmodbus": mini, "mbpoll": poll}))

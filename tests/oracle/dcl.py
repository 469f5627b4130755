"""Takes a logger's time stamps off a capture, leaving what the instrument sent.

usage: dcl.py LOG OUT

An OOI data-logger file has `YYYY/MM/DD HH:MM:SS.mmm ` before each line, and `[name:DLOGPn]:` before what the logger
says about itself; some firmware logs the instrument's own bytes that way too, so what follows and is no status of the
logger is kept. A line whose stamp is damaged is kept whole, as noise. Empty lines are dropped. Every line ends with
CR LF, as on the wire.
"""

import re
import sys

STAMP = re.compile(rb"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{1,3} (?:\[[^\]]*\]:)?(.*)$", re.S)
LOGGER = re.compile(rb"^(time out|Instrument (Started|Stopped|sampling|stopped)|Logger started|error -->)")

with open(sys.argv[1], "rb") as log, open(sys.argv[2], "wb") as out:
    for raw in log.read().split(b"\n"):
        line = raw.rstrip(b"\r")
        if stamped := STAMP.match(line):
            line = stamped[1]
        if line and not LOGGER.match(line):
            out.write(line + b"\r\n")

"""What ioos-qc, the reference implementation of QARTOD, flags on a day of a real optode, and on the same day harmed.

usage: qartod.py tests/data/ooi/aanderaa_optode/20150330.dosta1.log > agent/tests/data/qartod.txt

Made with ioos-qc 3.0.0 and numpy 2.4.6, which with what they pull are 370 MB: so what it says is kept, and this is no
part of tests/requirements.txt. `agent/src/acquire/qartod_tests.rs` reads it and says where we differ and why.

Times are the logger's, rounded to whole seconds: ioos-qc cuts each interval to whole seconds.

    series NAME
    add FIRST COUNT BY          what was done to the records, counted from 0: a spike, or a step and its way back
    hold FIRST COUNT            they all say what the first of them says
    missing FIRST COUNT         they say NaN
    drop FIRST COUNT            they never came
    TEST FLAG FLAGxCOUNT ...    1 pass, 2 not evaluated, 3 suspect, 4 fail, 9 missing; dropped records have none
"""

import itertools
import random
import sys

import numpy as np
from ioos_qc import qartod

RANGE = (353.3, 355.0)
RATE_PER_S = 0.3
FLAT_S = 2
# Half of what the last digit is worth: with no tolerance ioos-qc flags nothing.
FLAT_TOLERANCE = 0.0005
SPIKE = 0.6

records = []
with open(sys.argv[1], "rb") as log:
    for line in log.read().split(b"\n"):
        line = line.rstrip(b"\r")
        columns = line[line.rfind(b"4831\t") :].split(b"\t")
        if b"4831\t" in line and len(columns) == 12:
            hours, minutes, seconds, millis = (int(line[at : at + n]) for at, n in ((11, 2), (14, 2), (17, 2), (20, 3)))
            at_ms = ((hours * 60 + minutes) * 60 + seconds) * 1000 + millis
            records.append(((at_ms + 500) // 1000, float(columns[2])))

NAN = float("nan")


def harm(count):
    """A day's mishaps, from a seed, none closer to another than ten records."""
    dice = random.Random(20150330)
    at, edits = 50, []
    while at < count - 200:
        kind = dice.choice(["spike", "spike", "pair", "step", "hold", "missing", "drop"])
        length = 1
        if kind == "spike":
            edits.append(("add", at, 1, dice.choice([-1, 1]) * dice.randint(900, 15000) / 1000))
        elif kind == "pair":
            length = 2
            edits.append(("add", at, 2, dice.choice([-1, 1]) * dice.randint(3000, 15000) / 1000))
        elif kind == "step":
            length = dice.randint(20, 60)
            edits.append(("add", at, length, dice.choice([-1, 1]) * dice.randint(3000, 15000) / 1000))
        else:
            length = dice.randint(1, 20)
            edits.append((kind, at, length))
        at += length + dice.randint(10, 120)
    return edits


def apply(edits):
    times, values = (list(column) for column in zip(*records))
    dropped = set()
    for kind, first, count, *by in edits:
        for at in range(first, first + count):
            if kind == "add":
                values[at] = round(values[at] + by[0], 3)
            elif kind == "hold":
                values[at] = values[first]
            elif kind == "missing":
                values[at] = NAN
            else:
                dropped.add(at)
    kept = [at for at in range(len(values)) if at not in dropped]
    return np.array([times[at] for at in kept], dtype="datetime64[s]"), np.array([values[at] for at in kept])


def say(name, flags):
    runs = ((flag, len(list(run))) for flag, run in itertools.groupby(np.ma.filled(flags, 9).tolist()))
    print(name, *(f"{flag}x{count}" if count > 1 else flag for flag, count in runs))


with np.errstate(all="ignore"):
    for name, edits in (("day", []), ("harmed", harm(len(records)))):
        times, values = apply(edits)
        print("series", name)
        for edit in edits:
            print(*edit)
        say("range", qartod.gross_range_test(values, RANGE))
        say("rate", qartod.rate_of_change_test(values, times, RATE_PER_S))
        say("flat", qartod.flat_line_test(values, times, FLAT_S, 10**6, FLAT_TOLERANCE))
        say("spike", qartod.spike_test(values, SPIKE, None, "differential"))

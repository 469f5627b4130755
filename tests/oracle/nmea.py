"""What pynmea2 finds in a log of NMEA 0183 sentences.

usage: nmea.py FILE QUANTITY=SENTENCE.FIELD...

prints {"readings": [{"quantity", "value"}...], "refused": n}

FIELD counts from 1 behind the address; which of pynmea2's names that is stands below. Comments (`#`) and AIS (`!`)
are not looked at. `$` and `!` are never data (NMEA 0183, 5.1): where a line has several, the last begins its sentence.
A sentence with a wrong checksum, or none, is refused.
"""

import json
import re
import sys

import pynmea2

NAMES = {
    "DBT.3": "depth_meters",
    "DPT.1": "depth",
    "MTW.1": "temperature",
    "VHW.1": "heading_true",
    "VHW.5": "water_speed_knots",
    "RMC.7": "spd_over_grnd",
    "VTG.7": "spd_over_grnd_kmph",
}

wanted = [pair.split("=") for pair in sys.argv[2:]]
readings, refused = [], 0
with open(sys.argv[1], encoding="latin-1", newline="") as file:
    for line in file.read().split("\r\n"):
        if not line or line[0] in "#!":
            continue
        try:
            message = pynmea2.parse(re.split(r"(?=[$!])", line)[-1], check=True)
        except pynmea2.ParseError:
            refused += 1
            continue
        for quantity, field in wanted:
            if getattr(message, "sentence_type", None) == field.split(".")[0]:
                value = getattr(message, NAMES[field])
                readings.append({"quantity": quantity, "value": float(value)})
print(json.dumps({"readings": readings, "refused": refused}))

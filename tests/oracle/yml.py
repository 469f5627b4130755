"""What the authors of a driver expect from their capture: the records of an OOI result file.

usage: yml.py FILE QUANTITY=KEY...

prints {"readings": [{"quantity", "value"}...], "refused": 0}
"""

import json
import re
import sys

wanted = [pair.split("=") for pair in sys.argv[2:]]
with open(sys.argv[1], encoding="utf-8") as file:
    records = file.read().split("- _index:")[1:]
readings = [
    {"quantity": quantity, "value": float(re.search(rf"^\s+{key}:\s+(\S+)$", record, re.M)[1])}
    for record in records
    for quantity, key in wanted
]
print(json.dumps({"readings": readings, "refused": 0}))

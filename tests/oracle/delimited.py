"""What a strict reader finds in lines of delimited columns.

usage: delimited.py FILE --sep SEP --columns N --max BYTES [--start TEXT] QUANTITY=COLUMN...

prints {"readings": [{"quantity", "value"}...], "refused": n}

The rules, and nothing more forgiving: a line ends with CR LF; with TEXT given, a record begins at the last TEXT in its
line, and a line without is refused; a record longer than BYTES is refused; one with another number of columns than N,
or with anything but a plain finite number in a column that is asked for, is refused whole.
"""

import argparse
import json
import re

NUMBER = re.compile(rb"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")

parser = argparse.ArgumentParser()
parser.add_argument("file")
parser.add_argument("--sep", required=True)
parser.add_argument("--columns", type=int, required=True)
parser.add_argument("--max", type=int, required=True)
parser.add_argument("--start", default="")
parser.add_argument("quantities", nargs="+")
args = parser.parse_args()
sep = None if args.sep == "whitespace" else args.sep.encode()
start = args.start.encode()
wanted = [(name, int(column) - 1) for name, column in (pair.split("=") for pair in args.quantities)]


def record(line):
    """The values of a line, or None where it is refused."""
    if start not in line:
        return None
    line = line[line.rindex(start) if start else 0 :]
    columns = line.split(sep)
    if len(line) > args.max or len(columns) != args.columns:
        return None
    values = []
    for name, column in wanted:
        text = columns[column].strip()
        if not NUMBER.fullmatch(text):
            return None
        values.append({"quantity": name, "value": float(text)})
    return values


with open(args.file, "rb") as file:
    records = [record(line) for line in file.read().split(b"\r\n") if line]
readings = [reading for values in records if values for reading in values]
print(json.dumps({"readings": readings, "refused": records.count(None)}))

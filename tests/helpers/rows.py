"""What `cloud/tidegate_rows` makes of what a subscriber wrote down, as one line of JSON a message.

usage: rows.py HEARD [--without-headings]

`{"topic", "rows"}`, or `{"topic", "lacks", "first", "next"}` where a heading is not at hand.
"""

import base64
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "cloud"))

from tidegate_rows import LacksHeading, rows  # noqa: E402

lines = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8") if line.endswith("\n")]


def payload(line):
    return base64.b64decode(line["base64"]) if "base64" in line else json.dumps(line["payload"]).encode()


def compact(line):
    """The heading as it was sent: its name is the hash of that."""
    return payload(line) if "base64" in line else json.dumps(line["payload"], separators=(",", ":"), ensure_ascii=False).encode()


headings = {line["topic"].rpartition("/")[2]: compact(line) for line in lines if "/series/" in line["topic"]}
if "--without-headings" in sys.argv:
    headings = {}
for line in lines:
    if not line["topic"].endswith("/readings"):
        continue
    try:
        print(json.dumps({"topic": line["topic"], "rows": rows(payload(line), headings)}))
    except LacksHeading as lacks:
        print(json.dumps({"topic": line["topic"], "lacks": lacks.heading, "first": lacks.first, "next": lacks.next}))

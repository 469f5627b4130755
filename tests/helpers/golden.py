"""The decoder against the messages in `cloud/golden`: the same rows out of every format, to the bit; and whatever is
wrong with a message, an answer that says so.

usage: golden.py
"""

import json
import pathlib
import random
import struct
import sys

cloud = pathlib.Path(__file__).parents[2] / "cloud"
sys.path.insert(0, str(cloud))

from tidegate_rows import LacksHeading, NotTidegate, rows  # noqa: E402

SEED = 20260101
DAMAGED = 4000

golden = cloud / "golden"
headings = {file.name.removeprefix("heading-"): file.read_bytes() for file in golden.glob("heading-*")}


def exact(row):
    """A row as something that is equal only to the bit."""
    return {name: struct.pack(">d", value) if isinstance(value, float) else value for name, value in row.items()}


def placed(found):
    return [exact(row) for row in sorted(found, key=lambda row: row["seq"])]


def without_tags(found):
    return [{name: value for name, value in row.items() if name != "tags"} for row in found]


# `json` has the rows as they are: nothing is decoded.
wanted = rows((golden / "message-json.zst").read_bytes())
messages = sorted(golden.glob("message-*"))
assert len(messages) == 7, messages
for file in messages:
    found = rows(file.read_bytes(), headings)
    assert placed(found) == placed(without_tags(wanted) if "senml" in file.name else wanted), file.name

columnar = (golden / "message-columnar").read_bytes()
try:
    rows(columnar)
    raise AssertionError("nothing was lacking")
except LacksHeading as lacks:
    assert lacks.heading in headings
    seqs = [row["seq"] for row in wanted]
    assert lacks.first <= min(seqs) and max(seqs) < lacks.next, lacks

document = (cloud.parent / "docs/MQTT.md").read_text(encoding="utf-8")
shown = [block.split("```")[0] for block in document.split("```json\n")[1:]]
for block in (block for block in shown if '"first"' in block):
    message = json.loads(block)
    seqs = sorted(row["seq"] for row in rows(block.encode()))
    assert seqs == list(range(message["first"], message["next"])), block

print("seed", SEED)
dice = random.Random(SEED)
for _ in range(DAMAGED):
    damaged = bytearray(columnar[: dice.randrange(1, len(columnar))] if dice.random() < 0.3 else columnar)
    for _ in range(dice.randrange(4)):
        damaged[dice.randrange(len(damaged))] ^= 1 << dice.randrange(8)
    try:
        rows(bytes(damaged), headings)
    except (LacksHeading, NotTidegate):
        pass
print(len(wanted), "rows in", len(messages), "messages")

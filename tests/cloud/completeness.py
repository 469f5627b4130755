"""Takes things out of a copy of a lake and asks, in both dialects, whether its days are complete.

usage: completeness.py LAKE

The lake has several objects of a day in a row, the last of which is not the largest; lines of its manifest are edited as losses of each kind would leave them.
"""

import json
import pathlib
import shutil
import sys
import tempfile

import zstandard
from house import QUERIES, answer, athena, duck, transpiled

DAY, EARLIER = "2026-11-20", "2026-11-18"


def asked(lake):
    """(lost, uncounted, unexplained, percent) of a day."""
    names, rows = answer(duck(lake), (QUERIES / "duckdb" / "04-completeness.sql").read_text())
    assert (names, rows) == answer(athena(lake), transpiled((QUERIES / "athena" / "04-completeness.sql").read_text()))
    of_day = {row[names.index("day")]: row for row in rows}
    return {day: tuple(row[names.index(name)] for name in ("lost", "uncounted", "unexplained", "percent")) for day, row in of_day.items()}


def edited(edit):
    """The answer after `edit` of all the lines."""
    with tempfile.TemporaryDirectory() as folder:
        lake = pathlib.Path(folder) / "lake"
        shutil.copytree(sys.argv[1], lake)
        paths = sorted(lake.glob("manifests/v1/**/manifest.ndjson.zst"))
        lines = [json.loads(line) for path in paths for line in zstandard.open(path, "rt", encoding="utf-8")]
        # Its own gap reaches from the beginning on, and would explain anything.
        lines = edit(sorted((line for line in lines if not line["gaps"]), key=lambda line: line["first"]))
        for path in paths[1:]:
            path.unlink()
        text = "".join(json.dumps(line) + "\n" for line in lines)
        paths[0].write_bytes(zstandard.ZstdCompressor().compress(text.encode()))
        return asked(lake)


def gap(count, **more):
    return {"seq": 1, "reason": "quota", "count": count, **more}


def whole(lines):
    return lines


def taken_out(lines):
    return [line for line in lines if line is not largest(lines)]


def largest(lines):
    return max((line for line in lines if f"/dt={DAY}/" in line["key"]), key=lambda line: line["rows"])


def explained(lines):
    """The object's positions were dropped on the device: the next line has the gap, which reaches further back."""
    out, rest = largest(lines), taken_out(lines)
    after = next(line for line in rest if line["first"] >= out["next"])
    after["gaps"] = [gap(out["next"] - 1, lost_first=1, lost_next=out["next"], lost_from=f"{DAY}T01:00:00.000Z")]
    return rest


def never_numbered(lines):
    largest(lines)["gaps"] = [gap(7, lost_from=f"{EARLIER}T23:00:00.000Z")]
    return lines


def thinned(lines):
    largest(lines)["rows"] -= 9
    return lines


assert edited(whole)[DAY] == (0, 0, 0, 100.0)
there = {}
edited(lambda lines: (there.update(largest(lines)), there.update(all=sum(line["rows"] for line in lines if f"/dt={DAY}/" in line["key"])), lines)[2])
rows, of_day = there["rows"], there["all"]
share = 100.0 * (of_day - rows) / of_day

assert edited(taken_out)[DAY] == (0, 0, rows, share), edited(taken_out)
assert edited(explained)[DAY] == (rows, 0, 0, share), edited(explained)
# It counts on the day on which it was lost, of which there is nothing else.
days = edited(never_numbered)
assert (days[EARLIER], days["2026-11-19"], days[DAY]) == ((7, 0, 0, None), (0, 0, 0, None), (0, 0, 0, 100.0)), days
assert edited(thinned)[DAY] == (9, 0, 0, 100.0 * (of_day - 9) / of_day), edited(thinned)
json.dump({"rows": rows, "of": of_day}, sys.stdout)

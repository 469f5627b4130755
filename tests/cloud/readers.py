"""Runs every example of docs/LAKE.md that reads a lake, as it stands there, and holds what they read against what was said.

usage: readers.py LAKE PLAIN SAID

LAKE is in Parquet and PLAIN in NDJSON. SAID is a JSON list of the numbers of the instrument `bits`, in hex, in order.
"""

import json
import os
import pathlib
import struct
import sys
import tempfile

import duckdb
from house import ROOT

# Whoever changes the page should not lose an example by accident.
EXAMPLES = {"sql": 6, "python": 2}


def blocks(language):
    text = (ROOT / "docs" / "LAKE.md").read_text(encoding="utf-8")
    found = [rest.partition("```")[0] for rest in text.split(f"```{language}\n")[1:]]
    assert len(found) == EXAMPLES[language], f"{language}: {len(found)} examples"
    return found


def by_sql(sql):
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    result = connection.execute(sql)
    names = [column[0] for column in result.description]
    return [dict(zip(names, row)) for row in result.fetchall()]


def by_python(code):
    scope = {}
    exec(code, scope)
    return scope["rows"]


def bits(rows):
    # Events have no value, and as JSON many have no instrument.
    of_bits = [row for row in rows if row.get("instrument") == "bits" and row.get("quantity") == "number"]
    return [struct.pack(">d", row["value"]).hex() for row in sorted(of_bits, key=lambda row: row["seq"])]


lakes = {"parquet": sys.argv[1], "ndjson": sys.argv[2]}
said = json.loads(sys.argv[3])
held = []
with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    for language, run in (("sql", by_sql), ("python", by_python)):
        for text in blocks(language):
            # The page calls every lake `lake`; manifests are the same in both.
            kind = "ndjson" if ".ndjson.zst" in text.replace("manifest.ndjson.zst", "") else "parquet"
            link = pathlib.Path("lake")
            link.unlink(missing_ok=True)
            link.symlink_to(lakes[kind])
            rows = run(text)
            assert rows or "QUALIFY first <> expected" in text, f"nothing came of\n{text}"
            if any({"seq", "value"} <= set(row) for row in rows):
                assert bits(rows) == said, f"{language} on {kind} reads other numbers"
                held.append(f"{kind} by {language}")
    os.chdir("/")
assert sorted(held) == ["ndjson by python", "ndjson by sql", "parquet by python", "parquet by sql"], held
json.dump({"numbers": len(said), "readers": held}, sys.stdout)

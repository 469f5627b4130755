"""The lines of a folder's NDJSON objects, as they are.

usage: ndjson.py FOLDER
"""

import pathlib
import sys

import zstandard

for file in sorted(pathlib.Path(sys.argv[1]).glob("readings/v1/**/*.ndjson.zst")):
    with zstandard.open(file, "rt", encoding="utf-8", newline="") as lines:
        sys.stdout.write(lines.read())

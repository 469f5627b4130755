"""Rows as NDJSON: `python -m tidegate_rows MESSAGE... [--headings FOLDER]`, a heading in a file of its name."""

import argparse
import json
import pathlib

from . import rows

parser = argparse.ArgumentParser(prog="tidegate_rows", description=__doc__)
parser.add_argument("message", nargs="+", type=pathlib.Path)
parser.add_argument("--headings", type=pathlib.Path)
arguments = parser.parse_args()
headings = {}
if arguments.headings:
    headings = {file.stem: file.read_bytes() for file in arguments.headings.iterdir()}
for message in arguments.message:
    for row in rows(message.read_bytes(), headings):
        print(json.dumps(row))

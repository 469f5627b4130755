#!/usr/bin/env python3
"""Holds our Parquet against pyarrow's: `pyarrow_size.py [--level N] FILE...` prints ours, theirs and the ratio.

Each file is read and written again by pyarrow with the same rows, the same metadata, the same statistics, one row
group, pages of the same size and zstd; each column with whichever of the encodings pyarrow offers for it comes out
smallest. The level is the one that we use for that number of rows, unless it is given. Exit code 1 where ours is larger.
"""

import argparse
import io
import os
import sys

import pyarrow as pa
import pyarrow.parquet as pq

STATISTICS = ["time", "instrument", "quantity", "quality", "seq", "event"]
PAGE_BYTES = 768 << 10
PAGE_ROWS = PAGE_BYTES // 8
DICTIONARY_BYTES = 1 << 18
SMALL_ROWS = 8192


def candidates(field):
    if pa.types.is_timestamp(field.type) or pa.types.is_integer(field.type):
        return ["DICTIONARY", "PLAIN", "DELTA_BINARY_PACKED"]
    if pa.types.is_floating(field.type):
        return ["DICTIONARY", "PLAIN", "BYTE_STREAM_SPLIT"]
    return ["DICTIONARY", "PLAIN", "DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"]


def written(table, encodings, level, pairs=None):
    out = io.BytesIO()
    with pq.ParquetWriter(
        out,
        table.schema,
        version="2.6",
        data_page_version="1.0",
        compression="zstd",
        compression_level=level,
        data_page_size=PAGE_BYTES,
        max_rows_per_page=PAGE_ROWS,
        dictionary_pagesize_limit=DICTIONARY_BYTES,
        write_page_index=table.num_rows > PAGE_ROWS,
        write_statistics=[name for name in STATISTICS if name in table.column_names],
        store_schema=False,
        use_dictionary=[name for name, encoding in encodings.items() if encoding == "DICTIONARY"],
        column_encoding={name: encoding for name, encoding in encodings.items() if encoding != "DICTIONARY"} or None,
    ) as writer:
        writer.write_table(table, row_group_size=max(1, table.num_rows))
        writer.add_key_value_metadata(pairs or {})
    return out.getbuffer().nbytes


def theirs(path, level):
    pairs = pq.read_metadata(path).metadata or {}
    with open(path, "rb") as file:
        table = pq.read_table(file).replace_schema_metadata(None)
    level = level or (15 if table.num_rows <= SMALL_ROWS else 3)
    best = {}
    for field in table.schema:
        alone = table.select([field.name])
        best[field.name] = min(candidates(field), key=lambda encoding: written(alone, {field.name: encoding}, level))
    return written(table, best, level, pairs), table.num_rows, best


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--level", type=int)
    parser.add_argument("-v", action="store_true", help="name the encodings that pyarrow came out smallest with")
    parser.add_argument("files", nargs="+")
    args = parser.parse_args()
    is_larger = False
    for path in args.files:
        ours = os.path.getsize(path)
        other, rows, best = theirs(path, args.level)
        is_larger |= ours > other
        per_row = f"{ours / rows:.3f} against {other / rows:.3f} B/row" if rows else "no rows"
        print(f"ours {ours} theirs {other} ratio {ours / other:.4f} rows {rows} ({per_row}) {os.path.basename(path)}")
        if args.v:
            print("  " + ", ".join(f"{name}: {encoding}" for name, encoding in best.items()))
    return 1 if is_larger else 0


if __name__ == "__main__":
    sys.exit(main())

"""How large a lake's Parquet objects are, and how large pyarrow makes the same rows.

usage: parquet.py FOLDER

prints [ours, theirs] in bytes, over all objects below FOLDER. pyarrow gets the same schema, the same file metadata,
the same row groups, zstd at the same level and its usual dictionaries.
"""

import io
import json
import pathlib
import sys

import pyarrow.parquet

ours = theirs = 0
for path in pathlib.Path(sys.argv[1]).rglob("*.parquet"):
    file = pyarrow.parquet.ParquetFile(path)
    table = file.read()
    metadata = {key: value for key, value in (file.metadata.metadata or {}).items() if key != b"ARROW:schema"}
    out = io.BytesIO()
    pyarrow.parquet.write_table(
        table.replace_schema_metadata(metadata),
        out,
        compression="zstd",
        compression_level=3,
        row_group_size=max(file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)),
        store_schema=False,
    )
    ours += path.stat().st_size
    theirs += out.tell()
assert ours, "there are no objects"
print(json.dumps([ours, theirs]))

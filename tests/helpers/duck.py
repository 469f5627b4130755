"""Runs one DuckDB query and prints its rows as a JSON list of objects.

stdin: {"sql": "...", "store": null | {"endpoint", "key_id", "secret", "region"}}

Files that are not there yet are no rows, not an error.
"""

import datetime
import glob
import json
import os
import sys

import duckdb

question = json.load(sys.stdin)
connection = duckdb.connect()
connection.execute("SET TimeZone = 'UTC'")
if store := question["store"]:
    import duckdb_extension_httpfs

    folder = os.path.dirname(duckdb_extension_httpfs.__file__)
    [extension] = glob.glob(f"{folder}/extensions/*/httpfs.duckdb_extension")
    connection.execute(f"LOAD '{extension}'")
    connection.execute(
        f"""CREATE SECRET (TYPE s3, KEY_ID '{store["key_id"]}', SECRET '{store["secret"]}', REGION '{store["region"]}',
            ENDPOINT '{store["endpoint"]}', URL_STYLE 'path', USE_SSL false)"""
    )


def plain(value):
    return value.isoformat() if isinstance(value, (datetime.date, datetime.datetime)) else value


try:
    result = connection.execute(question["sql"])
    names = [column[0] for column in result.description or []]
    rows = [dict(zip(names, map(plain, row))) for row in result.fetchall()]
except duckdb.IOException as error:
    if "No files found" not in str(error):
        raise
    rows = []
json.dump(rows, sys.stdout, default=str)

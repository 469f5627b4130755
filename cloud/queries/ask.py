#!/usr/bin/env python3
"""Asks a lake one of the ten questions, or any other SQL, with DuckDB (`pip install duckdb`).

    ask.py LAKE QUESTION [--site S] [--device D] [--from DAY] [--to DAY] [--endpoint URL] [--ndjson]

LAKE      a folder, or s3://BUCKET[/PREFIX] with the usual variables (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
          AWS_SESSION_TOKEN, AWS_REGION, AWS_ENDPOINT_URL)
QUESTION  a file beside this one (02, or 02-daily-minimum), or SQL over `readings` and `manifests`

The answer is CSV.
"""

import argparse
import csv
import glob
import os
import pathlib
import sys
import urllib.parse

import duckdb

QUERIES = pathlib.Path(__file__).resolve().parent / "duckdb"


def text_of(question):
    """A question's SQL, by its name or the beginning of it."""
    found = sorted(QUERIES.glob(f"{glob.escape(question)}*.sql")) if question else []
    return found[0].read_text(encoding="utf-8") if len(found) == 1 else question


def reach_s3(connection, endpoint):
    """DuckDB's own extension: from PyPI where it is installed (`duckdb-extension-httpfs`), else over the network, once."""
    try:
        import duckdb_extension_httpfs

        [extension] = glob.glob(f"{os.path.dirname(duckdb_extension_httpfs.__file__)}/extensions/*/httpfs.duckdb_extension")
        connection.execute(f"LOAD '{extension}'")
    except ImportError:
        connection.execute("INSTALL httpfs")
        connection.execute("LOAD httpfs")
    said = {"KEY_ID": "AWS_ACCESS_KEY_ID", "SECRET": "AWS_SECRET_ACCESS_KEY", "SESSION_TOKEN": "AWS_SESSION_TOKEN", "REGION": "AWS_REGION"}
    options = {option: os.environ[variable] for option, variable in said.items() if variable in os.environ}
    flags = ""
    if endpoint:
        url = urllib.parse.urlsplit(endpoint)
        options["ENDPOINT"] = url.netloc
        # Nobody but AWS has names for buckets in the DNS.
        flags = f", URL_STYLE 'path', USE_SSL {str(url.scheme == 'https').lower()}"
    quoted = "".join(", {} '{}'".format(option, value.replace("'", "''")) for option, value in options.items())
    connection.execute(f"CREATE SECRET (TYPE s3{quoted}{flags})")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lake")
    parser.add_argument("question")
    for option, variable in (("--site", "site"), ("--device", "device"), ("--from", "from_day"), ("--to", "to_day")):
        parser.add_argument(option, dest=variable)
    parser.add_argument("--endpoint", default=os.environ.get("AWS_ENDPOINT_URL"))
    parser.add_argument("--ndjson", action="store_true", help="the lake's objects are NDJSON")
    args = parser.parse_args()

    connection = duckdb.connect()
    if args.lake.startswith("s3://"):
        reach_s3(connection, args.endpoint)
    for variable in ("lake", "site", "device", "from_day", "to_day"):
        if value := getattr(args, variable):
            connection.execute("SET VARIABLE {} = '{}'".format(variable, value.rstrip("/").replace("'", "''")))
    sql = text_of(args.question)
    for file in ("manifests.sql", "readings-ndjson.sql" if args.ndjson else "readings.sql"):
        connection.execute((QUERIES / file).read_text(encoding="utf-8"))
    result = connection.execute(sql)
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(column[0] for column in result.description)
    out.writerows(result.fetchall())


if __name__ == "__main__":
    main()

"""Holds the tables three ways against each other: Athena's DDL, the template's Glue tables, and what the agent wrote.

usage: tables.py LAKE
"""

import json
import pathlib
import sys

import pyarrow.parquet
import sqlglot
import yaml
import zstandard
from house import QUERIES, STACK, tables

# What Athena calls a Parquet column's type.
OF_PARQUET = {"timestamp[ms, tz=UTC]": "timestamp", "string": "string", "double": "double", "int32": "int", "int64": "bigint"}


class Loader(yaml.SafeLoader):
    """The template as plain values: its functions are not looked at."""


Loader.add_multi_constructor("!", lambda loader, suffix, node: node.value)


def ddl():
    """Hive's own text of a type: as it stands in the file, not as sqlglot would write it."""
    found, text = {}, (QUERIES / "athena" / "tables.sql").read_text()
    for name, (columns, partitions) in tables().items():
        body = text.partition(f"TABLE {name} (")[2].partition("\n)")[0]
        lines = [line.strip().rstrip(",").split(" ", 1) for line in body.strip().splitlines()]
        found[name] = ({column.strip("`"): kind for column, kind in lines}, list(partitions))
        assert list(found[name][0]) == list(columns), "sqlglot reads the same columns"
    return found


def glue():
    resources = yaml.load(STACK.read_text(), Loader)["Resources"]
    for resource in ("ReadingsTable", "ManifestsTable"):
        table = resources[resource]["Properties"]["TableInput"]
        columns = {column["Name"]: column["Type"] for column in table["StorageDescriptor"]["Columns"]}
        yield table["Name"], (columns, [column["Name"] for column in table["PartitionKeys"]])


def properties():
    """The projection says the same in both; names of the farm aside."""
    resources = yaml.load(STACK.read_text(), Loader)["Resources"]
    creates = sqlglot.parse((QUERIES / "athena" / "tables.sql").read_text(), read="athena")
    for create, resource in zip(creates, ("ReadingsTable", "ManifestsTable")):
        table = resources[resource]["Properties"]["TableInput"]["Parameters"]
        entries = [entry for entry in create.args["properties"].expressions if type(entry) is sqlglot.exp.Property]
        here = {entry.this.name: entry.args["value"].name for entry in entries}
        assert here and set(here) == set(table) - {"classification", "projection.device.values"}, (set(here), set(table))
        for key in ("projection.enabled", "projection.site.type", "projection.dt.type", "projection.dt.format"):
            assert here[key] == table[key], key
        there = table["storage.location.template"].replace("${!", "${").replace("${Lake}", "farm-lake")
        assert here["storage.location.template"] == there, there


def fits(kind, value):
    """Whether a value of a manifest line fits a Hive type; a field that the type does not name is one too few."""
    if value is None:
        return True
    if kind.startswith("array<"):
        return isinstance(value, list) and all(fits(kind[6:-1], item) for item in value)
    if kind.startswith("map<string,"):
        return isinstance(value, dict) and all(fits(kind[11:-1], item) for item in value.values())
    if kind.startswith("struct<"):
        fields = dict(field.split(":") for field in kind[7:-1].split(","))
        return isinstance(value, dict) and set(value) <= set(fields) and all(fits(fields[name], item) for name, item in value.items())
    if kind == "boolean":
        return isinstance(value, bool)
    is_of = {"string": str, "int": int, "bigint": int, "double": (int, float)}
    return isinstance(value, is_of[kind]) and not isinstance(value, bool)


lake = pathlib.Path(sys.argv[1])
of_ddl = ddl()
assert of_ddl == dict(glue()), "tables.sql and stack.yaml say the same"
properties()

[readings, manifests] = of_ddl["readings"], of_ddl["manifests"]
objects = sorted(lake.glob("readings/v1/**/*.parquet"))
assert objects
for path in objects:
    schema = pyarrow.parquet.read_schema(path)
    assert {field.name: OF_PARQUET[str(field.type)] for field in schema} == readings[0], f"{path}: {schema}"
    assert list(readings[0]) == schema.names, "in the same order"
    assert [part.partition("=")[0] for part in path.relative_to(lake).parts[2:-1]] == readings[1]

seen = set()
for path in lake.glob("manifests/v1/**/manifest.ndjson.zst"):
    assert [part.partition("=")[0] for part in path.relative_to(lake).parts[2:-1]] == manifests[1]
    for line in zstandard.open(path, "rt", encoding="utf-8"):
        line = json.loads(line)
        seen |= set(line)
        for field, value in line.items():
            assert field in manifests[0], f"{field} is in no column"
            assert fits(manifests[0][field], value), f"{field}: {value} is no {manifests[0][field]}"
# This lake was never rebuilt.
assert seen == set(manifests[0]) - {"rebuilt"}, f"no line has {set(manifests[0]) - seen}"
json.dump({"columns": len(readings[0]), "fields": len(manifests[0]), "objects": len(objects)}, sys.stdout)

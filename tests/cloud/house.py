"""What the scripts in this folder share: where things lie, and the lake as Athena would see it, in DuckDB."""

import datetime
import pathlib

import duckdb
import sqlglot
from sqlglot import expressions as exp

ROOT = pathlib.Path(__file__).parents[2]
QUERIES = ROOT / "cloud" / "queries"
STACK = ROOT / "cloud" / "stack.yaml"

# What the queries' texts ask about, and what the story's lake has.
SITE, DEVICE, FROM, TO = "lac-vert", "pond-gw-1", "2026-11-01", "2026-11-30"


def questions():
    """The names of the ten, which are those of the files in both folders."""
    names = [sorted(path.name for path in (QUERIES / dialect).glob("[01]*.sql")) for dialect in ("athena", "duckdb")]
    assert names[0] == names[1] and len(names[0]) == 10, names
    return names[0]


def tables():
    """The tables of the DDL: name -> (columns, partitions), each as name -> type in sqlglot's words."""
    found = {}
    for create in sqlglot.parse((QUERIES / "athena" / "tables.sql").read_text(), read="athena"):
        schema = create.this
        columns = {column.name: column.args["kind"] for column in schema.expressions}
        partitions = create.find(exp.PartitionedByProperty).this.expressions
        found[schema.this.name] = (columns, {column.name: column.args["kind"] for column in partitions})
    return found


def statements(path):
    """The statements of a file for DuckDB, as its own shell splits them."""
    return duckdb.extract_statements(path.read_text())


def duck(lake, readings="readings.sql", **variables):
    """A connection after the files of both tables."""
    connection = duckdb.connect()
    for name, value in {"lake": lake, **variables}.items():
        connection.execute(f"SET VARIABLE {name} = '{value}'")
    for file in ("manifests.sql", readings):
        for statement in statements(QUERIES / "duckdb" / file):
            connection.execute(statement)
    return connection


def athena(lake):
    """A connection whose `readings` and `manifests` have what the DDL says and nothing else: columns, types, partitions,
    and Athena's hidden "$path"."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for name, (columns, partitions) in tables().items():
        hive = f"hive_partitioning = true, hive_types = {{{', '.join(f'{p}: VARCHAR' for p in partitions)}}}, filename = true"
        if name == "readings":
            source = f"read_parquet('{lake}/readings/v1/*/*/*/*.parquet', {hive})"
        else:
            # The DDL's own types read the lines: one that does not fit is an error here.
            types = ", ".join(f"{column}: '{kind.sql('duckdb')}'" for column, kind in columns.items())
            source = f"read_json('{lake}/manifests/v1/*/*/*/manifest.ndjson.zst', format = 'newline_delimited', {hive}, columns = {{{types}}})"
        # Athena's timestamp has no zone and says UTC.
        as_athena = [f"{column} AT TIME ZONE 'UTC' AS {column}" if kind.sql("athena") == "TIMESTAMP" else column for column, kind in columns.items()]
        connection.execute(f'CREATE VIEW {name} AS SELECT {", ".join([*as_athena, *partitions])}, filename AS "$path" FROM {source}')
    return connection


def transpiled(sql):
    """Athena's SQL as DuckDB understands it."""

    def rows_become_columns(node):
        # Trino's UNNEST of an array of rows gives a column a field; DuckDB's gives one struct unless told otherwise.
        if isinstance(node, exp.Unnest) and len(node.alias_column_names) > 1:
            alias = f"{node.alias}({', '.join(node.alias_column_names)})"
            text = f"SELECT * FROM (SELECT unnest({node.expressions[0].sql('duckdb')}, max_depth := 2)) AS {alias}"
            return sqlglot.parse_one(text, read="duckdb").args["from_"].this
        return node

    [statement] = sqlglot.parse(sql, read="athena")
    return statement.transform(rows_become_columns).sql("duckdb")


def answer(connection, sql):
    """Names and rows; times as UTC without a zone, for Athena's have none."""

    def plain(value):
        if isinstance(value, datetime.datetime):
            value = value.astimezone(datetime.timezone.utc).replace(tzinfo=None) if value.tzinfo else value
            return value.isoformat(timespec="milliseconds")
        return value

    result = connection.execute(sql)
    names = [column[0] for column in result.description]
    return names, [[plain(value) for value in row] for row in result.fetchall()]

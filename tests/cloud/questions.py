"""Asks a lake the ten questions in both dialects, holds the answers against each other, and prints them.

usage: questions.py LAKE PLAIN

PLAIN is the same lake as NDJSON: what is asked of readings has the same answers there. stdout: {"01-last-value": [{column: value}, ...], ...}. Athena's text runs in DuckDB, put into its words by sqlglot, over views
that have the columns and types of the DDL.
"""

import json
import math
import sys

import trino_sql_validator
from house import DEVICE, FROM, QUERIES, SITE, TO, answer, athena, duck, questions, transpiled


def is_same(one, other):
    """Sums of doubles are taken in any order."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-12, abs_tol=1e-12)
    return one == other


lake, plain = sys.argv[1:]
asked = {"site": SITE, "device": DEVICE, "from_day": FROM, "to_day": TO}
by_duckdb, of_plain, by_athena = duck(lake, **asked), duck(plain, "readings-ndjson.sql", **asked), athena(lake)
answers = {}
for question in questions():
    names, rows = answer(by_duckdb, (QUERIES / "duckdb" / question).read_text())
    text = (QUERIES / "athena" / question).read_text()
    # Athena is Trino: words, and functions with their arguments.
    checked = trino_sql_validator.validate(text, dialect="trino", jinja="reject")
    assert checked.valid and not checked.warnings, f"{question}: {checked}"
    sql = transpiled(text)
    names_there, rows_there = answer(by_athena, sql)
    assert names == names_there, f"{question}: {names} and {names_there}"
    assert len(rows) == len(rows_there), f"{question}: {len(rows)} rows and {len(rows_there)}\n{rows}\n{rows_there}\n{sql}"
    for row, there in zip(rows, rows_there):
        assert all(map(is_same, row, there)), f"{question}: {row} and {there}"
    if "FROM readings" in sql:
        assert answer(of_plain, (QUERIES / "duckdb" / question).read_text()) == (names, rows), f"{question}: NDJSON says otherwise"
    answers[question.removesuffix(".sql")] = [dict(zip(names, row)) for row in rows]
json.dump(answers, sys.stdout)

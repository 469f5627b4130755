"""Holds configurations against the JSON Schema of them: schema.py SCHEMA FILE... (TOML, or Markdown with TOML in it)

Prints as JSON how many configurations there were, what the schema says against each of them, and where it lets one of
their values be of a wrong kind, or a key be there that nobody knows.
"""

import copy
import json
import re
import sys
import tomllib

import jsonschema


def configurations(file):
    """Each with where it stands."""
    text = open(file, encoding="utf-8").read()
    if not file.endswith(".md"):
        return [(file, tomllib.loads(text))]
    blocks = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    return [(f"{file} ({number})", tomllib.loads(block)) for number, block in enumerate(blocks, 1)]


def places(value, path=()):
    """Where every table and every value stands."""
    yield path, value
    if isinstance(value, dict):
        for key, below in value.items():
            yield from places(below, (*path, key))


def with_value(whole, path, value):
    """The same with another value there."""
    whole = copy.deepcopy(whole)
    table = whole
    for key in path[:-1]:
        table = table[key]
    table[path[-1]] = value
    return whole


with open(sys.argv[1], encoding="utf-8") as schema:
    schema = json.load(schema)
jsonschema.Draft202012Validator.check_schema(schema)
judge = jsonschema.Draft202012Validator(schema)
found = [pair for file in sys.argv[2:] for pair in configurations(file)]
against, lets = [], []
for name, whole in found:
    against += [f"{name}: {error.json_path}: {error.message}" for error in judge.iter_errors(whole)]
    for path, value in places(whole):
        if path and judge.is_valid(with_value(whole, path, "true" if isinstance(value, bool) else True)):
            lets.append(f"{name}: {'.'.join(path)} is of a wrong kind")
        # Tags and their like have free names.
        is_free = any(key in ("tags", "parameters", "events", "units") for key in path)
        if isinstance(value, dict) and not is_free and judge.is_valid(with_value(whole, (*path, "no such.key"), "x")):
            lets.append(f"{name}: {'.'.join(path)} has a key that nobody knows")
print(json.dumps({"configurations": len(found), "against": against, "lets": lets}))

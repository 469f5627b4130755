"""What the two expect scripts share: where the captures are, and how a list of values becomes one line of CSV.

A line is `field,<capture>,<field>,<numbers or texts>,<missing>,<hash>,<first>,<last>` or
`counts,<capture>,<frames>,<ignored>,<refused>`. The hash is FNV-1a 64 over the values in order: the eight big-endian
bytes of a float, the UTF-8 bytes of a text and a line feed.
"""
import pathlib
import struct

CAPTURES = pathlib.Path(__file__).resolve().parents[5] / "tests" / "data"


def fnv1a(values):
    digest = 0xCBF29CE484222325
    for value in values:
        octets = struct.pack(">d", value) if isinstance(value, float) else value.encode() + b"\n"
        for octet in octets:
            digest = ((digest ^ octet) * 0x100000001B3) % 2**64
    return digest


def rows(capture, counts, columns):
    """`columns`: {field: [float | str | None]}; None is missing."""
    yield f"counts,{capture},{counts['frames']},{counts['ignored']},{counts['refused']}"
    for field, values in columns.items():
        said = [value for value in values if value is not None]
        ends = [repr(said[0]), repr(said[-1])] if said else ["", ""]
        yield f"field,{capture},{field},{len(said)},{len(values) - len(said)},{fnv1a(said):016x},{','.join(ends)}"


def write(name, lines):
    path = pathlib.Path(__file__).with_name(name)
    path.write_text("".join(line + "\n" for line in lines))
    print(path.read_text(), end="")

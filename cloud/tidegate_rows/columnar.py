"""`columnar`: a heading's name, one block of columns, and words where there is more to say.

    [version 1][heading 8 bytes][varint first][varint positions][varint readings][block][JSON]
"""

import hashlib
import json

from . import times
from .columns import Input, ints, numbers, texts
from .envelope import placed, reading
from .errors import LacksHeading, NotTidegate

VERSION = b"\x01"
NAME_BYTES = 8
# As many as a batch has at most.
READINGS_MAX = 65_536
CLOCKS = ("synced", "corrected", "untrusted")
QUALITIES = {1: "pass", 2: "not-evaluated", 3: "suspect", 4: "fail", 9: "missing"}
NUMBER, TEXT, MISSING = 0, 1, 2


def name_of(heading):
    """What a heading is called: the beginning of its SHA-256."""
    return hashlib.sha256(heading).digest()[:NAME_BYTES].hex()


def rows(payload, heading_of):
    try:
        source = Input(payload)
        source.take(len(VERSION))
        name = bytes(source.take(NAME_BYTES)).hex()
        first = source.varint()
        end = first + source.varint()
    except ValueError as error:
        raise NotTidegate(f"damaged: {error}") from error
    heading = heading_of(name)
    if heading is None:
        raise LacksHeading(name, first, end)
    try:
        return list(all_rows(source, heading, first))
    except (LookupError, ValueError, ArithmeticError, TypeError, AttributeError) as error:
        raise NotTidegate(f"damaged: {error!r}") from error


def all_rows(source, heading, first):
    block = list(readings(source, first))
    rest = bytes(source.rest())
    more = json.loads(rest) if rest else {}
    series = heading["series"] + more.get("series", [])
    whose = {"device": heading["device"], "site": heading["site"]}
    for seq, ms, clock, of, value, quality in block:
        yield placed(whose, heading["epoch"], reading(seq, times.text(ms), clock, series[of], value, quality))
    for row in more.get("events", []):
        yield placed(whose, heading["epoch"], row)


def readings(source, first):
    """(seq, ms, clock, series, value, quality) of each."""
    count = source.size(READINGS_MAX)
    if count == 0:
        return
    seqs = positions(source, first, count)
    stamps = lines(source, count)
    series = guessed(source, count)
    places = {}
    for place, of in enumerate(series):
        places.setdefault(of, []).append(place)
    states = iter(ints(source, count))
    values = [None] * count
    for here in places.values():
        of_these = [next(states) for _ in here]
        kinds = [state & 3 for state in of_these]
        number = iter(numbers(source, kinds.count(NUMBER)))
        text = iter(texts(source, kinds.count(TEXT)))
        for place, state in zip(here, of_these):
            kind = state & 3
            value = next(number) if kind == NUMBER else next(text) if kind == TEXT else None
            values[place] = (value, QUALITIES[state >> 2])
    for seq, (ms, clock), of, (value, quality) in zip(seqs, stamps, series, values, strict=True):
        yield seq, ms, clock, of, value, quality


def positions(source, first, count):
    """Runs of (skipped, length)."""
    seqs, at = [], first
    for _ in range(source.varint()):
        at += source.varint()
        length = source.size(count - len(seqs))
        seqs += range(at, at + length)
        at += length
    return seqs


def lines(source, count):
    """What was heard at once has one time."""
    number = source.size(count)
    stamps = []
    for length, ms, clock in zip(ints(source, number), ints(source, number), ints(source, number)):
        if not 0 <= length <= count - len(stamps):
            raise ValueError("lines and readings do not agree")
        stamps += [(ms, CLOCKS[clock])] * length
    return stamps


def guessed(source, count):
    """A reading's series is the one that came after the last one's the time before, or the next, unless it is said."""
    misses = {}
    at = 0
    for _ in range(source.size(count)):
        at += source.varint()
        misses[at] = source.varint()
        at += 1
    after, last, series = {}, -1, []
    for place in range(count):
        one = misses[place] if place in misses else after.get(last, last + 1)
        if last >= 0:
            after[last] = one
        last = one
        series.append(one)
    return series

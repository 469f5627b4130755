"""Rows out of tidegate's MQTT messages: every format in, the same rows out.

    from tidegate_rows import rows, LacksHeading

    for row in rows(payload, headings):
        ...

A row is what a line of the lake's NDJSON is: `seq, epoch, time, clock, instrument, quantity, value, unit, quality,
tags` for a reading, `seq, epoch, time, clock, event` and its facts for an event; with `device` and `site` in front.
`docs/MQTT.md` describes what is read here.

Standard library only, but for zstd before Python 3.14: `zstandard` or `backports.zstd` is used where it is installed.
"""

import json

from . import columnar, envelope, senml
from .errors import LacksHeading, NotTidegate
from .zstd import decompress, is_zstd

__all__ = ["rows", "heading", "LacksHeading", "NotTidegate"]


def rows(payload, headings=None):
    """The rows of one message on a topic `.../readings`, in no particular order.

    `headings` is asked for what `columnar` messages refer to: a mapping from an id (16 hex digits, the last level of
    the topic `.../series/<id>`) to that topic's payload. `LacksHeading` says which one it does not have: keep the
    message, and read it again when it is there.
    """
    payload = decompress(payload) if is_zstd(payload) else bytes(payload)
    if payload[:1] == columnar.VERSION:
        return columnar.rows(payload, lambda name: heading(headings, name))
    try:
        message = json.loads(payload)
    except ValueError as error:
        raise NotTidegate(f"neither columnar nor JSON: {error}") from error
    return list(senml.rows(message)) if isinstance(message, list) else envelope.rows(message)


def heading(headings, name):
    """The heading of this name, checked against it; None if `headings` does not have it."""
    payload = (headings or {}).get(name)
    if payload is None:
        return None
    payload = decompress(payload) if is_zstd(payload) else bytes(payload)
    if columnar.name_of(payload) != name:
        raise NotTidegate(f"what stands under the name {name} is another heading")
    return json.loads(payload)

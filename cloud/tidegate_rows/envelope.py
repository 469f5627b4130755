"""`json` and `json-columns`."""

from itertools import accumulate, chain, repeat

from . import times
from .errors import NotTidegate


def rows(message):
    if not isinstance(message, dict) or message.get("v") != 1:
        raise NotTidegate("an envelope of another version, or none")
    whose = {"device": message["device"], "site": message["site"]}
    found = list(message.get("readings", []))
    found += from_columns(message)
    found += message.get("events", [])
    return [placed(whose, message["epoch"], row) for row in found]


def placed(whose, epoch, row):
    row = dict(row)
    return {**whose, "seq": row.pop("seq"), "epoch": epoch, **row}


def from_columns(message):
    steps = None
    for series in message.get("series", []):
        value = series["value"]
        count = len(value)
        steps = series.get("time", steps)
        seqs = walked(message["first"], series["seq"], count)
        when = walked(times.millis(message["time"]), steps, count)
        quality = marks(series.get("quality", "pass"))
        clock = marks(series.get("clock", "synced"))
        for seq, ms, of, value, good in zip(seqs, when, clock, value, quality):
            yield reading(seq, times.text(ms), of, series, value, good)


def walked(start, steps, count):
    """From `start`, step by step; the last step is repeated."""
    steps = chain(steps, repeat(steps[-1], count - len(steps)))
    return list(accumulate(steps, initial=start))[1:]


def marks(said):
    """One word for all, or runs of [word, count]."""
    if isinstance(said, str):
        return repeat(said)
    return chain.from_iterable(repeat(word, count) for word, count in said)


def reading(seq, time, clock, series, value, quality):
    row = {"seq": seq, "time": time, "clock": clock}
    row |= {"instrument": series["instrument"], "quantity": series["quantity"], "value": value}
    if "unit" in series:
        row["unit"] = series["unit"]
    row["quality"] = quality
    if "tags" in series:
        row["tags"] = series["tags"]
    return row

"""`senml`: RFC 8428, with the fields of our own. Tags are not in it."""

from . import times

# The registry's word, and UCUM's.
UNITS = {"pH": "[pH]", "count": "{count}", "/": "1", "1/s": "/s", "1/min": "/min", "l": "L", "l/s": "L/s", "kg/m3": "g/L"}
FACT = "fact:"


def rows(pack):
    base_name, base_time, base_unit = "", 0, None
    for record in pack:
        base_name = record.get("bn", base_name)
        base_time = record.get("bt", base_time)
        base_unit = record.get("bu", base_unit)
        device, *of = (base_name + record.get("n", "")).split("/")
        ms = record.get("time_ms", round((base_time + record.get("t", 0)) * 1000))
        row = {"device": device.removeprefix("d:"), "site": pack[0]["site"], "seq": record["seq"], "epoch": pack[0]["epoch"]}
        row |= {"time": times.text(ms), "clock": record.get("clock", "synced")}
        if of[-1] == "event":
            yield row | event(of[:-1], record)
        else:
            yield row | reading(of, record, record.get("u", base_unit))


def event(of, record):
    row = {"event": record["vs"]} | dict(zip(("instrument", "quantity"), of))
    return row | {name.removeprefix(FACT): fact for name, fact in record.items() if name.startswith(FACT)}


def reading(of, record, unit):
    quality = record.get("quality", "pass")
    value = record.get("v", record.get("vs"))
    row = {"instrument": of[0], "quantity": of[1], "value": None if quality == "missing" else value}
    if unit:
        row["unit"] = UNITS.get(unit, unit)
    return row | {"quality": quality}

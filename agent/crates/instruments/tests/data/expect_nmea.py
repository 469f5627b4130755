"""Writes expect_nmea.csv: what pynmea2 1.19.0 (MIT) reads in the NMEA captures.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install pynmea2==1.19.0 && /tmp/venv/bin/python expect_nmea.py

pynmea2 does the checksums and the fields. Ours here is only what it does not do: which lines count (`#` comments are
ignored, a sentence begins at the last `$` or `!` of its line) and that a sentence without a checksum is refused.
"""
import collections

import pynmea2

from expect_common import CAPTURES, rows, write

WANTED = {
    "nmea/sounder.log": ["DBT.3", "DBT.1"],
    "nmea/signalk-gofree-merrimac.log": ["DBT.3", "MTW.1", "WIMWV.3", "XDR.BARO", "XDR.AIRTEMP"],
    "nmea/mtk-3301.log": ["GGA.7", "GPRMC.7", "VTG.1"],
}


def number(text):
    return float(text) if text else None


def pick(sentence, field):
    """[] if the sentence is not meant, else [value]."""
    address, part = field.split(".", 1)
    if address not in (sentence.sentence_type, sentence.talker + sentence.sentence_type):
        return []
    if not part.isdigit():
        if len(sentence.data) % 4:  # GoFree's XDR says type and value out of step: no quads, no value.
            raise pynmea2.ParseError("no quads", sentence)
        names = [sentence.get_transducer(i) for i in range(sentence.num_transducers)]
        return [number(t.value) for t in names if t.id == part]
    return [number(sentence.data[int(part) - 1])]


def read(capture):
    counts, columns = collections.Counter(), {field: [] for field in WANTED[capture]}
    # What stands behind the last line feed is no line yet.
    for line in (CAPTURES / capture).read_text("latin-1").split("\n")[:-1]:
        line = line.rstrip("\r")
        if not line:
            continue
        counts["frames"] += 1
        if line.startswith("#"):
            counts["ignored"] += 1
            continue
        line = line[max(line.rfind("$"), line.rfind("!"), 0) :]
        if line.startswith("!"):
            body, _, said = line[1:].partition("*")
            fits = said and int(said, 16) == pynmea2.NMEASentence.checksum(body)
            counts["ignored" if fits else "refused"] += 1
            continue
        try:
            sentence = pynmea2.parse(line, check=True)
            talks = isinstance(sentence, pynmea2.TalkerSentence)
            picked = {field: pick(sentence, field) for field in columns if talks}
        except pynmea2.ParseError:
            counts["refused"] += 1
            continue
        if not any(picked.values()):
            counts["ignored"] += 1
        for field, values in picked.items():
            columns[field] += values
    return rows(capture, counts, columns)


write("expect_nmea.csv", (line for capture in WANTED for line in read(capture)))

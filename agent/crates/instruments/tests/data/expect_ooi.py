"""Writes expect_ooi.csv: what plain Python (str.split, float) reads in the OOI captures. Needs nothing but Python 3.

The SBE 16plus values are those of the OOI driver's authors (20131123.ctdbp1_many_telemetered.yml), not ours.
"""
import collections
import re

from expect_common import CAPTURES, rows, write

PREFIX = re.compile(rb"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{1,3} ?(\[[^\]]*\]:)?")
STATUS = (b"Instrument ", b"Idle state", b"Logger started", b"Data logger")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def lines(capture):
    """The instrument's lines: without the logger's prefix, without its own messages."""
    for raw in (CAPTURES / capture).read_bytes().split(b"\n"):
        raw = raw.removesuffix(b"\r")
        prefix = PREFIX.match(raw)
        if not prefix:
            continue
        line = raw[prefix.end() :]
        if line and not (prefix[1] and line.startswith(STATUS)):
            yield line


def number(text):
    if not NUMBER.fullmatch(text):
        raise ValueError(text)
    return float(text)


def text(text):
    return text


def table(capture, split, wanted, columns_expected, missing=()):
    """Counts and columns of a delimited capture: a line counts whole or not at all."""
    counts, columns = collections.Counter(frames=0, ignored=0, refused=0), {field: [] for field in wanted}
    for line in lines(capture):
        counts["frames"] += 1
        try:
            cells = split(line)
            if cells is None or len(cells) != columns_expected:
                raise ValueError(line)
            cells = {field: cells[field - 1].strip() for field in wanted}
            row = {field: None if cells[field] in missing else wanted[field](cells[field]) for field in wanted}
        except ValueError:
            counts["refused"] += 1
            continue
        for field, value in row.items():
            columns[field].append(value)
    return rows(capture, counts, columns)


def optode(line):
    _, start, rest = line.rpartition(b"4831\t")
    return (start + rest).decode("ascii").split("\t") if start else None


def co2(line):
    _, start, rest = line.rpartition(b"#")
    return (start + rest).decode("ascii").split(",") if start else None


def spaces(line):
    return [cell.decode("ascii") for cell in line.split()]


def sbe():
    """The driver authors' own values."""
    capture = "ooi/sbe16plus/20131123.ctdbp1_many.log"
    names = {"temp": "temperature", "conductivity": "conductivity", "pressure": "pressure"}
    columns = {field: [] for field in names.values()}
    yml = (CAPTURES / capture.replace(".log", "_telemetered.yml")).read_text()
    for line in yml.splitlines():
        key, _, value = line.strip().partition(":")
        if key in names:
            columns[names[key]].append(float(value))
    frames = len(list(lines(capture)))
    return rows(capture, {"frames": frames, "ignored": frames - len(columns["pressure"]), "refused": 0}, columns)


def authors(capture, places, frames=None):
    """The driver authors' own values; without `frames`, the records are as many as they have."""
    columns = {field: [] for field in places.values()}
    for line in (CAPTURES / capture.replace(".log", ".yml")).read_text().splitlines():
        key, _, value = line.strip().partition(":")
        if key in places:
            columns[places[key]].append(float(value))
    records = len(next(iter(columns.values())))
    frames = frames or records
    return rows(capture, {"frames": frames, "ignored": frames - records, "refused": 0}, columns)


def tabs(line):
    return line.decode("ascii").split("\t")


def tags():
    """Not of OOI, and read the same way: the detections of a fish tag reader."""
    capture = "rfid/orfid_reader_1.txt"
    lines = (CAPTURES / capture).read_text().split("\n")[:-1]  # A line without an end is none.
    detections = [line.split("\t") for line in lines if line.startswith("S\t")]
    columns = {field: [cells[field - 1] for cells in detections] for field in (6, 7)}
    counts = {"frames": len(lines), "ignored": len(lines) - len(detections), "refused": 0}
    return rows(capture, counts, columns)


SAMI = {"thermistor_start": "7:u16", "voltage_battery": "227:u16", "thermistor_end": "229:u16"}
WAVES = "ooi/triaxys_wave/20140825.wavss.log"
TSPWA = {"number_zero_crossings": "TSPWA.7", "average_wave_height": "TSPWA.8", "mean_spectral_period": "TSPWA.9"}
OPTODE = {2: text, 3: number, 4: number, 5: number, 12: number}
MET = dict.fromkeys(range(1, 13), number)
CO2 = {3: number, 4: number, 5: number, 6: number, 9: number, 12: text}
write(
    "expect_ooi.csv",
    [
        *table("ooi/aanderaa_optode/20150330.dosta1.log", optode, OPTODE, 12),
        *table("ooi/asimet_weather/20140805.metbk2.log", spaces, MET, 12),
        *table("ooi/asimet_weather/20140805.metbk2_bad_sensor.log", spaces, MET, 12),
        *table("ooi/asimet_weather/test.metbk2.log", spaces, MET, 12),
        *table("ooi/prooceanus_co2/20140217.pco2a.log", co2, CO2, 12),
        *table("ooi/prooceanus_co2/20140217.pco2a_failure.log", co2, CO2, 12),
        *table("ooi/hydrogen_lel/20140904.hyd1.log", spaces, {2: number}, 3),
        *table("ooi/wetlabs_eco/20140101.flort_real.log", tabs, {4: number, 6: number, 8: number}, 9),
        *sbe(),
        *authors("ooi/sami_ph/20140424.phsen2.log", SAMI),
        *authors(WAVES, TSPWA, len(list(lines(WAVES)))),
        *tags(),
    ],
)

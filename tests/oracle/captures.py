"""What plain Python, pynmea2 and the authors of drivers find in the captures: the golden values of agent/tests/captures.rs.

usage: captures.py > agent/tests/data/captures.txt

Needs pynmea2 1.19.0 and nothing else but Python 3. Written from what the instruments' manuals and the drivers' authors
say of a record, not from our profiles: a record that is not whole gives nothing, and no reason is looked for. What a
second witness says of the same capture (`.yml` of OOI, `.chk` of gpsd) is compared here, before anything is printed.

    capture FILE PROFILE            `-`: no profile is shipped for it, the test configures it
    frames N ignored N refused N    lines that hold something; those that are no record; those that are none any more
    QUANTITY VALUE...               in the order of the capture; `-` is nothing, `?` in front: doubtful, `!`: bad
    QUANTITY # N HASH               more than 200 of them: how many, and FNV-1a 64 of the same line's values
    exchange SENT : CAME : REGISTER/TYPE=VALUE...
"""

import datetime
import decimal
import json
import pathlib
import re
import struct

import pynmea2

DATA = pathlib.Path(__file__).resolve().parents[1] / "data"
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
LISTED_MAX = 200
IGNORED = "ignored"


class Refused(ValueError):
    """Not a whole record."""


def need(is_so):
    if not is_so:
        raise Refused


def number(text):
    need(NUMBER.fullmatch(text.strip()))
    return float(text)


def numbers(texts, **places):
    return {name: number(texts[place - 1]) for name, place in places.items()}


def when(text, form):
    return datetime.datetime.strptime(text, form).isoformat(timespec="milliseconds")


# --- where the lines come from ---


def plain(file):
    """What stands behind the last line feed is no line yet."""
    return [line.removesuffix(b"\r") for line in (DATA / file).read_bytes().split(b"\n")[:-1]]


STAMP = re.compile(rb"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{1,3} ?(\[[^\]]*\]:)?")
LOGGER = (b"Instrument ", b"Idle state", b"Logger started", b"Data logger")


def logged(file):
    """The instrument's part of an OOI file: not the logger's stamp, not what it says itself behind its name."""
    lines = (DATA / file).read_bytes().split(b"\n")
    for line in (line.removesuffix(b"\r") for line in lines):
        stamp = STAMP.match(line)
        if stamp and not (stamp[1] and line[stamp.end() :].startswith(LOGGER)):
            yield line[stamp.end() :]


# --- what a line of each instrument says ---


def optode(line):
    """Power-on garbage may stand before a record, never in it."""
    at = line.rfind("4831\t")
    need(at >= 0)
    cells = line[at:].split("\t")
    need(len(cells) == 12)
    return {
        "serial_number": cells[1],
        **numbers(cells, dissolved_oxygen=3, oxygen_saturation=4, water_temperature=5),
    }


MET = (
    "air_pressure relative_humidity air_temperature longwave_irradiance rain_level "
    "water_temperature conductivity shortwave_irradiance wind_eastward wind_northward"
).split()


def met(line):
    cells = line.split()
    need(len(cells) == 12)
    return {name: None if cell == "Na" else number(cell) for name, cell in zip(MET, cells)}


def co2(line):
    at = line.rfind("#")
    need(at >= 0)
    cells = [cell.strip() for cell in line[at + 1 :].split(",")]
    need(len(cells) == 12 and cells[1] == "M" and cells[11] in ("A", "W"))
    # The instrument prints each of them with so many decimals, and the authors of the damage took some away.
    for cell, decimals in zip(cells[2:11], (0, 0, 2, 1, 3, 3, 0, 1, 1)):
        need(len(cell.partition(".")[2]) == decimals and number(cell) is not None)
    try:
        stamp = when(cells[0], "%Y/%m/%d %H:%M:%S")
    except ValueError:
        raise Refused from None
    return {
        **numbers(
            cells,
            co2_mole_fraction=5,
            cell_temperature=6,
            water_vapour_pressure=7,
            humidity_sensor_temperature=8,
            gas_pressure=9,
        ),
        "gas_source": cells[11],
        "device_time": stamp,
    }


def hydrogen(line):
    at = line.rfind("*")
    need(at >= 0)
    cells = line[at + 1 :].split()
    need(len(cells) == 3 and cells[2] == "%")
    number(cells[0])
    return {"hydrogen_lel": number(cells[1])}


CTD_NOISE = re.compile(r"S>[^,]*$|time out|error -->|.*low battery", re.I)


def ctd(line):
    """Three values; salinity and sound velocity, or an ECO's three counts; a date; three values or none."""
    if CTD_NOISE.match(line):
        return IGNORED
    cells = [cell.strip() for cell in line.removeprefix("S>").lstrip().removeprefix("#").split(",")]
    dated = [place for place, cell in enumerate(cells) if re.fullmatch(r"\d\d [A-Z][a-z]{2} \d{4} [\d:]{8}", cell)]
    need(len(dated) == 1 and dated[0] in (3, 5, 6) and len(cells) - dated[0] in (1, 4))
    others = [number(cell) for place, cell in enumerate(cells) if place != dated[0]]
    said = dict(zip(["water_temperature", "conductivity", "water_pressure"], others))
    if dated[0] == 5:
        said |= {"salinity": others[3], "sound_velocity": others[4]}
    if dated[0] == 6:
        said |= dict(zip(["backscatter_counts", "chlorophyll_counts", "cdom_counts"], others[3:]))
    return said | {"device_time": when(cells[dated[0]], "%d %b %Y %H:%M:%S")}


def eco(line):
    cells = line.split("\t")
    need(len(cells) == 9)
    stamp = when(" ".join(cells[:2]), "%m/%d/%y %H:%M:%S")
    return {**numbers(cells, backscatter_counts=4, chlorophyll_counts=6, cdom_counts=8), "device_time": stamp}


def tag(line):
    """A detection begins with S; the heading of the columns is the one other line that the reader says."""
    if not line.startswith("S\t"):
        return IGNORED
    cells = line.split("\t")
    need(len(cells) == 9)
    return {"tag_id": cells[5], "antenna": cells[6], "device_time": cells[1].replace(" ", "T")}


def old_tag(line):
    """A detection begins with D, a record that the reader itself could not read with B; the rest is its talk."""
    if not line.startswith(("D,", "B,")):
        return IGNORED
    cells = line.split(",")
    need(cells[0] == "D" and len(cells) == 8)
    stamp = when(" ".join(cells[1:3]), "%Y-%m-%d %H:%M:%S.%f")
    return {"tag_id": cells[5], "device_time": stamp}


def kern(line):
    """Grams; pieces and carats are of another quantity."""
    value, unit, status = re.fullmatch(r"([+-][\d.]+) ?(G|PC|CT) ([SUE])", line).groups()
    if unit != "G":
        return IGNORED
    return {"weight": None if status == "E" else ("?" if status == "U" else "") + shown(float(value))}


def rdm630(line):
    """Ten digits and the exclusive OR of the five bytes that they say."""
    digits = line.strip("\x02\x03")
    octets = bytes.fromhex(digits)
    need(len(octets) == 6 and octets[0] ^ octets[1] ^ octets[2] ^ octets[3] ^ octets[4] == octets[5])
    return {"tag_id": digits[:10]}


def gpsd_json(line):
    return IGNORED if line.startswith("#") else {"class": json.loads(line)["class"]}


def cnv(**places):
    def row(line):
        return IGNORED if line.startswith(("*", "#")) else numbers(line.split(), **places)

    return row


def sbe39(line):
    """Twelve bytes: seconds since 2000, counts of temperature (3 bytes) and pressure (3), counts of its temperature."""
    if line.startswith("*"):
        return IGNORED
    octets = bytes.fromhex(line)
    need(len(octets) == 12)
    names = ("seconds", "temperature_high", "temperature_low", "pressure_high", "pressure_low", "compensation")
    return {name: float(value) for name, value in zip(names, struct.unpack(">IBHBHH", octets))}


# --- NMEA 0183, by pynmea2 ---


def nmea(**wanted):
    """`quantity="GGA.9"`; with a status, `("GGA.9", "GGA.6", {"0": "-"})`: what its value does to ours."""

    def row(line):
        if line.startswith("#"):
            return IGNORED
        # `$` and `!` are never data (NMEA 0183, 5.1): the last one in a line begins its sentence.
        at = max(line.rfind("$"), line.rfind("!"))
        need(at >= 0)
        line = line[at:]
        if line.startswith("!"):
            body, _, said = line[1:].partition("*")
            need(said and int(said, 16) == pynmea2.NMEASentence.checksum(body))
            return IGNORED
        try:
            sentence = pynmea2.parse(line, check=True)
            if not isinstance(sentence, pynmea2.TalkerSentence):
                return IGNORED
            addresses, data = (sentence.sentence_type, sentence.talker + sentence.sentence_type), sentence.data
        except pynmea2.SentenceTypeError:
            # Its checksum fits, and pynmea2 has no names for its fields: those of AXYS.
            address, *data = line[1:].partition("*")[0].split(",")
            addresses = (address,)
        except pynmea2.ParseError:
            raise Refused from None
        fields = ["", *data]
        said = {}
        for quantity, place in wanted.items():
            place, status, meaning = place if isinstance(place, tuple) else (place, None, {})
            kind, field = place.split(".")
            if kind not in addresses:
                continue
            text = fields[int(field)]
            mark = meaning.get(fields[int(status.split(".")[1])], "") if status else ""
            said[quantity] = None if not text or mark == "-" else mark + shown(number(text))
        return said or IGNORED

    return row


NO_FIX = {"0": "-"}
GPS = nmea(
    satellites="GGA.7",
    altitude=("GGA.9", "GGA.6", NO_FIX),
    horizontal_dilution=("GGA.8", "GGA.6", NO_FIX),
)
SOUNDER = nmea(water_depth="DBT.3", water_temperature="MTW.1")
INVALID = {"V": "!", "": "!"}
WEATHER = nmea(
    air_pressure="MDA.3",
    air_temperature="MDA.5",
    wind_angle=("MWV.1", "MWV.5", INVALID),
    wind_speed=("MWV.3", "MWV.5", INVALID),
)
WAVES = nmea(
    zero_crossings="TSPWA.7",
    wave_height_mean="TSPWA.8",
    wave_period_spectral="TSPWA.9",
    wave_height_max="TSPWA.10",
    wave_height_significant="TSPWA.11",
    wave_period_significant="TSPWA.12",
    wave_height_tenth="TSPWA.13",
    wave_period_tenth="TSPWA.14",
    wave_period_mean="TSPWA.15",
    wave_period_peak="TSPWA.16",
    wave_height_spectral="TSPWA.18",
    wave_direction="TSPWA.19",
    wave_spread="TSPWA.20",
)

# --- all captures ---

OOI = "ooi/"
LINES = [
    ("nmea/sounder.log", plain, SOUNDER, "nmea-sounder"),
    ("nmea/signalk-gofree-merrimac.log", plain, SOUNDER, "nmea-sounder"),
    ("nmea/signalk-gofree-merrimac.log", plain, WEATHER, "nmea-weather"),
    ("nmea/mtk-3301.log", plain, GPS, "nmea-gps"),
    ("nmea/sigrok_mtk3339_9600.log", plain, GPS, "nmea-gps"),
    ("nmea/passthrough.log", plain, gpsd_json, "-"),
    (OOI + "aanderaa_optode/20150330.dosta1.log", logged, optode, "aanderaa-optode-4831"),
    (OOI + "asimet_weather/20140805.metbk2.log", logged, met, "asimet-met"),
    (OOI + "asimet_weather/20140805.metbk2_bad_sensor.log", logged, met, "asimet-met"),
    (OOI + "asimet_weather/test.metbk2.log", logged, met, "asimet-met"),
    (OOI + "prooceanus_co2/20140217.pco2a.log", logged, co2, "co2-pro"),
    (OOI + "prooceanus_co2/20140217.pco2a_failure.log", logged, co2, "co2-pro"),
    (OOI + "hydrogen_lel/20140904.hyd1.log", logged, hydrogen, "hydrogen-lel"),
    (OOI + "sbe16plus/20131123.ctdbp1.log", logged, ctd, "seabird-16plus"),
    (OOI + "sbe16plus/20131123.ctdbp1_many.log", logged, ctd, "seabird-16plus"),
    (OOI + "sbe16plus/20131123.ctdbp1_many_1inval.log", logged, ctd, "seabird-16plus"),
    (OOI + "sbe16plus/20140918.ctdbp_many.log", logged, ctd, "seabird-16plus"),
    (OOI + "sbe16plus/20140918.ctdbp_many_broken.log", logged, ctd, "seabird-16plus"),
    (OOI + "sbe16plus/20141002.ctdbp3_3Rec_negPressure.log", logged, ctd, "seabird-16plus"),
    (OOI + "sbe16plus/20150103.ctdbp3_1recCtdID_w_LowBattery.log", logged, ctd, "seabird-16plus"),
    (OOI + "wetlabs_eco/20140101.flort_real.log", logged, eco, "wetlabs-eco"),
    (OOI + "triaxys_wave/20140825.wavss.log", logged, WAVES, "triaxys-wave"),
    (OOI + "triaxys_wave/bad_num_samples.wavss.log", logged, WAVES, "triaxys-wave"),
    (OOI + "triaxys_wave/tspna_with_nan.wavss.log", logged, WAVES, "triaxys-wave"),
    ("rfid/orfid_reader_1.txt", plain, tag, "oregon-rfid"),
    ("rfid/orfid_old_data_file.txt", plain, old_tag, "oregon-rfid-csv"),
    ("seabird/Hotin.cnv", plain, cnv(water_pressure=3, water_temperature=4, conductivity=5, salinity=7), "-"),
    ("seabird/PIRA001.cnv", plain, cnv(water_pressure=4, water_temperature=5, conductivity=7, descent=3), "-"),
    ("seabird/TSG_PIR_010.cnv", plain, cnv(latitude=2, longitude=3, water_temperature=4, conductivity=5), "-"),
    ("seabird/SBE39plus.hex", plain, sbe39, "-"),
    *((f"scale/{path.name}", plain, kern, "kern-ew") for path in sorted((DATA / "scale").glob("*.bin"))),
    *(
        (f"rfid/{path.name}", lambda file: [(DATA / file).read_bytes()], rdm630, "rdm630")
        for path in sorted((DATA / "rfid").glob("*.bin"))
    ),
]


def read(lines, row):
    counts, columns = {"frames": 0, "ignored": 0, "refused": 0}, {}
    for line in lines:
        if not line:
            continue
        counts["frames"] += 1
        try:
            said = row(line.decode("latin-1"))
        except Refused:
            counts["refused"] += 1
            continue
        if said == IGNORED:
            counts["ignored"] += 1
            continue
        for quantity, value in said.items():
            columns.setdefault(quantity, []).append(value)
    return counts, columns


def shown(value):
    """A float as short as its bits allow, without an exponent."""
    if isinstance(value, float):
        return format(decimal.Decimal(repr(value)), "f").removesuffix(".0")
    return "-" if value is None else value


def fnv1a(text):
    digest = 0xCBF29CE484222325
    for octet in text.encode():
        digest = ((digest ^ octet) * 0x100000001B3) % 2**64
    return f"{digest:016x}"


def tell(file, profile, counts, columns):
    print(f"\ncapture {file} {profile}")
    print(" ".join(f"{name} {count}" for name, count in counts.items()))
    for quantity, values in columns.items():
        line = " ".join(shown(value) for value in values)
        print(quantity, line if len(values) <= LISTED_MAX else f"# {len(values)} {fnv1a(line)}")


# --- second witnesses ---


def authors(file, **names):
    """The records in an OOI result file that have all of these keys."""
    records = (DATA / file).read_text().split("- _index:")[1:]
    found = [{key: re.search(rf"^\s+{key}:\s+(\S+)$", record, re.M) for key in names.values()} for record in records]
    found = [record for record in found if all(record.values())]
    return {name: [float(record[key][1]) for record in found] for name, key in names.items()}


def agree(capture, columns, witness):
    for name, values in witness.items():
        assert columns.get(name, []) == values, (capture, name)


CTD = dict(
    water_temperature="temp",
    conductivity="conductivity",
    water_pressure="pressure",
    clock="internal_timestamp",
)
WAVE = dict(
    zero_crossings="number_zero_crossings",
    wave_height_mean="average_wave_height",
    wave_period_spectral="mean_spectral_period",
    wave_height_max="max_wave_height",
    wave_height_significant="significant_wave_height",
    wave_period_significant="significant_period",
    wave_height_tenth="wave_height_10",
    wave_period_tenth="wave_period_10",
    wave_period_mean="mean_wave_period",
    wave_period_peak="peak_wave_period",
    wave_height_spectral="wave_height_hmo",
    wave_direction="mean_direction",
    wave_spread="mean_spread",
)
NTP_TO_UNIX = 2_208_988_800


def ask_ooi(file, columns):
    name = file.removesuffix(".log")
    if name.endswith("_many"):
        witness = authors(name + ("_telemetered.yml" if "ctdbp1" in name else "_uncorr_t.yml"), **CTD)
        clocks = [datetime.datetime.fromtimestamp(clock - NTP_TO_UNIX, datetime.UTC) for clock in witness.pop("clock")]
        assert columns["device_time"] == [f"{clock:%FT%T}.000" for clock in clocks], file
        agree(file, columns, witness)
    if file == OOI + "triaxys_wave/20140825.wavss.log":
        numbers_only = {name: [float(value) for value in values] for name, values in columns.items()}
        agree(file, numbers_only, authors(name + ".yml", **WAVE))


def ask_gpsd(file, columns):
    """gpsd says what a sentence told it in the JSON line behind it, of a fix only."""
    answers = DATA / (file + ".chk")
    if not answers.exists():
        return
    heard, found = None, {"DBT": [], "GGA": []}
    for line in answers.read_text("latin-1").splitlines():
        if line.startswith("$"):
            heard = line[3:6]
        elif line.startswith("{") and heard in found:
            found[heard].append(json.loads(line))
            heard = None
    altitudes = [report["altMSL"] for report in found["GGA"] if "altMSL" in report]
    depths = [report.get("depth") for report in found["DBT"]]
    if altitudes:
        # It says a fix that did not change more than once.
        ours = [float(value) for value in columns["altitude"] if value is not None]
        assert list(dict.fromkeys(ours)) == list(dict.fromkeys(altitudes)), (ours, altitudes)
    if depths:
        pairs = [(float(ours), theirs) for ours, theirs in zip(columns["water_depth"], depths) if theirs is not None]
        assert len(pairs) >= len(depths) - 1 and all(ours == theirs for ours, theirs in pairs), pairs


# --- registers ---

FORMS = {"f32": (">f", 4), "u32": (">I", 4), "u16": (">H", 2)}
FLOWMETER = [(0, "f32"), (2, "f32"), (4, "f32"), (6, "f32"), (8, "f32"), (10, "u32"), (12, "u16"), (13, "u16"), (14, "u16")]


def frames(file):
    """Of a listing by sigrok: what has a checksum that fits, computed here once more."""
    for line in (DATA / file).read_text().splitlines():
        octets = bytes.fromhex("".join(line.split()[2:-1]))
        assert crc16(octets[:-2]) == octets[-2:] and line.endswith("CRC_OK"), line
        yield octets


def crc16(octets):
    crc = 0xFFFF
    for octet in octets:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return struct.pack("<H", crc)


def exchange(sent, came, swapped):
    first, count = struct.unpack(">HH", sent[2:6])
    data = came[3:-2]
    assert came[:3] == bytes([sent[0], 3, 2 * count]) and len(data) == 2 * count, came
    forms = {1: [(0, "u16")], 2: [(0, "f32" if swapped else "u32")], 15: FLOWMETER}[count]
    said = []
    for offset, form in forms:
        pattern, width = FORMS[form]
        octets = data[2 * offset : 2 * offset + width]
        if swapped and width == 4:
            octets = octets[2:] + octets[:2]
        value, order = float(struct.unpack(pattern, octets)[0]), "/CDAB" if swapped and width == 4 else ""
        said.append(f"{first + offset}/{form}{order}={shown(value)}")
    print("exchange", sent.hex(), ":", came.hex(), ":", *said)


def registers():
    for target in ("target0_val0", "target_15liter_per_min"):
        file = f"modbus/sigrok_flowmeter_modbus_{target}"
        told = list(frames(file + ".frames.txt"))
        print(f"\ncapture {file}.bin -")
        at = 0
        while at + 1 < len(told):
            sent, came = told[at], told[at + 1]
            if sent[1] == 3 and len(sent) == 8 and len(came) == 5 + 2 * sent[5]:
                exchange(sent, came, swapped=False)
                at += 2
            else:  # A write, its echo, or a question whose answer the capture lost.
                at += 1
    file = "modbus/sigrok_wizmodbus"
    print(f"\ncapture {file}_slave.bin -")
    for sent, came in zip(frames(file + "_master.frames.txt"), frames(file + "_slave.frames.txt"), strict=True):
        if sent[1] == 3:
            exchange(sent, came, swapped=True)


def sami():
    """Records of 465 characters over many lines: what the authors say, and the bytes once more by hand."""
    file = "ooi/sami_ph/20140424.phsen2.log"
    said = authors(
        "ooi/sami_ph/20140424.phsen2.yml",
        thermistor_start="thermistor_start",
        battery_counts="voltage_battery",
        thermistor_end="thermistor_end",
    )
    text = b"".join(logged(file)).decode("ascii")
    records = [bytes.fromhex(record[:464]) for record in text.split("*")[1:]]
    assert all(sum(record[1:-1]) % 256 == record[-1] for record in records), file
    by_hand = [struct.unpack(">H", record[7:9])[0] for record in records]
    assert by_hand == said["thermistor_start"], file
    tell(file, "sami-ph", {"frames": len(records), "ignored": 0, "refused": 0}, said)


def binary():
    """Receivers that say not one sentence: nothing may come of them, however much `$` and line feed is in the bytes."""
    for file in ("nmea/bu303-nofix.log", "nmea/ublox-neo-m8n.log"):
        octets = (DATA / file).read_bytes()
        sentences = re.findall(rb"[$!]([^$!\r\n*]*)\*([0-9A-Fa-f]{2})", octets)
        for body, said in sentences:
            assert pynmea2.NMEASentence.checksum(body.decode("latin-1")) != int(said, 16), body
        print(f"\ncapture {file} nmea-gps")


print(f"# Made by tests/oracle/captures.py with pynmea2 {pynmea2.version}; what the lines say stands there.")
for file, lines, row, profile in LINES:
    counts, columns = read(lines(file), row)
    ask_ooi(file, columns)
    ask_gpsd(file, columns)
    tell(file, profile, counts, columns)
sami()
registers()
binary()

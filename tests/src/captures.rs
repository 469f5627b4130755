//! The captures of `tests/data`: what each instrument is, how it is configured, and who says what must come of it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::oracle::{self, Expected};
use crate::places;

/// A real instrument's bytes, and what is known about them.
#[derive(Debug, Clone, Copy)]
pub struct Capture {
    /// The instrument's name, and its bus's.
    pub name: &'static str,
    file: &'static str,
    source: Source,
    /// The body of `[instrument.<name>.protocol]`.
    protocol: &'static str,
    /// Quantity, `field` as TOML, unit.
    quantities: &'static [(&'static str, &'static str, &'static str)],
    /// Script and arguments; or what the driver's authors wrote down.
    oracle: (&'static str, &'static [&'static str]),
    /// The oracle's file, where it is not the capture.
    answers: Option<&'static str>,
}

#[derive(Debug, Clone, Copy)]
enum Source {
    /// Lines as they were; the receivers' logs lost their CRs on the way, which are put back.
    Plain,
    /// A logger stamped every line.
    Logger,
}

/// All captures that the stories feed.
pub const ALL: &[Capture] = &[
    Capture {
        name: "sounder",
        file: "nmea/sounder.log",
        source: Source::Plain,
        protocol: NMEA_SOUNDER,
        quantities: &[("water_depth", "\"DBT.3\"", "m")],
        oracle: ("nmea.py", &["water_depth=DBT.3"]),
        answers: None,
    },
    Capture {
        name: "boat",
        file: "nmea/signalk-gofree-merrimac.log",
        source: Source::Plain,
        protocol: NMEA_BOAT,
        quantities: &[
            ("water_depth", "\"DBT.3\"", "m"),
            ("water_depth_transducer", "\"DPT.1\"", "m"),
            ("water_temperature", "\"MTW.1\"", "Cel"),
            ("heading", "\"VHW.1\"", "deg"),
            ("water_speed", "\"VHW.5\"", "[kn_i]"),
        ],
        oracle: (
            "nmea.py",
            &[
                "water_depth=DBT.3",
                "water_depth_transducer=DPT.1",
                "water_temperature=MTW.1",
                "heading=VHW.1",
                "water_speed=VHW.5",
            ],
        ),
        answers: None,
    },
    Capture {
        name: "receiver",
        file: "nmea/mtk-3301.log",
        source: Source::Plain,
        protocol: NMEA_RECEIVER,
        quantities: &[("ground_speed", "\"RMC.7\"", "[kn_i]"), ("ground_speed_metric", "\"VTG.7\"", "km/h")],
        oracle: ("nmea.py", &["ground_speed=RMC.7", "ground_speed_metric=VTG.7"]),
        answers: None,
    },
    weather("weather", "ooi/asimet_weather/20140805.metbk2.log"),
    weather("weather-torn", "ooi/asimet_weather/test.metbk2.log"),
    weather("weather-short", "ooi/asimet_weather/20140805.metbk2_bad_sensor.log"),
    Capture {
        name: "optode",
        file: "ooi/aanderaa_optode/20150330.dosta1.log",
        source: Source::Logger,
        protocol: OPTODE,
        quantities: &[
            ("dissolved_oxygen", "3", "umol/L"),
            ("oxygen_saturation", "4", "%"),
            ("water_temperature", "5", "Cel"),
        ],
        oracle: (
            "delimited.py",
            &[
                "--sep=\t",
                "--columns=12",
                "--max=4096",
                "--start=4831\t",
                "dissolved_oxygen=3",
                "oxygen_saturation=4",
                "water_temperature=5",
            ],
        ),
        answers: None,
    },
    carbon_dioxide("co2", "ooi/prooceanus_co2/20140217.pco2a.log"),
    carbon_dioxide("co2-garbled", "ooi/prooceanus_co2/20140217.pco2a_failure.log"),
    Capture {
        name: "ctd",
        file: "ooi/sbe16plus/20131123.ctdbp1_many.log",
        source: Source::Logger,
        protocol: CTD,
        quantities: &[
            ("water_temperature", "\"t\"", "Cel"),
            ("conductivity", "\"c\"", "S/m"),
            ("pressure", "\"p\"", "dbar"),
        ],
        oracle: ("yml.py", &["water_temperature=temp", "conductivity=conductivity", "pressure=pressure"]),
        answers: Some("ooi/sbe16plus/20131123.ctdbp1_many_telemetered.yml"),
    },
    Capture {
        name: "hydrogen",
        file: "ooi/hydrogen_lel/20140904.hyd1.log",
        source: Source::Logger,
        protocol: HYDROGEN,
        quantities: &[("hydrogen_lel", "2", "%")],
        oracle: ("delimited.py", &["--sep=whitespace", "--columns=3", "--max=256", "hydrogen_lel=2"]),
        answers: None,
    },
];

const NMEA_SOUNDER: &str = r#"type = "stream"
frame = { type = "line", end = "\r\n", max = 256 }
check = "nmea-xor"
decode = { type = "nmea", sentences = ["DBT"] }
ignore = ['^#']
"#;
const NMEA_BOAT: &str = r#"type = "stream"
frame = { type = "line", end = "\r\n", max = 256 }
check = "nmea-xor"
decode = { type = "nmea", sentences = ["DBT", "DPT", "MTW", "VHW"] }
ignore = ['^#', '^!']
"#;
const NMEA_RECEIVER: &str = r#"type = "stream"
frame = { type = "line", end = "\r\n", max = 256 }
check = "nmea-xor"
decode = { type = "nmea", sentences = ["RMC", "VTG"] }
ignore = ['^#']
"#;
const WEATHER: &str = r#"type = "stream"
frame = { type = "line", end = "\r\n", max = 256 }
decode = { type = "delimited", sep = "whitespace", columns = 12 }
"#;
const OPTODE: &str = r#"type = "stream"
frame = { type = "line", end = "\r\n", start = "4831\t", max = 4096 }
decode = { type = "delimited", sep = "\t", columns = 12 }
"#;
const CARBON_DIOXIDE: &str = r##"type = "stream"
frame = { type = "line", end = "\r\n", start = "#", max = 256 }
decode = { type = "delimited", sep = ",", columns = 12 }
"##;
const CTD: &str = r#"type = "stream"
frame = { type = "line", end = "\r\n", max = 256 }
decode = { type = "regex", pattern = '^#?\s*(?P<t>-?[\d.]+),\s*(?P<c>-?[\d.]+),\s*(?P<p>-?[\d.]+),' }
ignore = ['^S>', '^\*']
"#;
const HYDROGEN: &str = r#"type = "stream"
frame = { type = "line", end = "\r\n", max = 256 }
decode = { type = "delimited", sep = "whitespace", columns = 3 }
"#;

const fn weather(name: &'static str, file: &'static str) -> Capture {
    Capture {
        name,
        file,
        source: Source::Logger,
        protocol: WEATHER,
        quantities: &[
            ("air_pressure", "1", "hPa"),
            ("relative_humidity", "2", "%"),
            ("air_temperature", "3", "Cel"),
            ("longwave", "4", "W/m2"),
            ("precipitation", "5", "mm"),
            ("water_temperature", "6", "Cel"),
            ("conductivity", "7", "S/m"),
            ("shortwave", "8", "W/m2"),
            ("wind_east", "9", "m/s"),
            ("wind_north", "10", "m/s"),
        ],
        oracle: (
            "delimited.py",
            &[
                "--sep=whitespace",
                "--columns=12",
                "--max=256",
                "air_pressure=1",
                "relative_humidity=2",
                "air_temperature=3",
                "longwave=4",
                "precipitation=5",
                "water_temperature=6",
                "conductivity=7",
                "shortwave=8",
                "wind_east=9",
                "wind_north=10",
            ],
        ),
        answers: None,
    }
}

const fn carbon_dioxide(name: &'static str, file: &'static str) -> Capture {
    Capture {
        name,
        file,
        source: Source::Logger,
        protocol: CARBON_DIOXIDE,
        quantities: &[
            ("co2_ratio", "5", "[ppm]"),
            ("cell_temperature", "6", "Cel"),
            ("humidity", "7", "mbar"),
            ("humidity_temperature", "8", "Cel"),
            ("cell_pressure", "9", "mbar"),
            ("detector_temperature", "10", "Cel"),
            ("source_temperature", "11", "Cel"),
        ],
        oracle: (
            "delimited.py",
            &[
                "--sep=,",
                "--columns=12",
                "--max=256",
                "--start=#",
                "co2_ratio=5",
                "cell_temperature=6",
                "humidity=7",
                "humidity_temperature=8",
                "cell_pressure=9",
                "detector_temperature=10",
                "source_temperature=11",
            ],
        ),
        answers: None,
    }
}

/// The bytes that an instrument sent, of any file below `tests/data`: a logger's stamps are taken off, and lost CRs put
/// back.
pub fn wire_of(file: &str, dir: &Path) -> Vec<u8> {
    if file.starts_with("ooi/") {
        let out = dir.join(file.replace('/', "-"));
        oracle::strip_logger(&places::data(file), &out);
        return fs::read(out).expect("just written");
    }
    let bytes = fs::read(places::data(file)).expect("a capture can be read");
    let is_text = file.starts_with("nmea/") && std::str::from_utf8(&bytes).is_ok();
    if is_text { with_returns(&bytes) } else { bytes }
}

/// Every line with CR and LF.
fn with_returns(text: &[u8]) -> Vec<u8> {
    let lines = text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.filter(|line| !line.is_empty()).flat_map(|line| [line, b"\r\n"].concat()).collect()
}

impl Capture {
    /// The bytes that the instrument sends, as a new file below `dir`.
    pub fn wire(&self, dir: &Path) -> PathBuf {
        let (log, out) = (places::data(self.file), dir.join(format!("{}.wire", self.name)));
        match self.source {
            Source::Logger => oracle::strip_logger(&log, &out),
            Source::Plain => {
                let text = fs::read(&log).expect("a capture can be read");
                let whole = with_returns(&text);
                fs::write(&out, whole).expect("write into the story's folder");
            }
        }
        out
    }

    /// What must come of what [`Capture::wire`] wrote.
    #[track_caller]
    pub fn expected(&self, wire: &Path) -> Expected {
        let (script, args) = self.oracle;
        let answers = self.answers.map_or_else(|| wire.to_owned(), places::data);
        oracle::ask(script, &answers, args, self.name)
    }

    /// The bus and the instrument as configuration.
    pub fn stanza(&self, port: &Path) -> String {
        let (name, protocol) = (self.name, self.protocol);
        let mut text = format!(
            "[bus.{name}]\nport = \"{}\"\nbaud = 9600\n\n[instrument.{name}]\nbus = \"{name}\"\n\n\
             [instrument.{name}.protocol]\n{protocol}\n",
            port.display()
        );
        for (quantity, field, unit) in self.quantities {
            writeln!(text, "[instrument.{name}.quantity.{quantity}]\nfield = {field}\nunit = \"{unit}\"\n")
                .expect("a string takes it");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(name: &str) -> Expected {
        let dir = tempfile::tempdir().unwrap();
        let capture = ALL.iter().find(|capture| capture.name == name).unwrap();
        capture.expected(&capture.wire(dir.path()))
    }

    #[test]
    fn the_oracles_find_what_is_known_about_the_captures() {
        // 122 SDDBT sentences, every checksum right.
        let sounder = expected("sounder");
        assert_eq!((sounder.readings, sounder.refused), (122, 0));
        // 7,728 clean records and 89 behind garbage, of three quantities; 45 lines of nothing but garbage.
        let optode = expected("optode");
        assert_eq!((optode.readings, optode.refused), (3 * (7_728 + 89), 45));
        // 37 lines with eleven columns, eleven otherwise damaged; nine after the sensor came back.
        let short = expected("weather-short");
        assert_eq!((short.readings, short.refused), (90, 48));
        // One line of eight is what it should be.
        let torn = expected("weather-torn");
        assert_eq!((torn.readings, torn.refused), (10, 7));
        // 24 records of three quantities, from the driver's authors.
        let ctd = expected("ctd");
        assert_eq!((ctd.readings, ctd.refused), (72, 0));
        assert_eq!(ctd.series[&("ctd".to_owned(), "conductivity".to_owned())][0], Some(4.01241));
    }
}

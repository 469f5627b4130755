//! Every capture, read by the shipped profile of its instrument, says what others find in it.
//!
//! Goal: each value to the last bit, each refused record refused, however the line cuts the bytes; and nothing but whole
//! values from records that broke on the way. Method: `data/captures.txt`, which `tests/oracle/captures.py` makes with
//! plain Python and pynmea2, checked there against what the authors of drivers and gpsd say. Where no profile is
//! shipped the configuration stands below, under [`OWN`].

#[path = "../crates/instruments/tests/common/logger.rs"]
mod logger;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use instruments::{Output, Protocol, Sample, SampleValue, Standing, Step};
use model::{Clock, Stamp, Timestamp};
use tidegate::config::{InstrumentConfig, Layers, load};

use logger::instrument_bytes;

/// Longer columns stand in the golden file as a hash.
const LISTED_MAX: usize = 200;

/// How often each capture is cut up, torn and glued at other places.
const ROUNDS: u64 = 20;

/// What is configured where there is no profile, by the begin of the capture's name.
const OWN: [(&str, &str); 5] = [
    ("nmea/passthrough", PASSTHROUGH),
    ("seabird/Hotin", HOTIN),
    ("seabird/PIRA001", PIRA),
    ("seabird/TSG", THERMOSALINOGRAPH),
    ("seabird/SBE39plus", SBE39),
];
const PASSTHROUGH: &str = r#"type = "stream"
decode = { type = "json" }
ignore = ['^#']
[instrument.i.quantity.class]
field = "/class"
kind  = "text"
"#;
const HOTIN: &str = r#"type = "stream"
decode = { type = "delimited", sep = "whitespace", columns = 11 }
ignore = ['^[*#]']
[instrument.i.quantity]
water_pressure    = { field = 3, unit = "dbar" }
water_temperature = { field = 4, unit = "Cel" }
conductivity      = { field = 5, unit = "S/m" }
salinity          = { field = 7, unit = "1" }
"#;
const PIRA: &str = r#"type = "stream"
decode = { type = "delimited", sep = "whitespace", columns = 11 }
ignore = ['^[*#]']
[instrument.i.quantity]
descent           = { field = 3, unit = "m/s" }
water_pressure    = { field = 4, unit = "dbar" }
water_temperature = { field = 5, unit = "Cel" }
conductivity      = { field = 7, unit = "S/m" }
"#;
const THERMOSALINOGRAPH: &str = r#"type = "stream"
decode = { type = "delimited", sep = "whitespace", columns = 7 }
ignore = ['^[*#]']
[instrument.i.quantity]
latitude          = { field = 2, unit = "deg" }
longitude         = { field = 3, unit = "deg" }
water_temperature = { field = 4, unit = "Cel" }
conductivity      = { field = 5, unit = "S/m" }
"#;
const SBE39: &str = r#"type = "stream"
decode = { type = "struct", byte_order = "big", hex_from = 0, length = 12 }
ignore = ['^\*']
[instrument.i.quantity]
seconds          = { field = 0, type = "u32", unit = "s" }
temperature_high = { field = 4, type = "u8", unit = "{count}" }
temperature_low  = { field = 5, type = "u16", unit = "{count}" }
pressure_high    = { field = 7, type = "u8", unit = "{count}" }
pressure_low     = { field = 8, type = "u16", unit = "{count}" }
compensation     = { field = 10, type = "u16", unit = "{count}" }
"#;

/// What the profile leaves to those who have an ECO on the cable of their CTD.
const ECO_ON_A_CTD: &str = r#"[instrument.i.quantity]
backscatter_counts = { field = "backscatter", unit = "{count}" }
chlorophyll_counts = { field = "chlorophyll", unit = "{count}" }
cdom_counts        = { field = "cdom", unit = "{count}" }
"#;

/// What is known of a capture.
#[derive(Debug, Default)]
struct Golden {
    file: String,
    profile: String,
    /// Frames, ignored, refused; nothing of a capture that is no lines.
    counts: Option<[u64; 3]>,
    /// The values of each quantity, or their hash.
    columns: BTreeMap<String, String>,
    exchanges: Vec<Exchange>,
}

/// What a master asked on the wire, what a unit said, and what that means.
#[derive(Debug)]
struct Exchange {
    sent: Vec<u8>,
    came: Vec<u8>,
    /// `16514/u32=3`, `1000/f32/CDAB=55166.4`.
    said: Vec<String>,
}

/// What was taken of one frame, as quantity and value.
type Row = Vec<(String, String)>;

fn goldens() -> Vec<Golden> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/captures.txt"));
    let mut goldens: Vec<Golden> = Vec::new();
    for line in text.expect("it stands beside this test").lines().filter(|line| !line.starts_with('#')) {
        let (word, rest) = line.split_once(' ').unwrap_or_default();
        if word == "capture" {
            let (file, profile) = rest.split_once(' ').expect("a capture has a profile");
            goldens.push(Golden { file: file.to_owned(), profile: profile.to_owned(), ..Golden::default() });
        }
        let Some(golden) = goldens.last_mut() else { continue };
        match word {
            "" | "capture" => {}
            "frames" => {
                let mut counts = rest.split(' ').filter_map(|word| word.parse().ok());
                golden.counts = Some([(); 3].map(|()| counts.next().expect("three counts")));
            }
            "exchange" => {
                let mut parts = rest.split(" : ");
                let mut bytes = || hex::decode(parts.next().expect("a frame")).expect("hex");
                let (sent, came) = (bytes(), bytes());
                let said = parts.next().expect("values").split(' ').map(str::to_owned).collect();
                golden.exchanges.push(Exchange { sent, came, said });
            }
            quantity => {
                golden.columns.insert(quantity.to_owned(), rest.to_owned());
            }
        }
    }
    goldens
}

/// The captures of instruments that talk.
fn spoken() -> impl Iterator<Item = Golden> {
    goldens().into_iter().filter(|golden| golden.exchanges.is_empty())
}

fn configured(instrument: &str) -> InstrumentConfig {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("tidegate.toml");
    let text =
        format!("[device]\nid = \"d\"\n[bus.b]\nport = \"/dev/ttyS9\"\n[instrument.i]\nbus = \"b\"\n{instrument}");
    fs::write(&file, text).expect("a file");
    let config = load(&Layers { file, env: BTreeMap::new() }).unwrap_or_else(|error| panic!("{}", error.render(false)));
    config.buses[0].instruments[0].clone()
}

fn configured_for(golden: &Golden) -> InstrumentConfig {
    let own = || OWN.iter().find(|(file, _)| golden.file.starts_with(file)).expect("configured above").1;
    configured(&match &golden.profile[..] {
        "-" => format!("[instrument.i.protocol]\n{}", own()),
        "seabird-16plus" => format!("profile = \"seabird-16plus\"\n{ECO_ON_A_CTD}"),
        profile => format!("profile = \"{profile}\"\n"),
    })
}

fn bound(config: &InstrumentConfig) -> Box<dyn Protocol> {
    instruments::bind(&config.protocol, &config.fields()).expect("checked just now")
}

fn at(mono_ms: u64) -> Stamp {
    Stamp { time: Timestamp::from_millis(0), mono_ms, clock: Clock::Untrusted }
}

fn read<'a>(config: &InstrumentConfig, chunks: impl IntoIterator<Item = &'a [u8]>) -> Output {
    let (mut protocol, mut out) = (bound(config), Output::default());
    for chunk in chunks {
        protocol.receive(chunk, at(0), &mut out);
    }
    out
}

/// What the instrument said, before any scale: `-` is nothing, `?` doubtful, `!` bad.
fn shown(sample: &Sample) -> String {
    let mark = match sample.standing {
        Standing::Good => "",
        Standing::Suspect => "?",
        Standing::Bad => "!",
    };
    match &sample.value {
        SampleValue::Number(number) => format!("{mark}{number}"),
        SampleValue::Text(text) => format!("{mark}{text}"),
        SampleValue::Missing => "-".to_owned(),
    }
}

fn rows(config: &InstrumentConfig, out: &Output) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut frame = None;
    for sample in &out.samples {
        if frame.replace(sample.frame) != Some(sample.frame) {
            let time = sample.device_time.map(|time| time.to_string().trim_end_matches('Z').to_owned());
            rows.push(time.into_iter().map(|time| ("device_time".to_owned(), time)).collect());
        }
        let row = rows.last_mut().expect("begun just now");
        row.push((config.quantities[sample.field].series.quantity.to_string(), shown(sample)));
    }
    rows
}

fn columns(rows: Vec<Row>) -> BTreeMap<String, String> {
    let mut columns: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (quantity, value) in rows.into_iter().flatten() {
        columns.entry(quantity).or_default().push(value);
    }
    let line = |values: Vec<String>| {
        let line = values.join(" ");
        if values.len() <= LISTED_MAX { line } else { format!("# {} {:016x}", values.len(), fnv1a(&line)) }
    };
    columns.into_iter().map(|(quantity, values)| (quantity, line(values))).collect()
}

fn fnv1a(text: &str) -> u64 {
    let step = |digest: u64, octet: u8| (digest ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

#[test]
fn every_value_of_every_capture_is_what_others_read_in_it() {
    for golden in spoken() {
        let config = configured_for(&golden);
        let out = read(&config, [&instrument_bytes(&golden.file)[..]]);
        let columns = columns(rows(&config, &out));
        for (quantity, line) in &columns {
            assert_eq!(Some(line), golden.columns.get(quantity), "{quantity} of {} by {}", golden.file, golden.profile);
        }
        let quantities = |columns: &BTreeMap<String, String>| columns.keys().cloned().collect::<Vec<_>>();
        assert_eq!(quantities(&columns), quantities(&golden.columns), "{} by {}", golden.file, golden.profile);
        let found = [out.counts.frames, out.counts.ignored, out.counts.refused];
        let Some(expected) = golden.counts else {
            assert!(out.counts.refused > 0, "{}: no line of it is a record", golden.file);
            continue;
        };
        assert_eq!(found, expected, "{}: frames, ignored, refused: {:?}", golden.file, out.refused);
    }
}

#[test]
fn where_the_line_cuts_the_bytes_changes_nothing() {
    for golden in spoken() {
        let (config, bytes) = (configured_for(&golden), instrument_bytes(&golden.file));
        let whole = read(&config, [&bytes[..]]);
        let same = |out: &Output, how: &str| {
            assert!(out.samples == whole.samples && out.counts == whole.counts, "{}, {how}", golden.file);
        };
        same(&read(&config, bytes.chunks(1)), "byte by byte");
        let seed = fastrand::u64(..);
        let mut dice = fastrand::Rng::with_seed(seed);
        let mut rest = &bytes[..];
        let chunks = std::iter::from_fn(|| {
            let (chunk, after) = rest.split_at(dice.usize(1..400).min(rest.len()));
            rest = after;
            (!chunk.is_empty()).then_some(chunk)
        });
        same(&read(&config, chunks), &format!("cut by seed {seed}"));
    }
}

/// A record that lost its clock's reading keeps its values; one that lost its status has a bad one.
fn is_same(row: &Row, other: &Row) -> bool {
    let values = |row: &Row| -> Vec<(String, String)> {
        let value =
            |(quantity, value): &(String, String)| (quantity.clone(), value.trim_start_matches(['!', '?']).to_owned());
        row.iter().filter(|(quantity, _)| quantity != "device_time").map(value).collect()
    };
    let is_time_its_own = row.iter().all(|value| value.0 != "device_time" || other.contains(value));
    is_time_its_own && values(row) == values(other)
}

/// A line that breaks off, or that lost its end and runs into the next one, gives the values of its record or none:
/// never others.
#[test]
fn a_torn_record_gives_its_own_values_or_none() {
    for golden in spoken().filter(|golden| golden.counts.is_some()) {
        let (config, bytes) = (configured_for(&golden), instrument_bytes(&golden.file));
        let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        // A day takes its time, and one hour of it is like another.
        let lines = &lines[..lines.len().min(500)];
        let whole = rows(&config, &read(&config, lines.iter().copied()));
        for _ in 0..ROUNDS {
            let seed = fastrand::u64(..);
            let mut dice = fastrand::Rng::with_seed(seed);
            let torn = dice.usize(..lines.len());
            let text = lines[torn].trim_ascii_end();
            let cut = dice.usize(..=text.len());
            let end: &[u8] = if dice.bool() { b"\r\n" } else { b"" };
            let pieces =
                lines[..torn].iter().copied().chain([&text[..cut], end]).chain(lines[torn + 1..].iter().copied());
            let left = rows(&config, &read(&config, pieces));
            let mut others = whole.iter();
            let strange = left.iter().find(|row| !others.any(|other| is_same(row, other)));
            assert_eq!(strange, None, "{}: line {torn} cut at {cut}, seed {seed}", golden.file);
            assert!(left.len() + 2 >= whole.len(), "{}: line {torn} cut at {cut} takes others along", golden.file);
        }
    }
}

/// Register, type and order as one quantity each; named by their place so that they keep their order.
fn register_config(exchange: &Exchange) -> InstrumentConfig {
    let mut text = format!("every = \"1s\"\nprotocol = {{ type = \"modbus-rtu\", unit = {} }}\n", exchange.sent[0]);
    for (index, said) in exchange.said.iter().enumerate() {
        let mut parts = said.split(['/', '=']);
        let mut part = || parts.next().expect("register/type=value");
        let (register, kind) = (part(), part());
        let order = if said.contains("/CDAB") { "CDAB" } else { "ABCD" };
        let place = format!("register = {register}, type = \"{kind}\", order = \"{order}\"");
        writeln!(text, "quantity.r{index:02} = {{ {place}, unit = \"1\" }}").expect("a string takes it");
    }
    configured(&text)
}

/// Asks once, as the daemon does; the unit answers the first question with `came`, and then says no more.
fn ask(config: &InstrumentConfig, came: &[u8], chunk_bytes: usize) -> (Vec<u8>, Output) {
    let (mut protocol, mut out, mut now) = (bound(config), Output::default(), 1_000);
    let (mut sent, mut chunks) = (Vec::new(), came.chunks(chunk_bytes));
    protocol.begin(now);
    loop {
        match protocol.next(now) {
            Step::Send(bytes) if sent.is_empty() => sent = bytes,
            Step::Send(_) | Step::Break | Step::Idle { .. } => {}
            Step::Wait { until_mono_ms } => match chunks.next() {
                Some(chunk) if !sent.is_empty() => protocol.receive(chunk, at(now), &mut out),
                _ => now = until_mono_ms,
            },
            Step::Pause { until_mono_ms } => now = until_mono_ms,
            Step::Done(_) => return (sent, out),
        }
    }
}

/// Two masters of other people asked, and two units of other people answered, on a real wire.
#[test]
fn we_ask_what_other_masters_asked_and_read_what_the_bytes_say() {
    let mut count = 0;
    for golden in goldens() {
        for exchange in &golden.exchanges {
            let config = register_config(exchange);
            for chunk_bytes in [1, 3, exchange.came.len()] {
                let (sent, out) = ask(&config, &exchange.came, chunk_bytes);
                assert_eq!(sent, exchange.sent, "{}", golden.file);
                let said: Vec<String> = out.samples.iter().map(shown).collect();
                let expected = exchange.said.iter().map(|said| said.split_once('=').expect("a value").1);
                assert_eq!(said, expected.collect::<Vec<_>>(), "{}: {}", golden.file, hex::encode(&exchange.came));
            }
            count += 1;
        }
    }
    assert!(count > 100, "{count} exchanges");
}

#[test]
fn an_answer_with_one_bit_wrong_says_nothing() {
    for golden in goldens().iter().filter(|golden| !golden.exchanges.is_empty()) {
        for exchange in golden.exchanges.iter().take(22) {
            let config = register_config(exchange);
            for place in 0..exchange.came.len() {
                let bit = fastrand::u8(..8);
                let mut came = exchange.came.clone();
                came[place] ^= 1 << bit;
                let (_, out) = ask(&config, &came, came.len());
                assert_eq!(out.samples, [], "{}: bit {bit} of byte {place}", hex::encode(&exchange.came));
            }
        }
    }
}

/// Whoever adds a capture adds what it must say.
#[test]
fn no_capture_is_left_out() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data");
    let mut folders = vec![root.clone()];
    let mut files: Vec<PathBuf> = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            if entry.is_dir() { folders.push(entry) } else { files.push(entry) }
        }
    }
    let names = files.iter().map(|file| file.strip_prefix(&root).expect("below it").display().to_string());
    // Answers of others, and the questions to the answers beside them.
    let is_capture = |name: &String| {
        ![".md", ".yml", ".chk", ".frames.txt", "_master.bin"].iter().any(|other| name.ends_with(other))
    };
    let captures: BTreeSet<String> = names.filter(is_capture).collect();
    let read: BTreeSet<String> = goldens().into_iter().map(|golden| golden.file).collect();
    assert_eq!(captures, read);
}

//! Writes sample objects into a folder and prints what a row costs: `lake_sample FOLDER [AANDERAA_LOG]`.
//!
//! The simulated objects are 20 instruments of four quantities at 1 Hz for 15 minutes; the real ones are the Aanderaa
//! optode day of the OOI captures (ten quantities, every two to eleven seconds) cut into 15 minutes, hours and the day.
//! `pyarrow_size.py` beside the benches reads what this writes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, fs};

use lake::{About, Batch, Chain, Format, ManifestDay, Object, Origin, Prefix, decode, encode, verify_object};
use model::{
    BootId, Clock, DeviceId, Epoch, InstrumentId, Numbered, Quality, QuantityId, Reading, Record, Seq, SeqRange,
    Series, SiteId, Stamp, Timestamp, Value,
};

type AnyError = Box<dyn std::error::Error>;

/// What the agent cuts an object at.
const OBJECT_RECORDS_MAX: usize = 50_000;

const MINUTE: i64 = 60_000;

const OPTODE: [(&str, &str); 10] = [
    ("dissolved_oxygen", "umol/L"),
    ("oxygen_saturation", "%"),
    ("water_temperature", "Cel"),
    ("calibrated_phase", "deg"),
    ("temperature_compensated_phase", "deg"),
    ("blue_phase", "deg"),
    ("red_phase", "deg"),
    ("blue_amplitude", "mV"),
    ("red_amplitude", "mV"),
    ("raw_temperature", "mV"),
];

fn main() -> Result<(), AnyError> {
    let mut args = env::args().skip(1);
    let folder = args.next().ok_or("usage: lake_sample FOLDER [AANDERAA_LOG]")?;
    let folder = Path::new(&folder);
    let mut objects = vec![("sim 20x4 at 1 Hz, 15 min", simulated()), ("the same, full doubles", noisy(simulated()))];
    if let Some(log) = args.next() {
        let day = optode_day(&fs::read(log)?);
        let first = day[0].record.stamp().time.as_millis();
        for (name, minutes) in [("optode 15 min", 15), ("optode 1 h", 60), ("optode day", 24 * 60)] {
            let span = day.iter().take_while(|n| n.record.stamp().time.as_millis() < first + minutes * MINUTE);
            objects.push((name, span.cloned().collect()));
        }
    }
    let full = objects[1].1[..OBJECT_RECORDS_MAX].to_vec();
    for format in Format::ALL {
        println!(
            "memory for an object of {OBJECT_RECORDS_MAX} full doubles as {format}: {:.1} MiB",
            memory(format, &full)?
        );
    }
    let mut manifest = ManifestDay::new();
    let mut chain = Chain::start(origin().epoch);
    for (name, records) in &objects {
        for format in Format::ALL {
            let (object, spent) = timed(format, records)?;
            report(name, records.len(), &object, spent);
            verify_object(&object.line, &object.bytes).map_err(|findings| format!("{findings:?}"))?;
            assert_eq!(decode(format, &object.bytes)?, records.iter().map(lake::Row::of).collect::<Vec<_>>());
            let path = folder.join(&object.key);
            fs::create_dir_all(path.parent().ok_or("a key has folders")?)?;
            fs::write(&path, &object.bytes)?;
            manifest.append(object.line, Timestamp::from_millis(1_427_760_000_000), &mut chain)?;
        }
    }
    fs::write(folder.join("manifest.ndjson.zst"), manifest.to_bytes()?)?;
    Ok(())
}

fn origin() -> Origin {
    Origin {
        prefix: Prefix::default(),
        site: SiteId::try_new("lac-vert").expect("a name"),
        device: DeviceId::try_new("pond-gw-017").expect("a name"),
        epoch: Epoch::parse("7f3k9abc").expect("an epoch"),
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures")]
fn timed(format: Format, records: &[Numbered]) -> Result<(Object, Duration), AnyError> {
    let range = SeqRange::new(records[0].seq, records[records.len() - 1].seq.plus(1));
    let about = About { agent: "0.1.0".to_owned(), config_revision: Some("r7".to_owned()), ..About::default() };
    let mut best: Option<(Object, Duration)> = None;
    for _ in 0..5 {
        let begin = Instant::now();
        let object = encode(format, &origin(), Batch { range, records }, &about)?;
        let spent = begin.elapsed();
        if best.as_ref().is_none_or(|(_, least)| spent < *least) {
            best = Some((object, spent));
        }
    }
    Ok(best.expect("five times"))
}

/// What encoding takes at its peak, in MiB, as the kernel counts it: the records and the object included.
fn memory(format: Format, records: &[Numbered]) -> Result<f64, AnyError> {
    let kib = |field: &str| -> Result<f64, AnyError> {
        let status = fs::read_to_string("/proc/self/status")?;
        let line = status.lines().find(|line| line.starts_with(field)).ok_or("a kernel that says how much")?;
        Ok(line.split_ascii_whitespace().nth(1).ok_or("a number")?.parse()?)
    };
    // What was freed goes back, and the peak is counted from here (proc(5), clear_refs).
    let before = kib("VmRSS:")?;
    let records = records.to_vec();
    fs::write("/proc/self/clear_refs", "5")?;
    let range = SeqRange::new(records[0].seq, records[records.len() - 1].seq.plus(1));
    let object = encode(format, &origin(), Batch { range, records: &records }, &About::default())?;
    let peak = kib("VmHWM:")? - before;
    drop(object);
    Ok(peak / 1024.0)
}

fn report(name: &str, rows: usize, object: &Object, spent: Duration) {
    let of_rows = |amount: f64| amount / f64::from(u32::try_from(rows).expect("a sample is small"));
    let bytes = of_rows(f64::from(u32::try_from(object.bytes.len()).expect("a sample is small")));
    let micros = of_rows(spent.as_secs_f64() * 1e6);
    println!(
        "{name:<26} {:<8} {rows:>8} rows {bytes:>7.3} B/row {micros:>7.3} us/row  {}",
        object.line.format, object.key
    );
}

fn series(instrument: &str, quantity: &str, unit: &str) -> Arc<Series> {
    Arc::new(Series {
        instrument: InstrumentId::try_new(instrument).expect("a name"),
        quantity: QuantityId::try_new(quantity).expect("a name"),
        unit: unit.to_owned(),
        tags: BTreeMap::from([("pond".to_owned(), "4".to_owned())]),
    })
}

fn numbered(seq: u64, time: Timestamp, series: &Arc<Series>, value: f64) -> Numbered {
    let stamp = Stamp { time, mono_ms: 0, clock: Clock::Synced };
    let reading = Reading { stamp, series: Arc::clone(series), value: Value::Number(value), quality: Quality::Pass };
    Numbered { seq: Seq(seq), boot: BootId(1), record: Record::Reading(reading) }
}

fn optode_day(log: &[u8]) -> Vec<Numbered> {
    let all: Vec<_> = OPTODE.iter().map(|(quantity, unit)| series("optode-1", quantity, unit)).collect();
    let mut out = Vec::new();
    let mut seq = 1;
    for line in log.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok()) {
        let Some((time, values)) = optode_line(line.trim_end()) else { continue };
        for (series, value) in all.iter().zip(values) {
            out.push(numbered(seq, time, series, value));
            seq += 1;
        }
    }
    out
}

/// `2015/03/30 00:00:15.376 4831<tab>379<tab>` and ten numbers.
fn optode_line(line: &str) -> Option<(Timestamp, Vec<f64>)> {
    let (stamp, rest) = line.split_at_checked(24)?;
    let fields: Vec<_> = rest.split('\t').collect();
    let values: Vec<f64> = fields.get(2..)?.iter().filter_map(|field| field.parse().ok()).collect();
    let time = Timestamp::parse(&format!("{}Z", stamp.trim().replace('/', "-").replace(' ', "T")))?;
    (fields.len() == 12 && fields[0] == "4831" && values.len() == OPTODE.len()).then_some((time, values))
}

/// Values that use every bit, as a computed quantity may: the worst case, and the one for split bytes.
fn noisy(records: Vec<Numbered>) -> Vec<Numbered> {
    let full = |mut numbered: Numbered| {
        if let Record::Reading(Reading { value: Value::Number(number), .. }) = &mut numbered.record {
            let salt = u32::try_from(numbered.seq.0).expect("a sample is small");
            *number += f64::from(salt).sin();
        }
        Numbered { seq: numbered.seq.plus(1_000_000), ..numbered }
    };
    records.into_iter().map(full).collect()
}

/// Probes as they are: a slow wave, noise of a few steps of the last digit, an arrival that wobbles by milliseconds.
fn simulated() -> Vec<Numbered> {
    let quantities = [
        ("dissolved_oxygen", "mg/L", 7.8, 100.0),
        ("water_temperature", "Cel", 14.2, 100.0),
        ("ph", "[pH]", 7.9, 100.0),
        ("conductivity", "uS/cm", 412.0, 10.0),
    ];
    let mut noise = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: u32| {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        u32::try_from(noise >> 40).expect("24 bits") % below
    };
    let all: Vec<Vec<_>> = (0..20)
        .map(|n| {
            quantities.iter().map(|(quantity, unit, ..)| series(&format!("probe-{n:02}"), quantity, unit)).collect()
        })
        .collect();
    let mut out = Vec::new();
    let mut seq = 1_000_000;
    for second in 0..900 {
        for (probe, series) in (0i64..).zip(&all) {
            let wobble = i64::from(random(4));
            let time = Timestamp::from_millis(1_795_338_000_000 + second * 1000 + probe * 41 + wobble);
            for (series, (_, _, base, steps)) in series.iter().zip(quantities) {
                let wave = (f64::from(i32::try_from(second + probe * 50).expect("small")) / 300.0).sin() * 0.3;
                let value = ((base + wave) * steps + f64::from(random(4))).round() / steps;
                out.push(numbered(seq, time, series, value));
                seq += 1;
            }
        }
    }
    out
}

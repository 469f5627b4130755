//! Writes the manifests of a year of one device into a folder: `lake_year FOLDER LAST_DAY`.
//!
//! An optode of ten quantities, an object every 15 minutes, 35,040 objects in 365 days; the objects themselves are not
//! written, because who asks what there is opens none. `tests/bench lake` asks.

use std::collections::BTreeMap;
use std::path::Path;
use std::{env, fs};

use lake::{Chain, Digest, Format, Home, ManifestDay, ManifestLine, ObjectKey, Origin, Prefix, SeriesLine};
use model::{Clock, Day, DeviceId, Epoch, InstrumentId, Quality, QuantityId, Seq, SeqRange, SiteId, Timestamp};

type AnyError = Box<dyn std::error::Error>;

const DAYS: i64 = 365;
const OBJECTS_A_DAY: u64 = 96;
const QUARTER: i64 = 15 * 60_000;
/// Ten quantities every two seconds.
const ROWS: u64 = 4_500;

fn main() -> Result<(), AnyError> {
    let mut args = env::args().skip(1);
    let usage = "usage: lake_year FOLDER LAST_DAY";
    let (folder, last) = (args.next().ok_or(usage)?, args.next().ok_or(usage)?);
    let last = Timestamp::parse(&format!("{last}T00:00:00Z")).ok_or(usage)?.day();
    let home = Home { prefix: Prefix::default(), site: SiteId::try_new("farm")?, device: DeviceId::try_new("gw-1")? };
    let mut chain = Chain::start(Epoch::from_bits(1));
    let mut seq = 1;
    let mut bytes_all = 0;
    for day in (last.0 + 1 - DAYS..=last.0).map(Day) {
        let mut manifest = ManifestDay::new();
        for quarter in (0..).take(usize::try_from(OBJECTS_A_DAY)?) {
            let from = day.start().plus_millis(quarter * QUARTER);
            let line = line(&home, &chain.epoch, seq, from)?;
            manifest.append(line, from.plus_millis(QUARTER - 1), &mut chain)?;
            seq += ROWS;
        }
        let path = Path::new(&folder).join(home.manifest_key(day));
        let bytes = manifest.to_bytes()?;
        bytes_all += bytes.len();
        fs::create_dir_all(path.parent().ok_or("a key has folders")?)?;
        fs::write(path, bytes)?;
    }
    println!("{} objects in {DAYS} manifests of {bytes_all} bytes", seq / ROWS);
    Ok(())
}

fn line(home: &Home, epoch: &Epoch, first: u64, from: Timestamp) -> Result<ManifestLine, AnyError> {
    let Home { prefix, site, device } = home.clone();
    let origin = Origin { prefix, site, device, epoch: epoch.clone() };
    let range = SeqRange::new(Seq(first), Seq(first + ROWS));
    let key = ObjectKey { origin, day: from.day(), range, format: Format::Parquet }.to_string();
    let spread = f64::from(u32::try_from(first % 97)?);
    let series = |quantity: u32| -> Result<SeriesLine, AnyError> {
        let low = f64::from(quantity) * 3.7 + spread * 0.013;
        Ok(SeriesLine {
            instrument: InstrumentId::try_new("do-4")?,
            quantity: QuantityId::try_new(&format!("quantity_of_optode_{quantity}"))?,
            unit: Some("mg/L".to_owned()),
            count: ROWS / 10,
            min: Some(low),
            max: Some(low + 1.5),
            mean: Some(low + 0.7),
        })
    };
    Ok(ManifestLine {
        v: 1,
        bytes: 20_000 + first % 1_000,
        sha256: Digest::of(key.as_bytes()),
        key,
        format: Format::Parquet,
        rows: ROWS,
        epoch: epoch.clone(),
        first: range.first,
        next: range.next,
        time_min: from,
        time_max: from.plus_millis(QUARTER - 1),
        instruments: (0..10).map(series).collect::<Result<_, _>>()?,
        quality: BTreeMap::from([(Quality::Pass, ROWS)]),
        gaps: Vec::new(),
        clock: BTreeMap::from([(Clock::Synced, ROWS)]),
        agent: "0.1.0".to_owned(),
        config_revision: None,
        tags: BTreeMap::new(),
        uploaded_at: None,
        prev: None,
        rebuilt: false,
        sig: None,
    })
}

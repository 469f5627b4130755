//! tmp
use lake::*;
use model::*;
use std::collections::BTreeMap;
use std::sync::Arc;
fn hwm() -> u64 {
    let s = std::fs::read_to_string("/proc/self/status").unwrap();
    s.lines().find(|l| l.starts_with("VmHWM")).unwrap().split_whitespace().nth(1).unwrap().parse().unwrap()
}
fn main() {
    let n: u64 = std::env::args().nth(1).unwrap().parse().unwrap();
    let noisy = std::env::args().nth(2).unwrap() == "noisy";
    let fmt = if std::env::args().nth(3).is_some() { Format::Ndjson } else { Format::Parquet };
    let ser: Vec<Arc<Series>> = (0..80)
        .map(|i| {
            Arc::new(Series {
                instrument: InstrumentId::try_new(&format!("probe-{:02}", i / 4)).unwrap(),
                quantity: QuantityId::try_new(&format!("q{}", i % 4)).unwrap(),
                unit: "mg/L".into(),
                tags: BTreeMap::from([("pond".to_string(), "4".to_string())]),
            })
        })
        .collect();
    let mut v = Vec::with_capacity(n as usize);
    let mut x = 88172645463325252u64;
    for i in 0..n {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        let val = if noisy { (x >> 11) as f64 / (1u64 << 53) as f64 } else { ((x % 500) as f64) / 100.0 };
        v.push(Numbered {
            seq: Seq(i + 1),
            boot: BootId(1),
            record: Record::Reading(Reading {
                stamp: Stamp {
                    time: Timestamp::from_millis(1_795_348_800_000 + (i / 80) as i64 * 1000),
                    mono_ms: 0,
                    clock: Clock::Synced,
                },
                series: ser[(i % 80) as usize].clone(),
                value: Value::Number(val),
                quality: Quality::Pass,
            }),
        });
    }
    let o = Origin {
        prefix: Prefix::default(),
        site: SiteId::try_new("s").unwrap(),
        device: DeviceId::try_new("d").unwrap(),
        epoch: Epoch::parse("e").unwrap(),
    };
    let a = hwm();
    let t = std::time::Instant::now();
    let ob =
        encode(fmt, &o, Batch { range: SeqRange::new(Seq(1), Seq(n + 1)), records: &v }, &About::default()).unwrap();
    let b = hwm();
    println!(
        "rows {n} out {} KiB extra {} KiB beyond output {} (records {} KiB) {:?}/row",
        ob.bytes.len() / 1024,
        b - a,
        (b - a) as i64 - ob.bytes.len() as i64 / 1024,
        a,
        t.elapsed() / n as u32
    );
}

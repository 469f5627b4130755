//! What a question needs of a lake, how far the walk over its manifests goes, and what it finds to be missing.

mod common;

use std::collections::BTreeMap;

use common::{NOON, encode, mixed, number, origin};
use lake::{
    Catalogue, Chain, Entry, Finding, Format, Home, ManifestDay, ManifestLine, Query, Row, RowJson, Walk, link_rebuilt,
    merge, open_object, verify_chain,
};
use model::{Clock, Day, Epoch, InstrumentId, Quality, QuantityId, Row as RecordJson, Seq, SeqRange, Timestamp};

const DAY: i64 = 86_400_000;

fn home() -> Home {
    let origin = origin();
    Home { prefix: origin.prefix, site: origin.site, device: origin.device }
}

fn noon(day: i64) -> Timestamp {
    Timestamp::from_millis(NOON + day * DAY)
}

/// A device that uploads one object of ten rows a day; what was read on the day `rows.0` is uploaded on `rows.1`.
struct Device {
    chain: Chain,
    next: u64,
    clock: Clock,
    manifests: BTreeMap<Day, ManifestDay>,
}

impl Device {
    fn new() -> Self {
        Self { chain: Chain::start(origin().epoch), next: 1, clock: Clock::Synced, manifests: BTreeMap::new() }
    }

    fn uploads(&mut self, read: i64, uploaded: i64) {
        let records: Vec<_> = (self.next..self.next + 10).map(|seq| number(seq, NOON + read * DAY, 7.5)).collect();
        self.next += 10;
        let line = encode(Format::Ndjson, &records).line;
        let line = ManifestLine { clock: BTreeMap::from([(self.clock, line.rows)]), ..line };
        let day = self.manifests.entry(noon(uploaded).day()).or_default();
        day.append(line, noon(uploaded), &mut self.chain).expect("its own epoch");
    }

    /// A walk to its end: what it found, and the days it looked at.
    fn walk(&self, query: &Query, today: i64) -> (Catalogue, (i64, i64), usize) {
        let mut walk = Walk::new(query, noon(today).day());
        let mut catalogue = Catalogue::default();
        let mut requests = 0;
        loop {
            let days = walk.next(&catalogue);
            if days.is_empty() {
                break;
            }
            requests += days.len();
            for day in days {
                if let Some(manifest) = self.manifests.get(&day) {
                    catalogue.add(&home(), day, &manifest.to_bytes().expect("in memory"));
                }
            }
        }
        let (first, last) = walk.looked();
        let zero = noon(0).day().0;
        (catalogue, (first.0 - zero, last.0 - zero), requests)
    }
}

fn between(from: i64, to: i64) -> Query {
    let midnight = |day| Some(noon(day).day().start());
    Query { from: midnight(from), to: midnight(to), ..Query::default() }
}

fn findings(device: &Device, query: &Query, today: i64) -> Vec<Finding> {
    let (catalogue, _, _) = device.walk(query, today);
    catalogue.prove(query, (noon(0).day(), noon(today).day()))
}

#[test]
fn a_span_in_the_past_needs_its_own_days_and_those_that_prove_it() {
    let mut device = Device::new();
    (0..300).for_each(|day| device.uploads(day, day));
    let query = between(100, 103);
    let (catalogue, looked, requests) = device.walk(&query, 299);
    assert_eq!((looked, requests), ((99, 103), 5), "a day before, and one on which it had gone on");
    let keys: Vec<_> = catalogue.select(&query).iter().map(|entry| entry.line.first).collect();
    assert_eq!(keys, [Seq(1001), Seq(1011), Seq(1021)]);
    assert_eq!(catalogue.prove(&query, (noon(99).day(), noon(103).day())), []);
}

#[test]
fn a_backlog_is_found_weeks_behind() {
    let mut device = Device::new();
    (0..10).for_each(|day| device.uploads(day, day));
    (10..40).for_each(|day| device.uploads(day, 40));
    (40..50).for_each(|day| device.uploads(day, day));
    let query = between(12, 14);
    let (catalogue, (_, last), _) = device.walk(&query, 49);
    assert_eq!(catalogue.select(&query).len(), 2);
    assert!((40..45).contains(&last), "it looked up to {last}");
    assert_eq!(findings(&device, &query, 49), []);
}

#[test]
fn a_hole_makes_the_walk_go_on_to_today() {
    let mut device = Device::new();
    (0..50).for_each(|day| device.uploads(day, day));
    let lines = device.manifests.remove(&noon(21).day()).expect("that day");
    let query = between(20, 23);
    let (_, looked, _) = device.walk(&query, 49);
    assert_eq!(looked, (19, 49));
    let missing = |before: Seq| match findings(&device, &query, 49).as_slice() {
        [Finding::LineMissing { before: key, ranges }] => {
            assert!(key.contains(&format!("-{:012}-", before.0)), "{key}");
            assert_eq!(*ranges, [SeqRange::new(Seq(211), Seq(221))]);
        }
        other => panic!("{other:?}"),
    };
    missing(Seq(221));
    // The same lines uploaded much later are no hole.
    device.manifests.insert(noon(21).day(), lines);
    assert_eq!(findings(&device, &query, 49), []);
}

#[test]
fn without_a_beginning_the_walk_goes_back_to_the_start_of_the_chain_and_a_month_further() {
    let mut device = Device::new();
    (0..365).for_each(|day| device.uploads(day, day));
    let (catalogue, looked, requests) = device.walk(&Query::default(), 364);
    assert_eq!((looked, requests, catalogue.entries().count()), ((-31, 364), 396, 365));
    assert_eq!(findings(&device, &Query::default(), 364), []);
    assert_eq!(device.walk(&between(0, 400), 364).2, 366);
}

#[test]
fn a_season_of_rest_is_walked_over_while_the_chain_has_no_start() {
    let mut device = Device::new();
    (0..5).for_each(|day| device.uploads(day, day));
    (205..210).for_each(|day| device.uploads(day, day));
    let (catalogue, (first, _), _) = device.walk(&Query::default(), 250);
    assert_eq!((catalogue.entries().count(), first), (10, -31));
    let (catalogue, _, requests) = Device::new().walk(&Query::default(), 0);
    assert_eq!((catalogue.entries().count(), requests), (0, 366), "a year, and no further");
    // And back over it where the question begins within the rest.
    let query = between(100, 206);
    assert_eq!(findings(&device, &query, 250), []);
}

#[test]
fn an_end_that_nothing_proves_is_named() {
    let mut device = Device::new();
    (0..10).for_each(|day| device.uploads(day, day));
    assert!(matches!(findings(&device, &between(5, 12), 20).as_slice(), [Finding::NothingAfter { .. }]));
    device.manifests.remove(&noon(0).day());
    assert!(matches!(findings(&device, &Query::default(), 20).as_slice(), [Finding::NothingBefore { .. }]));
    assert!(matches!(findings(&Device::new(), &Query::default(), 20).as_slice(), [Finding::Nothing { .. }]));
}

#[test]
fn a_device_without_a_trusted_clock_is_judged_by_the_one_it_has() {
    let mut device = Device::new();
    device.clock = Clock::Untrusted;
    (0..30).for_each(|day| device.uploads(day, day));
    let query = between(10, 12);
    assert_eq!((device.walk(&query, 29).1, findings(&device, &query, 29)), ((9, 12), vec![]));
    // Beside a better one, what it says without it proves nothing.
    let mut device = Device::new();
    (0..10).for_each(|day| device.uploads(day, day));
    device.clock = Clock::Untrusted;
    (10..30).for_each(|day| device.uploads(day, day));
    assert_eq!(device.walk(&query, 29).1, (9, 29));
}

#[test]
fn a_manifest_that_is_cut_short_is_named_and_so_is_what_it_held() {
    let mut device = Device::new();
    (0..10).for_each(|day| device.uploads(day, day));
    let (mut catalogue, _, _) = device.walk(&Query::default(), 9);
    let day = noon(4).day();
    let bytes = device.manifests[&day].to_bytes().expect("in memory");
    catalogue.add(&home(), day, &bytes[..bytes.len() - 1]);
    let found = catalogue.prove(&Query::default(), (day, day));
    assert!(
        matches!(&found[..], [Finding::Manifest { key, .. }, Finding::LineMissing { .. }] if *key == home().manifest_key(day)),
        "{found:?}"
    );
}

#[test]
fn positions_in_two_objects_and_in_none_are_named() {
    let mut device = Device::new();
    device.uploads(0, 0);
    device.next = 5;
    device.uploads(1, 1);
    device.next = 20;
    device.uploads(2, 2);
    let found = findings(&device, &Query::default(), 3);
    let epoch = origin().epoch;
    let range = SeqRange::new(Seq(5), Seq(11));
    assert!(matches!(&found[0], Finding::Overlap { range: found, .. } if *found == range), "{found:?}");
    assert_eq!(found[1], Finding::Hole { epoch, range: SeqRange::new(Seq(15), Seq(20)) });
    assert_eq!(found.len(), 2);
}

#[test]
fn a_question_finds_the_objects_that_may_hold_it_and_takes_only_its_rows() {
    let object = encode(Format::Ndjson, &mixed());
    let instrument = |name: &str| vec![InstrumentId::try_new(name).expect("a name")];
    let quantity = |name: &str| vec![QuantityId::try_new(name).expect("a name")];
    let rows = open_object(&object.line, &object.bytes).expect("untouched");
    let count = |query: &Query| {
        let is_in = query.may_be_in(&object.line);
        let rows = rows.iter().filter(|row| query.wants(row)).count();
        assert!(is_in || rows == 0, "the line hides rows from {query:?}");
        (is_in, rows)
    };
    assert_eq!(count(&Query::default()), (true, 9));
    assert_eq!(count(&Query { instruments: instrument("do-4"), ..Query::default() }), (true, 4));
    assert_eq!(count(&Query { instruments: instrument("do-5"), ..Query::default() }), (false, 0));
    let other =
        Query { instruments: instrument("rfid-1"), quantities: quantity("dissolved_oxygen"), ..Query::default() };
    assert_eq!(count(&other), (false, 0));
    assert_eq!(count(&Query { qualities: vec![Quality::Suspect, Quality::Fail], ..Query::default() }), (true, 2));
    let at = |millis| Some(Timestamp::from_millis(NOON + millis));
    assert_eq!(count(&Query { from: at(2), to: at(4), ..Query::default() }), (true, 3));
    assert_eq!(count(&Query { from: at(6), ..Query::default() }), (false, 0));
    assert_eq!(count(&Query { to: at(0), ..Query::default() }), (false, 0));
}

#[test]
fn a_row_that_is_read_back_is_the_json_that_left_the_device() {
    let epoch = origin().epoch;
    for format in Format::ALL {
        let object = encode(format, &mixed());
        let rows = open_object(&object.line, &object.bytes).expect("untouched");
        for (numbered, row) in mixed().iter().zip(&rows) {
            let left = serde_json::to_string(&RecordJson { numbered, epoch: Some(&epoch) }).expect("plain data");
            assert_eq!(serde_json::to_string(&RowJson { row, epoch: &epoch }).expect("plain data"), left);
            assert_eq!(*row, Row::of(numbered));
        }
    }
}

#[test]
fn a_lake_that_was_copied_elsewhere_is_found_there_and_nowhere_else() {
    let line = encode(Format::Ndjson, &mixed()).line;
    let moved = Home { prefix: lake::Prefix::default(), ..home() };
    assert_eq!(home().place_of(&line), Some(line.key.clone()));
    assert_eq!(moved.place_of(&line).expect("there"), line.key.replacen("farm/", "", 1));
    let wrong = [
        line.key.replacen("gw-1", "gw-2", 1),
        line.key.replacen("7f3k9abc", "7f3k9abd", 1),
        line.key.replacen("-000000000100-", "-000000000101-", 1),
        format!("../{}", line.key),
        "/etc/passwd".to_owned(),
    ];
    for key in wrong {
        assert_eq!(home().place_of(&ManifestLine { key: key.clone(), ..line.clone() }), None, "{key}");
    }
}

fn entries(device: &Device) -> Vec<Entry> {
    device.manifests.values().flat_map(ManifestDay::texts).map(|text| Entry::parse(text).expect("a line")).collect()
}

fn chain_of(entries: &[Entry]) -> Vec<Finding> {
    verify_chain(entries.iter().map(|entry| entry.text.as_str()), None).expect("lines")
}

#[test]
fn lines_that_come_in_pieces_and_any_order_make_the_same_manifest() {
    let mut device = Device::new();
    (0..8).for_each(|_| device.uploads(0, 0));
    let whole = entries(&device);
    for cut in 0..=whole.len() {
        let (early, late) = whole.split_at(cut);
        assert_eq!(merge(early, late), whole);
        assert_eq!(merge(late, early), whole);
        assert_eq!(merge(&whole, late), whole);
        assert_eq!(merge(early, &whole), whole);
    }
}

#[test]
fn two_chains_in_one_lake_each_hold_and_a_break_in_one_is_found() {
    let mut bucket = Device::new();
    (0..4).for_each(|_| bucket.uploads(0, 0));
    let mut stick = Device::new();
    stick.next = 41;
    (0..4).for_each(|_| stick.uploads(0, 0));
    let both = merge(&entries(&bucket), &entries(&stick));
    assert_eq!((both.len(), chain_of(&both)), (8, vec![]));
    // Day by day they stand one behind the other.
    let interleaved: Vec<_> = [0, 1, 4, 5, 2, 3, 6, 7].into_iter().map(|at: usize| both[at].clone()).collect();
    assert_eq!(chain_of(&interleaved), []);
    assert_eq!(chain_of(&interleaved[1..]), [], "also where both begin in the middle");
    let mut altered = interleaved.clone();
    altered[3].text = altered[3].text.replace("\"max\":7.5", "\"max\":7.6");
    assert_eq!(chain_of(&altered), [Finding::LineAltered { key: altered[3].line.key.clone() }]);
    let mut swapped = interleaved;
    swapped.swap(6, 7);
    assert!(matches!(chain_of(&swapped).as_slice(), [Finding::LineMoved { .. }, ..]));
}

/// A device whose manifests of these days were lost and made again from the objects, all of which came to lie on `day`.
fn made_again(whole: &Device, lost: &[i64], day: i64) -> Device {
    let mut device = Device { manifests: whole.manifests.clone(), ..Device::new() };
    let lost: Vec<_> = lost.iter().filter_map(|lost| device.manifests.remove(&noon(*lost).day())).collect();
    let made = lost.iter().flat_map(|manifest| manifest.lines().map(|line| line.expect("ours").unsealed()));
    let linked = link_rebuilt(&entries(&device), made.map(|line| (line, noon(day))).collect()).expect("lines");
    let there = device.manifests.remove(&noon(day).day()).map(|there| texts(&there)).unwrap_or_default();
    let merged = merge(&there, &linked).into_iter().map(|entry| entry.text).collect();
    device.manifests.insert(noon(day).day(), ManifestDay::from_texts(merged));
    device
}

fn texts(manifest: &ManifestDay) -> Vec<Entry> {
    manifest.texts().map(|text| Entry::parse(text).expect("ours")).collect()
}

#[test]
fn a_catalogue_that_was_made_again_is_whole_and_says_where() {
    let mut whole = Device::new();
    (0..20).for_each(|day| whole.uploads(day, day));
    for (lost, day) in [(&[0, 1][..], 0), (&[5, 6], 6), (&[5, 9], 19), (&[18, 19], 21), (&[4, 5, 6], 30)] {
        let device = made_again(&whole, lost, day);
        let query = Query::default();
        assert_eq!(findings(&device, &query, 31), [], "{lost:?} on {day}");
        let (catalogue, _, _) = device.walk(&query, 31);
        let made: Vec<_> = catalogue.rebuilt().map(|entry| entry.line.first).collect();
        assert_eq!(made, lost.iter().map(|day| Seq(day.unsigned_abs() * 10 + 1)).collect::<Vec<_>>());
        // What is missing beside them is missing still.
        let mut damaged = Device { manifests: device.manifests.clone(), ..Device::new() };
        damaged.manifests.remove(&noon(12).day());
        assert!(matches!(findings(&damaged, &query, 31).as_slice(), [Finding::LineMissing { .. }]));
        // And should the device bring its own lines after all, they count.
        let mut both = Device { manifests: whole.manifests.clone(), ..Device::new() };
        let again = texts(&device.manifests[&noon(day).day()]);
        let there = both.manifests.get(&noon(day).day()).map(texts).unwrap_or_default();
        let merged = merge(&there, &again).into_iter().map(|entry| entry.text).collect();
        both.manifests.insert(noon(day).day(), ManifestDay::from_texts(merged));
        assert_eq!(findings(&both, &query, 31), [], "{lost:?} on {day}, and the device's own");
        assert_eq!(both.walk(&query, 31).0.rebuilt().count(), 0);
    }
}

#[test]
fn epochs_are_replayed_one_after_the_other() {
    let mut first = Device::new();
    first.uploads(0, 0);
    first.uploads(1, 2);
    let mut device = Device::new();
    device.chain = Chain::start(Epoch::parse("00000000").expect("an epoch"));
    let line = ManifestLine { epoch: device.chain.epoch.clone(), ..entries(&first)[0].line.clone() };
    let day = first.manifests.get_mut(&noon(2).day()).expect("uploaded then");
    day.append(line, noon(2), &mut device.chain).expect("its own epoch");
    let (catalogue, _, _) = first.walk(&Query::default(), 5);
    let order: Vec<_> = catalogue.select(&Query::default()).iter().map(|entry| entry.line.epoch.as_str()).collect();
    assert_eq!(order, ["7f3k9abc", "7f3k9abc", "00000000"], "in the order in which they came, not by name");
}

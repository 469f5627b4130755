//! What was lost, altered, moved or cut short is found and named.

mod common;

use common::{NOON, encode, mixed, number, range_of};
use lake::{
    Chain, Digest, Finding, Format, LakeError, ManifestDay, ManifestLine, uncovered, verify_chain, verify_object,
};
use model::{Epoch, Seq, SeqRange, Timestamp};

const LINES: u64 = 6;

/// Six objects of ten rows each, and the chain's end.
fn day() -> (ManifestDay, Chain) {
    let mut day = ManifestDay::new();
    let mut chain = Chain::start(common::origin().epoch);
    for object in 0..LINES {
        let records: Vec<_> = (1..11).map(|seq| number(object * 10 + seq, NOON, 7.5)).collect();
        let line = encode(Format::Ndjson, &records).line;
        day.append(line, Timestamp::from_millis(NOON), &mut chain).expect("the chain's own epoch");
    }
    (day, chain)
}

fn keys(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| ManifestLine::parse(text).expect("a line").key).collect()
}

fn findings(texts: &[String], head: Option<&Digest>) -> Vec<Finding> {
    verify_chain(texts.iter().map(String::as_str), head).expect("lines")
}

fn texts(day: &ManifestDay) -> Vec<String> {
    day.texts().map(str::to_owned).collect()
}

#[test]
fn a_manifest_comes_back_and_its_chain_holds() {
    let (day, chain) = day();
    let bytes = day.to_bytes().expect("in memory");
    assert_eq!(bytes, day.to_bytes().expect("in memory"));
    let back = ManifestDay::parse(&bytes).expect("ours");
    assert_eq!(back, day);
    assert_eq!(back.lines().next().expect("six").expect("ours").prev, Some(Digest::NONE));
    assert_eq!(findings(&texts(&back), Some(&chain.head)), []);
    // A laptop that holds only the later days has a chain without a start.
    assert_eq!(findings(&texts(&back)[2..], Some(&chain.head)), []);
    assert_eq!(findings(&[], Some(&Digest::NONE)), []);
}

#[test]
fn a_missing_line_is_named_with_what_it_held() {
    let (day, chain) = day();
    let mut texts = texts(&day);
    texts.remove(2);
    let ranges = vec![SeqRange::new(Seq(21), Seq(31))];
    assert_eq!(findings(&texts, Some(&chain.head)), [Finding::LineMissing { before: keys(&texts)[2].clone(), ranges }]);
}

#[test]
fn two_missing_lines_are_named_each_at_its_place() {
    let (day, chain) = day();
    let mut texts = texts(&day);
    texts.remove(4);
    texts.remove(1);
    let missing = |before: usize, first, next| Finding::LineMissing {
        before: keys(&texts)[before].clone(),
        ranges: vec![SeqRange::new(Seq(first), Seq(next))],
    };
    assert_eq!(findings(&texts, Some(&chain.head)), [missing(1, 11, 21), missing(3, 41, 51)]);
}

#[test]
fn a_missing_and_an_altered_line_are_told_apart() {
    let (day, chain) = day();
    let mut texts = texts(&day);
    texts[4] = texts[4].replace("\"max\":7.5", "\"max\":7.6");
    texts.remove(1);
    let names = keys(&texts);
    let missing = Finding::LineMissing { before: names[1].clone(), ranges: vec![SeqRange::new(Seq(11), Seq(21))] };
    assert_eq!(findings(&texts, Some(&chain.head)), [missing, Finding::LineAltered { key: names[3].clone() }]);
}

#[test]
fn a_recorded_gap_covers_what_it_says_was_lost() {
    let lost = encode(Format::Ndjson, &mixed()).line;
    let early: Vec<_> = (80..90).map(|seq| number(seq, NOON, 7.5)).collect();
    let early = encode(Format::Ndjson, &early).line;
    assert_eq!(uncovered([&early, &lost]), []);
    let silent = ManifestLine { gaps: Vec::new(), ..lost };
    assert_eq!(uncovered([&early, &silent]), [SeqRange::new(Seq(90), Seq(100))]);
}

#[test]
fn an_altered_line_is_named() {
    let (day, chain) = day();
    let mut texts = texts(&day);
    texts[3] = texts[3].replace("\"max\":7.5", "\"max\":7.6");
    assert_eq!(findings(&texts, Some(&chain.head)), [Finding::LineAltered { key: keys(&texts)[3].clone() }]);
}

#[test]
fn swapped_lines_are_named() {
    let (day, chain) = day();
    let mut texts = texts(&day);
    texts.swap(2, 3);
    let names = keys(&texts);
    let moved =
        |at: usize, behind: usize| Finding::LineMoved { key: names[at].clone(), follows: Some(names[behind].clone()) };
    assert_eq!(findings(&texts, Some(&chain.head)), [moved(2, 3), moved(3, 1), moved(4, 2)]);
}

#[test]
fn lines_cut_off_at_the_end_are_missed_where_the_head_is_known() {
    let (day, chain) = day();
    let texts = texts(&day);
    let short = &texts[..4];
    assert_eq!(findings(short, Some(&chain.head)), [Finding::LinesCutOff { after: Some(keys(short)[3].clone()) }]);
    assert_eq!(findings(&[], Some(&chain.head)), [Finding::LinesCutOff { after: None }]);
}

#[test]
fn a_manifest_file_that_is_cut_short_or_altered_is_an_error_at_every_byte() {
    let bytes = day().0.to_bytes().expect("in memory");
    for length in 0..bytes.len() {
        assert!(ManifestDay::parse(&bytes[..length]).is_err(), "cut at {length}");
    }
    for at in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[at] ^= 0x10;
        let is_found = ManifestDay::parse(&altered).map_or(true, |day| day == self::day().0);
        assert!(is_found, "altered at {at}");
    }
}

#[test]
fn a_chain_takes_only_lines_of_its_own_epoch() {
    let mut chain = Chain::start(Epoch::parse("other").expect("an epoch"));
    let line = encode(Format::Ndjson, &mixed()).line;
    let refused = chain.seal(line, Timestamp::from_millis(NOON), None);
    assert!(matches!(refused, Err(LakeError::OtherEpoch { .. })));
    assert_eq!(chain.head, Digest::NONE);
}

#[test]
fn an_altered_or_cut_object_is_named_at_every_byte() {
    for format in Format::ALL {
        let object = encode(format, &mixed());
        let short = &object.bytes[..object.bytes.len() - 1];
        let found = verify_object(&object.line, short).expect_err("cut");
        assert!(matches!(found[..], [Finding::Size { .. }]));
        for at in 0..object.bytes.len() {
            let mut altered = object.bytes.clone();
            altered[at] ^= 0x10;
            let found = verify_object(&object.line, &altered).expect_err("altered");
            assert!(matches!(found[..], [Finding::Content { .. }]), "{found:?}");
        }
    }
}

#[test]
fn a_line_that_says_something_else_than_its_object_is_named_by_field() {
    for format in Format::ALL {
        let object = encode(format, &mixed());
        let with = |change: fn(&mut ManifestLine)| {
            let mut line = object.line.clone();
            change(&mut line);
            let found = verify_object(&line, &object.bytes).expect_err("changed");
            found.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        assert!(with(|line| line.rows = 8).contains("`rows`"));
        assert!(with(|line| line.time_max = Timestamp::from_millis(0)).contains("`time_min, time_max`"));
        assert!(with(|line| line.instruments[0].mean = Some(9.0)).contains("`instruments`"));
        assert!(with(|line| line.instruments[0].unit = Some("Cel".to_owned())).contains("`instruments`"));
        assert!(with(|line| line.gaps.clear()).contains("`gaps`"));
        assert!(with(|line| line.quality.clear()).contains("`quality`"));
        assert!(with(|line| line.clock.clear()).contains("`clock`"));
        assert!(with(|line| line.first = Seq(101)).contains("`first, next`"));
        assert!(with(|line| line.key = line.key.replace("11-22", "11-23")).contains("key does not name"));
        assert!(with(|line| line.key = line.key.replace("farm", "..")).contains("key does not name"));
    }
}

#[test]
fn a_line_of_before_a_series_had_its_unit_is_held_against_its_object_all_the_same() {
    let lake::Object { mut line, bytes, .. } = encode(Format::Parquet, &mixed());
    line.instruments.iter_mut().for_each(|series| series.unit = None);
    assert_eq!(verify_object(&line, &bytes), Ok(()));
    line.instruments[0].max = Some(9.0);
    assert!(verify_object(&line, &bytes).is_err());
}

#[test]
fn swapped_objects_are_named() {
    let (one, two) = (encode(Format::Parquet, &mixed()), encode(Format::Parquet, &mixed()[1..]));
    assert!(verify_object(&one.line, &two.bytes).is_err());
    assert!(verify_object(&two.line, &one.bytes).is_err());
    assert_eq!(range_of(&mixed()), one.line.range());
}

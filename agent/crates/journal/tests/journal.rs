//! The journal's promises, one story each.

mod support;

use std::fs;

use journal::{JournalError, Settings, open_offline};
use model::{GapReason, Record, Seq, SeqRange};
use support::*;

#[test]
fn a_reader_sees_only_what_is_durable() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, reader) = open(settings(dir.path()));
    let series = four_series("do-4");
    let first = put(&mut journal, 0, line(&series, 0));
    let second = journal.append(BOOT, line(&series, 1));
    assert_eq!(reader.head(), first.next);
    assert_eq!(reader.stat().pending, 4);
    assert_eq!(read_all(&reader, range(1, 100)).len(), 4);
    journal.commit(moment(1)).unwrap();
    assert_eq!(reader.head(), second.next);
    let records: Vec<Record> = read_all(&reader, everything(&reader)).into_iter().map(|n| n.record).collect();
    assert_eq!(records, lines(&series, 0, 2));
}

#[test]
fn readings_and_events_of_several_boots_come_back_in_order_and_exactly() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, reader) = open(settings(dir.path()));
    let series = four_series("do-4");
    let mut taken = Vec::new();
    for n in 0..50u64 {
        let boot = model::BootId(n / 20);
        let mut records = lines(&series, n * 7, n * 7 + n % 9);
        if n % 3 == 0 {
            records.insert(records.len() / 2, event(n));
        }
        taken.extend(records.iter().cloned().map(|record| (boot, record)));
        journal.append(boot, records);
        journal.commit(moment(n)).unwrap();
    }
    let read = read_all(&reader, everything(&reader));
    assert!(read.iter().zip(1..).all(|(numbered, seq)| numbered.seq == Seq(seq)));
    assert_eq!(read.into_iter().map(|n| (n.boot, n.record)).collect::<Vec<_>>(), taken);
}

#[test]
fn the_numbers_go_on_after_reopening_and_after_a_full_drain() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { generation_age_ms: 10, ..settings(dir.path()) };
    let series = four_series("do-4");
    let mut expected = Seq::FIRST;
    let mut epoch = None;
    for round in 0..4u64 {
        let (mut journal, reader) = open(settings.clone());
        assert_eq!(*epoch.get_or_insert(reader.epoch()), reader.epoch());
        assert_eq!(reader.head(), expected);
        let first = put(&mut journal, 0, line(&series, round));
        assert_eq!(first.first, expected);
        let second = put(&mut journal, 20, line(&series, round));
        assert_eq!(journal.retain(second.next, moment(1 << 40)).unwrap(), []);
        assert_eq!(generation_dirs(dir.path()).len(), 1, "all that is sealed is drained");
        expected = second.next;
    }
}

#[test]
fn an_unfinished_swap_of_a_repack_is_settled_at_the_next_open() {
    let dir = tempfile::tempdir().unwrap();
    let series = four_series("do-4");
    let (mut journal, reader) = open(settings(dir.path()));
    put(&mut journal, 0, line(&series, 0));
    drop((journal, reader));
    let generation = generation_dirs(dir.path()).remove(0);
    fs::rename(&generation, generation.with_extension("old")).unwrap();
    fs::create_dir(generation.with_extension("tmp")).unwrap();
    let (_journal, reader) = open(settings(dir.path()));
    assert_eq!(read_all(&reader, everything(&reader)).len(), 4);
    assert_eq!(generation_dirs(dir.path()), [generation]);
}

#[test]
fn an_idle_lines_small_commits_are_repacked_on_sealing_and_read_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, reader) = open(Settings { generation_age_ms: 1_000_000, ..settings(dir.path()) });
    let series = four_series("do-4");
    for n in 0..600 {
        put(&mut journal, n, line(&series, n));
    }
    // Someone reads while the swap happens.
    let before = read_all(&reader, everything(&reader));
    let small = reader.stat().generations[0].bytes;
    put(&mut journal, 1_000_000, line(&series, 600));
    let packed = reader.stat().generations[0].bytes;
    assert!(packed < small / 2, "{packed} bytes, were {small}");
    assert_eq!(read_all(&reader, range(1, 2401)), before);
    drop((journal, reader));
    let (_journal, reader) = open(settings(dir.path()));
    assert_eq!(read_all(&reader, range(1, 2401)), before);
}

#[test]
fn a_second_process_is_told_that_the_journal_is_in_use() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(open_offline(dir.path()), Err(JournalError::NotAJournal { .. })));
    let (mut journal, reader) = open(settings(dir.path()));
    put(&mut journal, 0, vec![event(1)]);
    assert!(matches!(open_offline(dir.path()), Err(JournalError::Locked { .. })));
    drop((journal, reader));
    let offline = open_offline(dir.path()).unwrap();
    assert_eq!(read_all(&offline, everything(&offline)).len(), 1);
}

#[test]
fn a_record_that_is_too_large_becomes_a_gap_in_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, reader) = open(settings(dir.path()));
    let Record::Event(small) = event(1) else { unreachable!() };
    put(&mut journal, 0, vec![event(0), Record::Event(Box::new(small.with("raw", "x".repeat(10_000)))), event(2)]);
    let read = read_all(&reader, everything(&reader));
    let Record::Event(gap) = &read[1].record else { panic!("an event") };
    assert_eq!(gap.facts["reason"], "overrun".into());
    assert_eq!(gap.facts["lost_first"], 2u64.into());
    assert_eq!(read.len(), 3);
}

#[test]
fn a_time_is_found_by_the_headers() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, reader) = open(Settings { generation_age_ms: 50, ..settings(dir.path()) });
    for n in 0..20 {
        put(&mut journal, n * 10, vec![event(n * 100), event(n * 100 + 50)]);
    }
    for n in 0..40 {
        let found = reader.find_time(moment(n * 50).wall).unwrap();
        assert_eq!(found, Seq(n + 1));
    }
    assert_eq!(reader.find_time(moment(10_000).wall).unwrap(), reader.head());
}

#[test]
fn no_value_is_large_enough_for_the_files_that_sled_never_syncs() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, reader) = open(settings(dir.path()));
    let series = four_series("do-4");
    let mut taken = Vec::new();
    for n in 0..40u64 {
        let mut records = lines(&series, n * 2000, n * 2000 + 1000);
        for (record, at) in records.iter_mut().zip(0u64..) {
            if let Record::Reading(reading) = record {
                let bits = noise(n << 32 | at);
                reading.value = match at % 3 {
                    0 => model::Value::Text(format!("{bits:0128x}").into()),
                    _ => model::Value::Number(f64::from_bits(bits >> 2)),
                };
            }
        }
        taken.extend(records.clone());
        put(&mut journal, n, records);
    }
    for generation in generation_dirs(dir.path()) {
        assert_eq!(fs::read_dir(generation.join("blobs")).unwrap().count(), 0);
    }
    let read = read_all(&reader, everything(&reader));
    assert_eq!(read.into_iter().map(|n| n.record).collect::<Vec<_>>(), taken);
}

#[test]
fn a_drained_journal_gives_its_disk_back() {
    let dir = tempfile::tempdir().unwrap();
    let small = Settings { generation_bytes: 1 << 20, ..settings(dir.path()) };
    let (mut journal, reader) = open(small);
    let series = four_series("do-4");
    for cycle in 0..2 {
        for n in 0..220 {
            put(&mut journal, n, heavy_lines(&series, n * 500, n * 500 + 500));
        }
        assert!(reader.stat().generations.len() > 2);
        let within = everything(&reader);
        assert_eq!(u64::try_from(read_all(&reader, within).len()).unwrap(), within.len());
        assert_eq!(journal.retain(reader.head(), moment(1 << 40)).unwrap(), [], "cycle {cycle}");
        assert!(generation_dirs(dir.path()).len() <= 2);
        assert!(reader.stat().bytes <= 2 << 20, "{}", reader.stat().bytes);
    }
}

#[test]
fn what_is_delivered_is_kept_for_the_replay_window() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, reader) =
        open(Settings { generation_age_ms: 10, keep_delivered_ms: 1000, ..settings(dir.path()) });
    let first = put(&mut journal, 0, vec![event(0)]);
    put(&mut journal, 20, vec![event(20)]);
    assert_eq!(journal.retain(reader.head(), moment(500)).unwrap(), []);
    assert_eq!(reader.tail(), first.first);
    assert_eq!(journal.retain(first.first, moment(5000)).unwrap(), [], "not drained");
    assert_eq!(reader.tail(), first.first);
    assert_eq!(journal.retain(first.next, moment(5000)).unwrap(), []);
    assert_eq!(reader.tail(), first.next);
    let below = reader.read(range(1, 100), 100).unwrap();
    assert_eq!(below.lost.len(), 1);
    assert_eq!((below.lost[0].range, below.lost[0].reason), (first, GapReason::Quota));
}

#[test]
fn over_budget_the_oldest_go_for_a_gap_and_nothing_is_unaccounted_for() {
    let dir = tempfile::tempdir().unwrap();
    let budget = 4 << 20;
    let tight = Settings { max_bytes: budget, ..settings(dir.path()) };
    let (mut journal, reader) = open(tight);
    let series = four_series("do-4");
    let mut gone = model::RangeSet::new();
    for n in 0..300 {
        put(&mut journal, n, heavy_lines(&series, n * 500, n * 500 + 500));
        for gap in journal.retain(Seq(2001), moment(n)).unwrap() {
            assert_eq!(gap.reason, GapReason::Quota);
            let lost = gap.range.unwrap();
            assert_eq!(gap.count, lost.len());
            assert!(gone.missing(lost) == [lost], "no loss is told twice");
            gone.insert(lost);
            journal.append(BOOT, vec![Record::Event(Box::new(gap.into_event(stamp(n))))]);
        }
    }
    journal.commit(moment(300)).unwrap();
    assert!(reader.stat().bytes <= budget + (1 << 20), "{}", reader.stat().bytes);
    gone.insert(range(1, 2001));
    gone.insert(everything(&reader));
    assert_eq!(gone.ranges(), [SeqRange::new(Seq::FIRST, reader.head())], "taken = drained + gaps + kept");
    assert!(reader.tail() > Seq(2001), "something was dropped");
}

#[test]
fn a_loss_is_told_even_if_the_process_dies_before_its_event_is_durable() {
    let dir = tempfile::tempdir().unwrap();
    let tight = Settings { max_bytes: 4 << 20, ..settings(dir.path()) };
    let (mut journal, reader) = open(tight.clone());
    let series = four_series("do-4");
    let mut n = 0;
    let told = loop {
        put(&mut journal, n, heavy_lines(&series, n * 500, n * 500 + 500));
        let gaps = journal.retain(Seq::FIRST, moment(n)).unwrap();
        if !gaps.is_empty() {
            break gaps;
        }
        n += 1;
    };
    // The process dies here: the event is appended, and never committed.
    journal.append(BOOT, told.iter().cloned().map(|gap| Record::Event(Box::new(gap.into_event(stamp(n))))).collect());
    drop((journal, reader));
    let (mut journal, reader) = open(tight.clone());
    assert_eq!(journal.owed_gaps(), told);
    assert_eq!(journal.owed_gaps(), [], "handed out once");
    let events = told.into_iter().map(|gap| Record::Event(Box::new(gap.into_event(stamp(n))))).collect();
    put(&mut journal, n, events);
    drop((journal, reader));
    let (mut journal, _reader) = open(tight);
    assert_eq!(journal.owed_gaps(), [], "the event is durable");
}

#[test]
fn a_generation_that_does_not_open_is_lost_by_name_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let aged = Settings { generation_age_ms: 10, ..settings(dir.path()) };
    let (mut journal, reader) = open(aged.clone());
    let ranges: Vec<SeqRange> = (0..3).map(|n| put(&mut journal, n * 20, vec![event(n), event(n)])).collect();
    drop((journal, reader));
    let dirs = generation_dirs(dir.path());
    fs::write(dirs[1].join("db"), b"").unwrap();
    let (mut journal, reader) = open(aged.clone());
    let chunk = reader.read(everything(&reader), 100).unwrap();
    assert_eq!(chunk.records.len(), 4);
    assert_eq!(chunk.lost.len(), 1);
    assert_eq!((chunk.lost[0].range, chunk.lost[0].reason), (ranges[1], GapReason::Corrupt));
    let gaps = journal.retain(Seq::FIRST, moment(0)).unwrap();
    assert_eq!(gaps.len(), 1);
    assert_eq!((gaps[0].range, gaps[0].count, gaps[0].reason), (Some(ranges[1]), 2, GapReason::Corrupt));
    assert_eq!(fs::read_dir(dir.path().join("quarantine")).unwrap().count(), 1);
    assert_eq!(reader.read(everything(&reader), 100).unwrap(), chunk, "the same without the directory");

    // The active one: how far it went is not known, so the numbers go on behind all that it can have held.
    drop((journal, reader));
    fs::write(dirs[2].join("db"), b"").unwrap();
    let (mut journal, reader) = open(aged);
    assert_eq!(reader.head(), Seq(ranges[2].first.0 + (1 << 24)));
    let gaps = journal.owed_gaps();
    assert!(gaps.iter().any(|gap| gap.range == Some(SeqRange::new(ranges[2].first, reader.head()))));
    put(&mut journal, 0, vec![event(9)]);
    let chunk = reader.read(everything(&reader), 100).unwrap();
    assert_eq!((chunk.records.len(), chunk.lost.len()), (3, 1), "what lies side by side is said once");
}

//! A journal that is closed and opened again under its readers, as the agent does when its disk was away.

mod support;

use std::fs;

use journal::{Journal, JournalError, Reader};
use model::{GapReason, SeqRange};
use support::*;

#[test]
fn readers_outlive_the_journal_and_read_on_when_it_is_open_again() {
    let dir = tempfile::tempdir().unwrap();
    let reader = Reader::detached();
    assert_eq!((reader.epoch(), reader.head()), (None, model::Seq::FIRST));
    assert!(matches!(reader.read(range(1, 9), 9), Err(JournalError::Unavailable)));

    let (mut journal, opened) = open(settings(dir.path()));
    reader.attach(&opened);
    drop(opened);
    let sinks = reader.clone();
    put(&mut journal, 0, lines(&four_series("do-4"), 0, 5));
    let (epoch, stat) = (reader.epoch(), reader.stat());
    assert_eq!(read_all(&sinks, range(1, 100)).len(), 20);

    reader.detach();
    drop(journal);
    assert!(!sinks.is_attached());
    assert_eq!((sinks.epoch(), sinks.stat()), (epoch.clone(), stat), "what was last known is still told");
    assert!(matches!(sinks.read(range(1, 9), 9), Err(JournalError::Unavailable)));

    // Nobody holds its lock: it opens, and the clones see it.
    let (mut journal, opened) = open(settings(dir.path()));
    reader.attach(&opened);
    put(&mut journal, 1, vec![event(1)]);
    assert_eq!((sinks.epoch(), read_all(&sinks, range(1, 100)).len()), (epoch, 21));
}

#[test]
fn numbers_that_were_given_out_are_not_given_out_again_when_the_disk_came_back_with_less() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, reader) = open(settings(dir.path()));
    let held = put(&mut journal, 0, vec![event(0), event(1)]);
    // Ten more had been promised, says whoever opens it; the disk does not have them.
    let promised = held.next.plus(10);
    journal.skip_to(promised, moment(1)).unwrap();
    let gaps = journal.owed_gaps();
    let lost = SeqRange::new(held.next, promised);
    assert_eq!((gaps[0].range, gaps[0].count, gaps[0].reason), (Some(lost), 10, GapReason::Corrupt));
    let fresh = put(&mut journal, 2, vec![event(2)]);
    assert_eq!(fresh.first, promised);
    let chunk = reader.read(range(1, 100), 100).unwrap();
    assert_eq!((chunk.records.len(), chunk.lost.len(), chunk.lost[0].range), (3, 1, lost));
    drop((journal, reader));
    let (_journal, reader) = open(settings(dir.path()));
    assert_eq!(reader.read(range(1, 100), 100).unwrap(), chunk, "the same after a restart");
}

#[test]
fn a_folder_that_is_gone_or_another_is_noticed_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let (mut journal, reader) = open(settings(&path));
    put(&mut journal, 0, vec![event(0)]);
    journal.check_disk().unwrap();
    fs::rename(&path, dir.path().join("pulled-out")).unwrap();
    assert!(matches!(journal.check_disk(), Err(JournalError::Io { .. })));
    let other = Journal::open(settings(&path), moment(0), 7).unwrap();
    assert!(matches!(journal.check_disk(), Err(JournalError::Replaced { .. })));
    assert_ne!(journal::epoch_at(&path).unwrap(), reader.epoch());
    drop(other);
}

#[test]
fn what_a_commit_did_not_write_is_given_back_in_order_without_what_is_told_again() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _reader) = open(settings(dir.path()));
    put(&mut journal, 0, vec![event(0)]);
    journal.skip_to(model::Seq(9), moment(1)).unwrap();
    let told = journal.owed_gaps().remove(0);
    journal.append(BOOT, vec![event(1), model::Record::Event(Box::new(told.into_event(stamp(2)))), event(3)]);
    let back = journal.take_back();
    assert_eq!(back.iter().map(|(_, is_told)| *is_told).collect::<Vec<_>>(), [false, true, false]);
    assert_eq!((&back[0].0, &back[2].0), (&event(1), &event(3)));
    assert_eq!(journal.pending(), 0);
}

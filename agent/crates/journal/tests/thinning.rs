//! The power goes at each call of a thinning that joins two generations: what it took away is told, and once it is
//! gone, told once.

#[allow(dead_code, reason = "this story refuses nothing")]
#[path = "support/faulty.rs"]
mod faulty;
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use faulty::{Call, Faulty, Plan};
use journal::files::with_files;
use journal::{Journal, Reader, Settings, WhenFull};
use model::{GapReason, Record, Seq, SeqRange, Value};
use support::*;

const MIB: u64 = 1 << 20;
const LINES_A_STEP: u64 = 2_000;

fn thinned(path: &Path) -> Settings {
    Settings { max_bytes: 7 * MIB, when_full: WhenFull::Thin, ..settings(path) }
}

/// One line of two quantities a second, of values that take room.
fn step(n: u64) -> Vec<Record> {
    let mut records = Vec::new();
    for line in n * LINES_A_STEP..(n + 1) * LINES_A_STEP {
        for (record, i) in heavy_lines(&four_series("do-4")[..2], line, line + 1).into_iter().zip(0..) {
            let Record::Reading(mut reading) = record else { continue };
            reading.stamp = stamp(line * 1000);
            let eighths = u32::try_from(noise(line * 2 + i) % 10_000).expect("small");
            reading.value = Value::Number(f64::from(eighths) / 8.0);
            records.push(Record::Reading(reading));
        }
    }
    records
}

/// A step: appended, committed, and what had to give way for it told.
fn take(journal: &mut Journal, n: u64) {
    let ms = n * LINES_A_STEP * 1000;
    let outcome = (|| {
        journal.append(BOOT, step(n));
        journal.commit(moment(ms))?;
        let gaps = journal.retain(Seq::FIRST, moment(ms))?;
        journal
            .append(BOOT, gaps.iter().map(|gap| Record::Event(Box::new(gap.clone().into_event(stamp(ms))))).collect());
        journal.commit(moment(ms))?;
        Ok::<_, journal::JournalError>(())
    })();
    // The power may go in it.
    drop(outcome);
}

fn joins(path: &Path) -> usize {
    let in_place = generation_dirs(path).into_iter().filter(|dir| dir.extension().is_none());
    let notes = in_place.filter_map(|dir| fs::read_to_string(dir.join("thinned")).ok());
    notes.filter(|note| note.split_whitespace().count() == 3).count()
}

/// What is there, and what the gaps tell that is not.
#[derive(Default)]
struct Held {
    readings: u64,
    events: u64,
    told: u64,
}

fn held(reader: &Reader) -> Held {
    let (mut held, mut tellings, mut at) = (Held::default(), BTreeSet::new(), reader.tail());
    while at < reader.head() {
        let chunk = reader.read(SeqRange::new(at, reader.head()), 5_000).expect("reads");
        assert!(chunk.lost.iter().all(|lost| lost.reason == GapReason::Thinned), "{:?}", chunk.lost);
        for numbered in &chunk.records {
            match &numbered.record {
                Record::Reading(_) => held.readings += 1,
                Record::Event(event) => {
                    held.events += 1;
                    // A gap whose event is durable and still on the note is said again, in the same words.
                    let is_new = tellings.insert(format!("{:?}", event.facts));
                    if let Some(model::Fact::Integer(count)) = event.facts.get("count").filter(|_| is_new) {
                        held.told += u64::try_from(*count).expect("a count");
                    }
                }
            }
        }
        at = chunk.next;
    }
    held
}

/// A journal that joins two generations in its next step, which is this.
fn template(home: &Path) -> (PathBuf, u64) {
    let (grown, before) = (home.join("grown"), home.join("before"));
    let (mut journal, _reader) = open(thinned(&grown));
    for n in 0.. {
        if before.is_dir() {
            fs::remove_dir_all(&before).expect("removes");
        }
        copy_tree(&grown, &before);
        take(&mut journal, n);
        if joins(&grown) > 0 {
            return (before, n);
        }
        assert!(n < 500, "nothing was ever joined");
    }
    unreachable!()
}

#[test]
fn what_a_join_takes_away_is_told_once_wherever_the_power_goes() {
    let home = tempfile::tempdir().expect("a directory");
    let (before, n) = template(home.path());
    let told = |name: &str, plan| {
        let root = home.path().join(name).join("journal");
        copy_tree(&before, &root);
        let layer = Rc::new(Faulty::new(&root, &home.path().join(name).join("aside"), plan));
        with_files(Rc::clone(&layer) as Rc<_>, || {
            if let Ok((mut journal, _reader)) = Journal::open(thinned(&root), moment(0), 42) {
                take(&mut journal, n);
            }
        });
        (layer, root)
    };
    let (layer, root) = told("counted", Plan::Count);
    let calls = layer.calls();
    assert!(joins(&root) > 0 && calls.contains(&Call::Rename), "the step joins again: {calls:?}");
    let (mut joined, mut not_joined, mut left_over) = (0, 0, 0);
    for (at, call) in calls.iter().enumerate() {
        let name = format!("cut-{at}");
        let (layer, _) = told(&name, Plan::Cut { at, is_half: false });
        // As it was at that instant, and with all undone that no sync had made durable.
        let disks = layer.frozen();
        for disk in disks.first().into_iter().chain(disks.last().filter(|_| disks.len() > 1)) {
            let is_joined = joins(disk) > 0;
            *(if is_joined { &mut joined } else { &mut not_joined }) += 1;
            let name = format!("call {at} of {}, {call:?}, {}, joined {is_joined}", calls.len(), disk.display());
            let left = leftovers(disk);
            left_over += left.len();
            let (given, accounted) = open_again(disk, &left);
            assert!(accounted >= given, "{name}: {given} readings were given, {accounted} are there or told");
            // The loss is noted before the swap: a cut between the two tells of what is still there.
            assert!(!is_joined || accounted == given, "{name}: {given} given, {accounted} there or told");
        }
        fs::remove_dir_all(home.path().join(name)).expect("removes");
    }
    println!(
        "{} calls; {joined} disks had joined, {left_over} with what was joined left, {not_joined} not",
        calls.len()
    );
    assert!(joined > 0 && not_joined > 0 && left_over > 0);
}

/// Generations that the note of the one before says were joined to it.
fn leftovers(disk: &Path) -> Vec<PathBuf> {
    let mut until = String::new();
    let mut left = Vec::new();
    for dir in generation_dirs(disk).into_iter().filter(|dir| dir.extension().is_none()) {
        let note = fs::read_to_string(dir.join("thinned")).unwrap_or_default();
        if dir.file_name().expect("a name").to_string_lossy().as_ref() < until.as_str() {
            left.push(dir);
        } else if let Some(next) = note.split_whitespace().nth(1) {
            until = format!("g{next:0>20}");
        }
    }
    left
}

/// The agent starts again. How many readings there ever were, and how many are there or told.
fn open_again(disk: &Path, left: &[PathBuf]) -> (u64, u64) {
    let (mut journal, reader) = open(thinned(disk));
    assert!(left.iter().all(|dir| !dir.is_dir()), "what was joined is not to be thinned again: {left:?}");
    let owed = journal.owed_gaps();
    put(&mut journal, 0, owed.into_iter().map(|gap| Record::Event(Box::new(gap.into_event(stamp(0))))).collect());
    assert_eq!(reader.tail(), Seq::FIRST, "nothing was dropped");
    let Held { readings, events, told } = held(&reader);
    (reader.head().0 - 1 - events, readings + told)
}

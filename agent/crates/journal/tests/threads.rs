//! Readers on their own threads while the writer seals, repacks and removes under them.

mod support;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use journal::{Reader, Settings};
use model::{GapReason, Record, Seq, SeqRange};
use support::*;

/// Reads from the tail on until the writer is done; every record must be the one of its number.
fn follow(reader: &Reader, is_done: &AtomicBool, confirmed: &AtomicU64) -> u64 {
    let mut at = Seq::FIRST;
    let mut read = 0;
    loop {
        let was_done = is_done.load(Ordering::Acquire);
        let chunk = reader.read(SeqRange::new(at, Seq(u64::MAX)), 97).expect("reads");
        assert!(chunk.lost.iter().all(|lost| lost.reason == GapReason::Quota), "{:?}", chunk.lost);
        for numbered in &chunk.records {
            let Record::Event(event) = &numbered.record else { panic!("an event") };
            assert_eq!(event.facts["n"], numbered.seq.0.into());
        }
        read += u64::try_from(chunk.records.len()).expect("small");
        at = chunk.next;
        confirmed.fetch_max(at.0, Ordering::AcqRel);
        if was_done && at >= reader.head() {
            return read;
        }
        thread::yield_now();
    }
}

#[test]
fn readers_get_every_record_right_while_generations_are_sealed_repacked_and_removed() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut journal, reader) = open(Settings { generation_age_ms: 100, ..settings(dir.path()) });
    let (is_done, first, second) = (AtomicBool::new(false), AtomicU64::new(1), AtomicU64::new(1));
    thread::scope(|scope| {
        let readers =
            [scope.spawn(|| follow(&reader, &is_done, &first)), scope.spawn(|| follow(&reader, &is_done, &second))];
        for n in 0..1500u64 {
            let next = reader.head().0;
            put(&mut journal, n, (next..next + 1 + n % 3).map(event).collect());
            if n % 50 == 0 {
                let drained = first.load(Ordering::Acquire).min(second.load(Ordering::Acquire));
                assert_eq!(journal.retain(Seq(drained), moment(1 << 40)).expect("retains"), []);
            }
        }
        is_done.store(true, Ordering::Release);
        for follower in readers {
            assert_eq!(follower.join().expect("reads on"), reader.head().0 - 1, "nothing was missed");
        }
    });
    assert!(generation_dirs(dir.path()).len() < 15, "what both had read was removed");
}

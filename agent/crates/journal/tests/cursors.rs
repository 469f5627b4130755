//! Cursors and sealed batches: what a sink has, and what it was about to send.

mod support;

use std::fs;

use journal::{Cursor, CursorFile, JournalError, Loaded, NamedBatch, SealedStore};
use model::{Seq, SinkId};
use support::range;

fn sink() -> SinkId {
    SinkId::try_new("lake").expect("a name")
}

fn batch(first: u64, next: u64) -> NamedBatch {
    NamedBatch { range: range(first, next), key: format!("readings/{first}-{next}.parquet"), sealed: true }
}

#[test]
fn a_named_batch_is_neither_offered_again_nor_confirmed() {
    let mut cursor = Cursor::starting_at(Seq(10));
    assert_eq!(cursor.low_water(), Seq(10));
    assert_eq!(cursor.next_unconfirmed(range(1, 100)), Some(range(10, 100)));
    // The newest first, as after an outage.
    cursor.begin(batch(50, 100));
    assert_eq!(cursor.next_unconfirmed(range(1, 120)), Some(range(10, 50)));
    cursor.confirm(range(50, 100));
    assert_eq!(cursor.named(), []);
    assert_eq!(cursor.low_water(), Seq(10), "a hole holds it");
    cursor.begin(batch(10, 50));
    cursor.confirm(range(10, 50));
    assert_eq!(cursor.low_water(), Seq(100));
    cursor.replay(range(20, 30));
    assert_eq!((cursor.low_water(), cursor.next_unconfirmed(range(1, 200))), (Seq(20), Some(range(20, 30))));
}

#[test]
fn a_cursor_survives_reopening_and_a_torn_newest_slot_costs_one_step() {
    let dir = tempfile::tempdir().unwrap();
    let (mut file, loaded) = CursorFile::load(dir.path(), &sink()).unwrap();
    assert_eq!(loaded, Loaded::New);
    let mut cursor = Cursor::default();
    let mut before = cursor.clone();
    for n in 1..8 {
        before = cursor.clone();
        cursor.confirm(range(n * 10, n * 10 + 5));
        cursor.begin(batch(n * 10 + 5, n * 10 + 7));
        file.store(&cursor).unwrap();
        let (_, loaded) = CursorFile::load(dir.path(), &sink()).unwrap();
        assert_eq!(loaded, Loaded::Cursor(cursor.clone()));
    }
    // Seven stores: the newest is slot 1. Torn at any length it is as if the last store had not been.
    let slot = dir.path().join("cursors/lake.1");
    let whole = fs::read(&slot).unwrap();
    for length in 0..whole.len() {
        fs::write(&slot, &whole[..length]).unwrap();
        let (mut file, loaded) = CursorFile::load(dir.path(), &sink()).unwrap();
        assert_eq!(loaded, Loaded::Cursor(before.clone()), "torn at {length}");
        if length + 1 == whole.len() {
            file.store(&cursor).unwrap();
            assert_eq!(CursorFile::load(dir.path(), &sink()).unwrap().1, Loaded::Cursor(cursor.clone()));
        }
    }
}

#[test]
fn two_damaged_slots_are_said_and_a_new_cursor_goes_over_them() {
    let dir = tempfile::tempdir().unwrap();
    let (mut file, _) = CursorFile::load(dir.path(), &sink()).unwrap();
    file.store(&Cursor::starting_at(Seq(5))).unwrap();
    file.store(&Cursor::starting_at(Seq(6))).unwrap();
    for slot in ["lake.0", "lake.1"] {
        let path = dir.path().join("cursors").join(slot);
        let mut bytes = fs::read(&path).unwrap();
        bytes[14] ^= 1;
        fs::write(&path, bytes).unwrap();
    }
    let (mut file, loaded) = CursorFile::load(dir.path(), &sink()).unwrap();
    assert_eq!(loaded, Loaded::Damaged);
    file.store(&Cursor::starting_at(Seq(7))).unwrap();
    let (_, loaded) = CursorFile::load(dir.path(), &sink()).unwrap();
    assert_eq!(loaded, Loaded::Cursor(Cursor::starting_at(Seq(7))));
}

#[test]
fn a_sealed_batch_reads_back_to_the_byte_or_says_that_it_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let store = SealedStore::open(dir.path(), &sink(), 1 << 20).unwrap();
    let bytes: Vec<u8> = (0..100_000u64).map(|n| support::noise(n).to_le_bytes()[0]).collect();
    store.put(range(1, 50), &bytes).unwrap();
    fs::write(dir.path().join("sealed/lake/00000000000000000050-00000000000000000060.tmp"), "torn").unwrap();
    let store = SealedStore::open(dir.path(), &sink(), 1 << 20).unwrap();
    assert_eq!(store.get(range(1, 50)).unwrap(), Some(bytes.clone()));
    assert_eq!(fs::read_dir(dir.path().join("sealed/lake")).unwrap().count(), 1, "what was torn is gone");
    assert!(matches!(store.put(range(50, 90), &vec![0; 1 << 20]), Err(JournalError::SealedFull { .. })));
    let file = dir.path().join("sealed/lake/00000000000000000001-00000000000000000050");
    let mut spoilt = fs::read(&file).unwrap();
    spoilt[5000] ^= 0x10;
    fs::write(&file, spoilt).unwrap();
    assert!(matches!(store.get(range(1, 50)), Err(JournalError::SealedDamaged { .. })));
    store.remove(range(1, 50)).unwrap();
    assert_eq!(store.get(range(1, 50)).unwrap(), None);
}

//! Clocks that are set, that jump, and that never were right.

use std::sync::atomic::AtomicU64;

use model::{Quality, QuantityId, Reading, Series, Value};

use super::*;

/// A board whose clocks a test sets.
#[derive(Debug, Clone, Default)]
struct Board(Arc<BoardState>);

#[derive(Debug, Default)]
struct BoardState {
    wall_ms: AtomicI64,
    mono_ms: AtomicU64,
    is_disciplined: AtomicBool,
    /// How often that was asked.
    asked: AtomicU64,
}

const NOW: i64 = 1_790_000_000_000;

impl Board {
    fn pass(&self, ms: u32) {
        self.0.wall_ms.fetch_add(i64::from(ms), Ordering::Relaxed);
        self.0.mono_ms.fetch_add(u64::from(ms), Ordering::Relaxed);
    }

    fn set(&self, wall_ms: i64) {
        self.0.wall_ms.store(wall_ms, Ordering::Relaxed);
    }
}

impl Source for Board {
    fn boot(&self) -> BootId {
        BootId(7)
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_millis(self.0.wall_ms.load(Ordering::Relaxed))
    }

    fn mono_ms(&self) -> u64 {
        self.0.mono_ms.load(Ordering::Relaxed)
    }

    fn voucher(&self) -> Option<Voucher> {
        self.0.asked.fetch_add(1, Ordering::Relaxed);
        self.0.is_disciplined.load(Ordering::Relaxed).then_some(Voucher::Chrony)
    }
}

fn taken(stamp: Stamp) -> Record {
    let series = Series {
        instrument: model::InstrumentId::try_new("i").expect("a name"),
        quantity: QuantityId::try_new("q").expect("a name"),
        unit: String::new(),
        tags: model::Tags::new(),
    };
    let quality = Quality::NotEvaluated;
    Record::Reading(Reading { stamp, series: Arc::new(series), value: Value::Number(1.0), quality })
}

#[test]
fn a_board_without_a_battery_starts_in_1970_and_its_readings_are_put_right() {
    let board = Board::default();
    let clock = Clock::new(Box::new(board.clone()), Anchors::in_memory());
    board.pass(5_000);
    assert!(clock.look().is_none());
    let mut early = taken(clock.stamp());
    assert_eq!(early.stamp().clock, Trust::Untrusted);
    assert_eq!(early.stamp().time.as_millis(), 5_000);
    board.pass(60_000);
    let mut unknown = early.clone();
    clock.correct(BootId(7), &mut unknown);
    assert_eq!(unknown, early, "nothing is known yet, nothing is changed");

    board.set(NOW);
    let event = clock.look().expect("the clock was set");
    assert_eq!(event.kind, EventKind::ClockSet);
    assert_eq!(event.stamp.clock, Trust::Synced);
    clock.correct(BootId(7), &mut early);
    assert_eq!((early.stamp().clock, early.stamp().time.as_millis()), (Trust::Corrected, NOW - 60_000));

    let mut of_another_boot = taken(Stamp { clock: Trust::Untrusted, ..clock.stamp() });
    clock.correct(BootId(8), &mut of_another_boot);
    assert_eq!(of_another_boot.stamp().clock, Trust::Untrusted);
}

#[test]
fn what_is_disciplined_is_believed_and_what_is_merely_running_is_not() {
    let board = Board::default();
    board.set(NOW);
    let clock = Clock::new(Box::new(board.clone()), Anchors::in_memory());
    board.pass(1_000);
    assert!(clock.look().is_none());
    assert_eq!(clock.trust(), Trust::Untrusted, "a clock that nobody vouches for");
    board.0.is_disciplined.store(true, Ordering::Relaxed);
    let event = clock.look().expect("it is disciplined now");
    assert_eq!(event.facts["said_by"], model::Fact::from("chrony"));
    assert_eq!(clock.trust(), Trust::Synced);
    board.pass(1_000);
    assert!(clock.look().is_none(), "said once");
    assert_eq!(board.0.asked.load(Ordering::Relaxed), 2, "what is trusted is not asked about for ever");
}

#[test]
fn a_clock_that_is_disciplined_to_nonsense_is_not_believed() {
    let board = Board::default();
    board.0.is_disciplined.store(true, Ordering::Relaxed);
    let clock = Clock::new(Box::new(board.clone()), Anchors::in_memory());
    assert!(clock.look().is_none());
    assert_eq!(clock.trust(), Trust::Untrusted);
}

#[test]
fn steps_both_ways_are_said_and_slewing_is_not() {
    let board = Board::default();
    board.set(NOW);
    board.0.is_disciplined.store(true, Ordering::Relaxed);
    let clock = Clock::new(Box::new(board.clone()), Anchors::in_memory());
    clock.look().expect("trusted from now on");
    for step_ms in [-3_600_000_i64, 7_200_000, -501] {
        board.pass(1_000);
        board.set(clock.now().as_millis() + step_ms);
        let event = clock.look().expect("a step");
        assert_eq!(event.facts["step_ms"], model::Fact::Integer(step_ms));
        assert_eq!(clock.trust(), Trust::Synced);
    }
    board.pass(1_000);
    board.set(clock.now().as_millis() + 400);
    assert!(clock.look().is_none());
    // Back into 1970: a coin cell that fell out, or a mistake. Nothing is believed until it is set again.
    board.set(1_000);
    clock.look().expect("a step");
    assert_eq!(clock.trust(), Trust::Untrusted);
}

#[test]
fn the_first_anchor_of_a_boot_stands_and_is_remembered() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut anchors = Anchors::open(folder.path());
    anchors.make(BootId(0xabc), -5);
    anchors.make(BootId(0xabc), 99);
    for boot in 0..300 {
        anchors.make(BootId(boot), i64::try_from(boot).expect("small"));
    }
    let again = Anchors::open(folder.path());
    assert_eq!(again.of(BootId(0xabc)), None, "the oldest give way");
    assert_eq!(again.of(BootId(299)), Some(299));
    assert_eq!(anchors.of(BootId(299)), Some(299));

    std::fs::write(folder.path().join("anchors"), b"abc -5\nnonsense\n12 \n0000000000000abd 7\n\xff").expect("a file");
    assert_eq!(Anchors::open(folder.path()).of(BootId(0xabd)), None, "not even text: nothing is known");
    std::fs::write(folder.path().join("anchors"), "abc -5\nnonsense\n12 \n0000000000000abd 7\n").expect("a file");
    let mended = Anchors::open(folder.path());
    assert_eq!((mended.of(BootId(0xabc)), mended.of(BootId(0xabd))), (Some(-5), Some(7)));
}

//! Listening in on a line: what goes over it, as it goes, for somebody who looks.
//!
//! A line never waits for who listens: what a tap has no room for is left out, and counted.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use model::{BusId, Stamp};
use tokio::sync::mpsc;

/// Pieces that wait for who listens.
const WAITING_MAX: usize = 256;

/// Which way bytes went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From an instrument.
    In,
    /// To one.
    Out,
}

/// Bytes that went over a line.
#[derive(Debug, Clone)]
pub struct Piece {
    /// When.
    pub at: Stamp,
    /// Which way.
    pub way: Way,
    /// What.
    pub bytes: Vec<u8>,
}

/// All who listen.
#[derive(Debug, Clone, Default)]
pub struct Taps(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// How many there are: nobody, nearly always.
    count: AtomicUsize,
    taps: Mutex<Vec<Tap>>,
}

#[derive(Debug)]
struct Tap {
    bus: BusId,
    to: mpsc::Sender<Piece>,
}

impl Taps {
    /// Listens to a line, until what is returned is dropped.
    pub fn listen(&self, bus: BusId) -> mpsc::Receiver<Piece> {
        let (to, heard) = mpsc::channel(WAITING_MAX);
        let mut taps = self.0.taps.lock().unwrap_or_else(PoisonError::into_inner);
        taps.push(Tap { bus, to });
        self.0.count.store(taps.len(), Ordering::Release);
        heard
    }

    /// Passes on what went over a line.
    pub(super) fn pass(&self, bus: &BusId, at: Stamp, way: Way, bytes: &[u8]) {
        if self.0.count.load(Ordering::Acquire) == 0 || bytes.is_empty() {
            return;
        }
        let mut taps = self.0.taps.lock().unwrap_or_else(PoisonError::into_inner);
        taps.retain(|tap| !tap.to.is_closed());
        self.0.count.store(taps.len(), Ordering::Release);
        for tap in taps.iter().filter(|tap| tap.bus == *bus) {
            let piece = Piece { at, way, bytes: bytes.to_vec() };
            if tap.to.try_send(piece).is_err() {
                tracing::debug!(%bus, "who listens is too slow");
            }
        }
    }
}

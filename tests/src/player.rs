//! An instrument that says the same bytes again and again, as a scale does that keeps its load; at the speed of its own
//! line where it has one, whatever the port is set to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::patience::pause;
use crate::pty::Port;
use crate::uart::{self, Shape};

/// So much goes out at a time ...
const CHUNK_BYTES: usize = 64;
/// ... this often: the speed of 115200 baud.
const TICK: Duration = Duration::from_millis(5);

/// A talking instrument on its own thread.
#[derive(Debug)]
pub struct Player {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Player {
    /// Plays `bytes` on the port, as they are.
    pub fn start(port: Port, bytes: Vec<u8>) -> Self {
        Self::play(port, bytes, None)
    }

    /// The same on a wire: what arrives depends on what the port is set to.
    pub fn on_wire(port: Port, bytes: Vec<u8>, shape: Shape) -> Self {
        Self::play(port, bytes, Some(shape))
    }

    fn play(port: Port, bytes: Vec<u8>, shape: Option<Shape>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let stop = stop.clone();
            move || {
                let mut chunks = bytes.chunks(CHUNK_BYTES).cycle();
                let mut rest: Vec<u8> = Vec::new();
                while !stop.load(Ordering::Acquire) {
                    if rest.is_empty() {
                        let chunk = chunks.next().unwrap_or_default();
                        rest = match (shape, port.shape()) {
                            (Some(own), Some(set)) => uart::heard(chunk, own, set),
                            _ => chunk.to_vec(),
                        };
                    }
                    let taken = port.offer(&rest);
                    rest.drain(..taken);
                    pause(TICK);
                }
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

//! An instrument that never waits: it numbers its lines, keeps its pace, and drops what the line does not take.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::patience::{now, pause};
use crate::pty::Port;

/// Lines go out in small groups at this pace: finer than a person can tell, coarse enough for any timer.
const TICK: Duration = Duration::from_millis(5);

/// A line that the port took whole, and when its last byte went in.
#[derive(Debug, Clone, Copy)]
pub struct Said {
    /// The line's number.
    pub number: u64,
    /// When.
    pub at: Instant,
}

/// A talking instrument on its own thread.
#[derive(Debug)]
pub struct Talker {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
    said: Arc<Mutex<Vec<Said>>>,
    thread: Option<JoinHandle<Port>>,
    path: PathBuf,
}

impl Talker {
    /// Starts to say `line(1)`, `line(2)` ... at this many lines a second.
    pub fn start(port: Port, lines_per_second: u32, line: impl Fn(u64) -> String + Send + 'static) -> Self {
        let path = port.path().to_owned();
        let stop = Arc::new(AtomicBool::new(false));
        let count = Arc::new(AtomicU64::new(0));
        let said = Arc::new(Mutex::new(Vec::new()));
        let thread = thread::spawn({
            let (stop, count, said) = (stop.clone(), count.clone(), said.clone());
            move || {
                talk(&port, lines_per_second, &line, &stop, |number| {
                    said.lock().expect("no holder panics").push(Said { number, at: now() });
                    count.fetch_add(1, Ordering::Release);
                });
                port
            }
        });
        Self { stop, count, said, thread: Some(thread), path }
    }

    /// The path of its port.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// How many lines the port took so far.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// The lines that the port took since the last time this was asked.
    pub fn said(&self) -> Vec<Said> {
        std::mem::take(&mut *self.said.lock().expect("no holder panics"))
    }

    /// Falls silent; the port stays plugged in.
    pub fn stop(mut self) -> Port {
        self.stop.store(true, Ordering::Release);
        let thread = self.thread.take().expect("taken once, here or in drop");
        thread.join().expect("the talker does not panic")
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// A line that went in by half is finished before the next one begins: what is lost is always a whole line.
fn talk(port: &Port, per_second: u32, line: &impl Fn(u64) -> String, stop: &AtomicBool, mut taken: impl FnMut(u64)) {
    let begin = now();
    let mut number = 0;
    let mut half: Option<(u64, Vec<u8>)> = None;
    while !stop.load(Ordering::Acquire) {
        let due = begin.elapsed().as_millis() * u128::from(per_second) / 1000;
        while u128::from(number) < due {
            number += 1;
            if let Some((begun, rest)) = half.take() {
                half = offer(port, begun, &rest, &mut taken);
            }
            if half.is_none() {
                let bytes = line(number).into_bytes();
                let whole = bytes.len();
                // Where not a byte went in, the line is dropped, not late.
                half = offer(port, number, &bytes, &mut taken).filter(|(_, rest)| rest.len() < whole);
            }
        }
        pause(TICK);
    }
}

/// Offers a line; gives back what the port did not take.
fn offer(port: &Port, number: u64, bytes: &[u8], taken: &mut impl FnMut(u64)) -> Option<(u64, Vec<u8>)> {
    let sent = port.offer(bytes);
    if sent == bytes.len() {
        taken(number);
        return None;
    }
    Some((number, bytes[sent..].to_vec()))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};

    use super::*;

    #[test]
    fn what_was_said_is_what_is_heard_and_no_line_is_torn() {
        let dir = tempfile::tempdir().unwrap();
        let port = Port::plugged(&dir.path().join("port"));
        let line = BufReader::new(std::fs::File::open(port.path()).unwrap());
        let talker = Talker::start(port, 2_000, |number| format!("n,{number}\r\n"));
        // Reading begins late: the line is full by then, and lines have been dropped.
        crate::patience::wait_for("the line to be full", Duration::from_secs(30), String::new, || {
            let before = talker.count();
            pause(TICK * 4);
            (before > 0 && talker.count() == before).then_some(())
        });
        let full = talker.count();
        let heard: Vec<u64> = line
            .lines()
            .map(|line| line.unwrap().strip_prefix("n,").expect("a whole line").parse().unwrap())
            .take(usize::try_from(full).unwrap() + 2_000)
            .collect();
        let port = talker.stop();
        assert!(heard.windows(2).all(|pair| pair[0] < pair[1]), "a line came twice or out of order");
        assert!(heard.windows(2).any(|pair| pair[0] + 1 < pair[1]), "a full line dropped nothing");
        drop(port);
    }
}

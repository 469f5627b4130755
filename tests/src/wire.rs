//! The line between the agent and its broker: a TCP relay that can be cut, go dead without a word, lose what comes back,
//! and be as slow as a satellite. Counts the bytes each way.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::patience::{now, pause};

/// What the line does to the bytes on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// Passes them.
    Fair,
    /// Refuses connections, and has cut those there were.
    Cut,
    /// Takes what fits into a socket and passes nothing, without a word: a modem that has lost its cell.
    Dead,
    /// Passes what goes to the broker and loses what comes back.
    Deaf,
}

/// How slow it is.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// One way.
    pub delay: Duration,
    /// Each way.
    pub bytes_per_second: u64,
}

#[derive(Debug)]
struct State {
    weather: Mutex<Weather>,
    pace: Option<Pace>,
    /// When the line has carried what it has taken, each way: connections share it.
    free_at: [Mutex<Instant>; 2],
    is_over: AtomicBool,
    connections: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
    streams: Mutex<Vec<TcpStream>>,
}

/// A line to a broker.
#[derive(Debug)]
pub struct Wire {
    port: u16,
    state: Arc<State>,
}

/// Bytes taken at a time: what a slow line carries in some 60 ms.
const CHUNK: usize = 512;
const LOOK: Duration = Duration::from_millis(2);
const LATE: Duration = Duration::from_millis(50);

impl Wire {
    /// A line to the broker on port `broker` of this machine.
    pub fn to(broker: u16, pace: Option<Pace>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let state = Arc::new(State {
            weather: Mutex::new(Weather::Fair),
            pace,
            free_at: [now(), now()].map(Mutex::new),
            is_over: AtomicBool::new(false),
            connections: AtomicU64::new(0),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            streams: Mutex::default(),
        });
        let of_listener = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if of_listener.is_over.load(Ordering::Relaxed) {
                    return;
                }
                of_listener.join(stream, broker);
            }
        });
        Self { port, state }
    }

    /// For the agent's `url`.
    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Where it begins.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Connections it has carried.
    pub fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::Relaxed)
    }

    /// Ends every connection; the next ones are carried.
    pub fn cut(&self) {
        self.state.cut();
    }

    /// Changes the weather.
    pub fn turn(&self, weather: Weather) {
        *self.state.weather.lock().unwrap_or_else(PoisonError::into_inner) = weather;
        if weather == Weather::Cut {
            self.state.cut();
        }
    }

    /// Bytes that went to the broker and came back, so far.
    pub fn bytes(&self) -> (u64, u64) {
        (self.state.up.load(Ordering::Relaxed), self.state.down.load(Ordering::Relaxed))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::Relaxed);
        self.state.cut();
        // Whoever waits for a connection gets a last one.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

impl State {
    fn weather(&self) -> Weather {
        *self.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cut(&self) {
        for stream in self.streams.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // It may have ended by itself.
            drop(stream.shutdown(Shutdown::Both));
        }
    }

    fn join(self: &Arc<Self>, agent: TcpStream, broker: u16) {
        if self.weather() == Weather::Cut {
            return;
        }
        let Ok(far) = TcpStream::connect(("127.0.0.1", broker)) else { return };
        self.connections.fetch_add(1, Ordering::Relaxed);
        let copy = |stream: &TcpStream| stream.try_clone().expect("a descriptor");
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).extend([copy(&agent), copy(&far)]);
        for (from, to, is_up) in [(copy(&agent), copy(&far), true), (far, agent, false)] {
            let state = Arc::clone(self);
            thread::spawn(move || state.carry(from, to, is_up));
        }
    }

    /// Carries bytes one way until one end is gone.
    fn carry(&self, mut from: TcpStream, mut to: TcpStream, is_up: bool) {
        from.set_read_timeout(Some(LOOK)).expect("a timeout");
        let mut waiting: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
        let mut buffer = [0; CHUNK];
        let line = &self.free_at[usize::from(is_up)];
        loop {
            let weather = self.weather();
            if weather == Weather::Dead {
                pause(LOOK);
                continue;
            }
            while waiting.front().is_some_and(|(due, _)| *due <= now()) {
                let (_, bytes) = waiting.pop_front().expect("looked at");
                if to.write_all(&bytes).is_err() {
                    return end(&from, &to);
                }
            }
            // A slow line takes the next bytes when it has carried the ones before.
            if *line.lock().unwrap_or_else(PoisonError::into_inner) > now() {
                pause(LOOK);
                continue;
            }
            let length = match from.read(&mut buffer) {
                Ok(0) => return end(&from, &to),
                Ok(length) => length,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
                Err(_) => return end(&from, &to),
            };
            if weather == Weather::Deaf && !is_up {
                continue;
            }
            let counter = if is_up { &self.up } else { &self.down };
            counter.fetch_add(u64::try_from(length).expect("small"), Ordering::Relaxed);
            let due = match self.pace {
                None => now(),
                Some(pace) => {
                    let micros = u64::try_from(length).expect("small") * 1_000_000 / pace.bytes_per_second;
                    // Who wakes up late has not lost the line's time.
                    let idle_since = now().checked_sub(LATE).unwrap_or_else(now);
                    let mut free_at = line.lock().unwrap_or_else(PoisonError::into_inner);
                    *free_at = (*free_at).max(idle_since) + Duration::from_micros(micros);
                    *free_at + pace.delay
                }
            };
            waiting.push_back((due, buffer[..length].to_vec()));
        }
    }
}

fn end(from: &TcpStream, to: &TcpStream) {
    for stream in [from, to] {
        drop(stream.shutdown(Shutdown::Both));
    }
}

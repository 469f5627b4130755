//! A server of updates: HTTP on loopback, good or bad as a story wants it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// What it does to a file on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manners {
    /// All of it, or the part that is asked for.
    Good,
    /// It closes after so many bytes of each answer.
    Cuts(usize),
    /// It always sends all of it, and closes after so many bytes of each answer but the third.
    Forgets(usize),
    /// It has not more than so many bytes of it, and says that this is all.
    Short(usize),
    /// It sends the client on to the same path with `-moved` behind it, which is good.
    Moves,
}

/// A request, as it was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Whereto.
    pub path: String,
    /// `bytes=<n>-`, if a part was asked for.
    pub from: usize,
    /// How many bytes were sent.
    pub sent: usize,
}

/// The server.
#[derive(Debug)]
pub struct Depot {
    port: u16,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    files: BTreeMap<String, (Vec<u8>, Option<Manners>)>,
    asked: Vec<Asked>,
}

impl Depot {
    /// A server without files.
    pub fn open() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has ports");
        let port = listener.local_addr().expect("a bound port").port();
        let shared = Arc::new(Mutex::new(Shared::default()));
        let serving = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = serving.clone();
                // Who is cut off hangs up: that is no failure here.
                thread::spawn(move || answer(&stream, &shared).ok());
            }
        });
        Self { port, shared }
    }

    /// Puts a file there; gives its address.
    pub fn put(&self, name: &str, bytes: Vec<u8>, manners: Manners) -> String {
        let path = format!("/{name}");
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.files.insert(path.clone(), (bytes, Some(manners)));
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// What was asked for since the last time.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.shared.lock().unwrap_or_else(PoisonError::into_inner).asked)
    }
}

fn answer(mut stream: &TcpStream, shared: &Mutex<Shared>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut range = None;
    for line in lines.by_ref() {
        let line = line?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(first) = line.strip_prefix("range: bytes=").and_then(|range| range.strip_suffix('-')) {
            range = first.parse::<usize>().ok();
        }
    }
    let (file, times) = {
        let shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let times = shared.asked.iter().filter(|asked| asked.path == path).count();
        (shared.files.get(path.trim_end_matches("-moved")).cloned(), times)
    };
    let Some((bytes, Some(manners))) = file else {
        return write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    };
    let note = |from: usize, sent: usize| {
        let asked = Asked { path: path.clone(), from, sent };
        shared.lock().unwrap_or_else(PoisonError::into_inner).asked.push(asked);
    };
    if manners == Manners::Moves && !path.ends_with("-moved") {
        note(0, 0);
        return write!(stream, "HTTP/1.1 302 Found\r\nLocation: {path}-moved\r\nContent-Length: 0\r\n\r\n");
    }
    let whole = match manners {
        Manners::Short(length) => &bytes[..length],
        _ => &bytes[..],
    };
    let from = range.filter(|_| !matches!(manners, Manners::Forgets(_))).unwrap_or(0);
    if from >= whole.len() {
        note(from, 0);
        return write!(stream, "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n\r\n");
    }
    let rest = &whole[from..];
    let sent = match manners {
        Manners::Cuts(length) => length.min(rest.len()),
        Manners::Forgets(length) if times != 2 => length.min(rest.len()),
        _ => rest.len(),
    };
    note(from, sent);
    let status = match range {
        Some(_) if from > 0 => {
            format!("206 Partial Content\r\nContent-Range: bytes {from}-{}/{}", whole.len() - 1, whole.len())
        }
        _ => "200 OK".to_owned(),
    };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", rest.len())?;
    stream.write_all(&rest[..sent])
}

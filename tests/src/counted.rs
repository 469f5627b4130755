//! A line to a store that writes down what is asked over it: the first line of every HTTP request, and nothing else.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// What was asked, over all connections.
type Asked = Arc<Mutex<Vec<String>>>;

/// A relay in front of a store.
#[derive(Debug)]
pub struct Counted {
    port: u16,
    asked: Asked,
}

/// Bytes taken at a time.
const CHUNK: usize = 16 << 10;

impl Counted {
    /// A line to the store at this address (`127.0.0.1:8333`).
    pub fn to(store: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let asked = Asked::default();
        let (store, of_listener) = (store.to_owned(), Arc::clone(&asked));
        // Both end with the test's process: a relay holds nothing that would have to be put away.
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(&store) else { continue };
                let (Ok(back), Ok(to)) = (server.try_clone(), client.try_clone()) else { continue };
                let asked = Arc::clone(&of_listener);
                thread::spawn(move || relay(client, server, |bytes, seen| note(bytes, seen, &asked)));
                thread::spawn(move || relay(back, to, |_, _| {}));
            }
        });
        Self { port, asked }
    }

    /// For `--endpoint`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The requests since the last time this was asked: `GET /bucket/key`.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn relay(mut from: TcpStream, mut to: TcpStream, mut look: impl FnMut(&[u8], &mut Vec<u8>)) {
    let (mut buffer, mut seen) = (vec![0; CHUNK], Vec::new());
    loop {
        match from.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(count) => {
                look(&buffer[..count], &mut seen);
                if to.write_all(&buffer[..count]).is_err() {
                    break;
                }
            }
        }
    }
    // The other side may be gone already.
    to.shutdown(Shutdown::Write).ok();
}

/// Takes the whole lines so far, and keeps the rest for the next bytes.
fn note(bytes: &[u8], seen: &mut Vec<u8>, asked: &Asked) {
    seen.extend_from_slice(bytes);
    while let Some(end) = seen.iter().position(|byte| *byte == b'\n') {
        let line: Vec<u8> = seen.drain(..=end).collect();
        let request = std::str::from_utf8(&line).ok().and_then(|line| line.strip_suffix(" HTTP/1.1\r\n"));
        let is_request =
            |text: &&str| ["GET /", "HEAD /", "PUT /", "POST /", "DELETE /"].iter().any(|it| text.starts_with(it));
        if let Some(request) = request.filter(is_request) {
            asked.lock().unwrap_or_else(PoisonError::into_inner).push(request.to_owned());
        }
    }
}

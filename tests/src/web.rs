//! The agent's web page asked by hand: one request a connection, written as it goes over the wire, and the answer as it came.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::patience::wait_for;
use crate::places;
use crate::process::{Process, leashed};

/// A machine that builds beside it takes its time.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status; 0: the connection was closed without a word.
    pub status: u16,
    /// The lines of its head, names in small letters.
    pub head: Vec<String>,
    /// The rest.
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// GET as anybody would, with more header lines.
#[track_caller]
pub fn get(port: u16, path: &str, lines: &[&str]) -> Answer {
    let more = lines.iter().fold(String::new(), |all, line| all + line + "\r\n");
    ask(port, &format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n{more}\r\n"))
}

/// Sends these bytes and reads to the end.
#[track_caller]
pub fn ask(port: u16, request: &str) -> Answer {
    let mut stream = connect(port);
    // One that is too many is closed before it has said all.
    stream.write_all(request.as_bytes()).ok();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    let head = head.lines().skip(1).map(str::to_owned).collect();
    Answer { status, head, body: body.to_owned() }
}

/// A connection that says nothing yet.
#[track_caller]
pub fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).expect("the page listens");
    stream.set_read_timeout(Some(ANSWER_LIMIT)).expect("a limit that is not zero");
    stream
}

/// Waits until somebody listens there.
#[track_caller]
pub fn wait_listening(port: u16, limit: Duration, context: impl FnOnce() -> String) {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    wait_for("the page to listen", limit, context, || TcpStream::connect(address).ok());
}

/// A browser with the page: `tests/helpers/page.mjs` says what the modes do. Its log is `log` below `dir`.
pub fn browser(dir: &Path, mode: &str, port: u16, rest: &[&str]) -> Process {
    let mut command = leashed(&places::venv("node"));
    command.arg(places::tests().join("helpers/page.mjs")).arg(places::venv("../node"));
    command.arg(mode).arg(format!("http://127.0.0.1:{port}/")).args(rest).env("HOME", dir);
    Process::start("browser", command, &dir.join(format!("{mode}.log")))
}

/// Waits for a browser to have seen all that it is to see; what it says.
#[track_caller]
pub fn seen(browser: &Process, limit: Duration) -> Vec<Value> {
    let ended = browser.wait(limit);
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}\n{}", browser.log_tail());
    said(browser)
}

/// What a browser says so far.
pub fn said(browser: &Process) -> Vec<Value> {
    browser.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

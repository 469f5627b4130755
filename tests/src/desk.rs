//! The desk between the agent and its store: every HTTP request passes over it and is written down, and it can lose a
//! reply, answer in the store's place, hang up, or hold a request or its reply for as long as a story wants.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// What happens to a request.
#[derive(Debug, Clone)]
pub enum Fate {
    /// It goes to the store, and the connection ends without the reply.
    LoseReply,
    /// The connection ends before the store hears of it.
    HangUp,
    /// It waits at the desk.
    HoldRequest,
    /// It goes to the store, and the reply waits at the desk.
    HoldReply,
    /// The store does not hear of it: status and code.
    Answer(u16, &'static str),
    /// It goes to the store without this header.
    Without(&'static str),
}

/// Requests whose line begins like this meet this fate, so many times.
#[derive(Debug, Clone)]
struct Rule {
    begins: String,
    header: Option<&'static str>,
    fate: Fate,
    times: usize,
}

/// A request that was made.
#[derive(Debug, Clone)]
pub struct Asked {
    /// `PUT /bucket/key?...`
    pub line: String,
    /// Its headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// How long its body was.
    pub body_bytes: usize,
    /// What was answered; 0 where nothing was.
    pub status: u16,
}

#[derive(Debug, Default)]
struct State {
    book: Mutex<Book>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Book {
    rules: Vec<Rule>,
    asked: Vec<Asked>,
    held: Vec<String>,
    /// Counts the times that everything that was held was let go.
    let_go: usize,
}

/// A desk in front of a store.
#[derive(Debug)]
pub struct Desk {
    port: u16,
    state: Arc<State>,
}

impl Desk {
    /// A desk in front of the store on this port of this machine.
    pub fn to(store: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let state = Arc::new(State::default());
        let of_listener = Arc::clone(&state);
        // It ends with the test's process: a desk holds nothing that would have to be put away.
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&of_listener);
                thread::spawn(move || {
                    // An end of either side ends the connection, which is all that there is to do about it.
                    serve(&client, store, &state).ok();
                    client.shutdown(Shutdown::Both).ok();
                });
            }
        });
        Self { port, state }
    }

    /// For the agent's `endpoint`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The next `times` requests whose line begins with `begins` meet this fate; a rule made later comes first.
    pub fn rule(&self, begins: &str, fate: Fate, times: usize) {
        self.state.lock().rules.insert(0, Rule { begins: begins.to_owned(), header: None, fate, times });
    }

    /// The same for those alone that have a header.
    pub fn rule_with(&self, begins: &str, header: &'static str, fate: Fate, times: usize) {
        let rule = Rule { begins: begins.to_owned(), header: Some(header), fate, times };
        self.state.lock().rules.insert(0, rule);
    }

    /// Forgets all rules, and lets go what is held.
    pub fn clear(&self) {
        let mut book = self.state.lock();
        book.rules.clear();
        book.let_go += 1;
        self.state.changed.notify_all();
    }

    /// The lines of requests that wait here, or whose replies do.
    pub fn held(&self) -> Vec<String> {
        self.state.lock().held.clone()
    }

    /// What was asked since the last time this was asked.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state.lock().asked)
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fate_of(&self, line: &str, headers: &BTreeMap<String, String>) -> Option<Fate> {
        let mut book = self.lock();
        let meets = |rule: &&mut Rule| {
            rule.times > 0
                && line.starts_with(&rule.begins)
                && rule.header.is_none_or(|header| headers.contains_key(header))
        };
        let rule = book.rules.iter_mut().find(meets)?;
        rule.times -= 1;
        Some(rule.fate.clone())
    }

    fn hold(&self, line: &str) {
        let mut book = self.lock();
        let before = book.let_go;
        book.held.push(line.to_owned());
        while book.let_go == before {
            book = self.changed.wait(book).unwrap_or_else(PoisonError::into_inner);
        }
        book.held.retain(|held| held != line);
    }

    fn note(&self, head: &Head, body: &[u8], status: u16) {
        let Head { line, headers, .. } = head;
        let asked = Asked { line: line.clone(), headers: headers.clone(), body_bytes: body.len(), status };
        self.lock().asked.push(asked);
    }
}

/// A request's or a reply's head.
struct Head {
    /// `PUT /bucket/key`, or the status line.
    line: String,
    headers: BTreeMap<String, String>,
    raw: Vec<Vec<u8>>,
}

fn serve(client: &TcpStream, store: u16, state: &State) -> io::Result<()> {
    let mut from = BufReader::new(client);
    let mut to = client;
    while let Some(mut head) = head(&mut from)? {
        if head.headers.get("expect").is_some_and(|expect| expect == "100-continue") {
            to.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            head.raw.retain(|line| !line.to_ascii_lowercase().starts_with(b"expect:"));
        }
        let body = body(&mut from, &head)?;
        head.line = head.line.rsplit_once(' ').map_or("", |(asked, _)| asked).to_owned();
        let fate = state.fate_of(&head.line, &head.headers);
        match fate {
            Some(Fate::HangUp) => {
                state.note(&head, &body, 0);
                return Ok(());
            }
            Some(Fate::HoldRequest) => state.hold(&head.line),
            Some(Fate::Answer(status, code)) => {
                state.note(&head, &body, status);
                to.write_all(&answer(status, code))?;
                continue;
            }
            Some(Fate::Without(name)) => {
                let begin = format!("{name}:");
                head.raw.retain(|line| !line.to_ascii_lowercase().starts_with(begin.as_bytes()));
            }
            Some(Fate::LoseReply | Fate::HoldReply) | None => {}
        }
        let (status, reply) = ask(store, &head, &body)?;
        state.note(&head, &body, status);
        match fate {
            Some(Fate::LoseReply) => return Ok(()),
            Some(Fate::HoldReply) => state.hold(&head.line),
            _ => {}
        }
        to.write_all(&reply)?;
    }
    Ok(())
}

/// Asks the store on a connection of its own; the reply is what it says until its end.
fn ask(store: u16, head: &Head, body: &[u8]) -> io::Result<(u16, Vec<u8>)> {
    let server = TcpStream::connect(("127.0.0.1", store))?;
    let mut to = &server;
    to.write_all(&[&head.raw.concat()[..], b"\r\n", body].concat())?;
    let mut from = BufReader::new(&server);
    let Some(answered) = crate::desk::head(&mut from)? else { return Err(io::ErrorKind::UnexpectedEof.into()) };
    let status = answered.line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let has_body = !head.line.starts_with("HEAD ") && !matches!(status, 204 | 304);
    let body = if has_body { self::body(&mut from, &answered)? } else { Vec::new() };
    Ok((status, [&answered.raw.concat()[..], b"\r\n", &body].concat()))
}

fn head(from: &mut impl io::BufRead) -> io::Result<Option<Head>> {
    let (mut raw, mut headers, mut first) = (Vec::new(), BTreeMap::new(), None);
    loop {
        let mut line = Vec::new();
        if from.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        if text.is_empty() {
            break;
        }
        match text.split_once(':') {
            Some((name, value)) if first.is_some() => {
                headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
            }
            _ => first = first.or(Some(text)),
        }
        raw.push(line);
    }
    Ok(first.map(|line| Head { line, headers, raw }))
}

/// A body as it stands on the wire.
fn body(from: &mut impl io::BufRead, head: &Head) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if head.headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked") {
        loop {
            let mut line = Vec::new();
            from.read_until(b'\n', &mut line)?;
            let size = String::from_utf8_lossy(&line).trim().to_owned();
            let size = u64::from_str_radix(&size, 16).map_err(io::Error::other)?;
            body.extend(line);
            // The chunk, and the end of its line.
            from.take(size + 2).read_to_end(&mut body)?;
            if size == 0 {
                return Ok(body);
            }
        }
    }
    let length = head.headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    from.take(length).read_to_end(&mut body)?;
    Ok(body)
}

fn answer(status: u16, code: &str) -> Vec<u8> {
    let body =
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>as the story wants it</Message></Error>");
    let length = body.len();
    format!("HTTP/1.1 {status} Story\r\ncontent-type: application/xml\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

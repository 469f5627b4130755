//! `tidegate top`: the live view of the running agent.
//!
//! What is wrong stands above all, worst first; below, each instrument with its last value, quality, age and trend, and each sink with what it
//! lacks. Once a second. Enter shows all of an instrument, with the bytes of its line as they go, or of a sink; Tab goes between the two;
//! `c` shows what was looked at and what to do about it, `p` stands still, `?` names the keys, `q` goes back and out.
//!
//! Fits any terminal: columns go in a fixed order where there is no room, on a high screen each quantity has a line. `NO_COLOR` and a locale
//! without UTF-8 are honoured; nothing is said by colour alone. Only what changed is sent, at most some hundred bytes a second. An agent that goes
//! away is said so, its last picture stays, and it is asked again.
//!
//! Exit 0, 64 where there is no terminal (`tidegate status` is for that), 69 when no agent answers at the start.

mod feed;
mod keys;
mod model;
mod place;
mod spark;
mod terminal;
mod view;

use std::io::{self, IsTerminal as _, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ::model::Timestamp;
use anyhow::Context as _;
use rustix::process::{Signal, kill_current_process_group};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use self::feed::{News, Past, Wants};
use self::keys::{Key, Keys};
use self::model::Watched;
use self::place::{Act, Page, Place};
use self::terminal::Terminal;
use self::view::Look;
use super::{Exit, screen, small_runtime};
use crate::clock::Clock;
use crate::config::Config;

/// News that wait; who brings them waits, too.
const NEWS_MAX: usize = 64;
/// What was typed and waits.
const TYPED_MAX: usize = 16;
/// After an Esc that is one of its own nothing follows so soon, also on a slow line.
const ESC_ALONE: Duration = Duration::from_millis(150);
/// How long a stop takes to come. Where none comes there is no shell to go back to.
const STOP_WITHIN: Duration = Duration::from_millis(300);
/// How far back trends begin, and records that are asked for: of all instruments, and of one.
const PAST_MILLIS: i64 = 3_600_000;
const PAST_RECORDS: usize = 3_000;
const PAST_RECORDS_OF_ONE: usize = 1_000;

pub fn main(config: &Arc<Config>) -> anyhow::Result<Exit> {
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    if is_dumb || !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        eprintln!("tidegate: `top` wants a terminal: use `status`, or `status --json` in a script");
        return Ok(Exit::Usage);
    }
    let socket = &config.local.socket;
    small_runtime()?.block_on(async {
        let (clock, first) = (Clock::of_this_boot(), feed::status(socket).await?);
        let watched = Watched::new(first, clock.now(), clock.mono_ms());
        watch_it(socket, clock, watched).await
    })?;
    Ok(Exit::Fine)
}

/// Whether the locale has more than ASCII (locale(7): the first of these that is set says so).
fn is_utf8() -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(std::env::var_os).find(|value| !value.is_empty());
    set.is_some_and(|locale| {
        let locale = locale.to_string_lossy().to_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

async fn watch_it(socket: &Path, clock: Clock, watched: Watched) -> anyhow::Result<()> {
    let (tell, wants) = watch::channel(Wants::default());
    let (send, news) = mpsc::channel(NEWS_MAX);
    let look = Look { is_coloured: screen::is_coloured(&io::stdout()), is_utf8: is_utf8() };
    let typed = keyboard()?;
    let terminal = Terminal::take().context("take the terminal")?;
    let mut top = Top { terminal, clock, watched, place: Place::default(), look, tell };
    tokio::select! {
        ended = top.run(typed, news) => ended,
        () = feed::run(socket, wants, send) => Ok(()),
    }
}

/// What is typed, read by a thread of its own: a terminal is no socket.
fn keyboard() -> io::Result<mpsc::Receiver<Vec<u8>>> {
    let (send, typed) = mpsc::channel(TYPED_MAX);
    std::thread::Builder::new().name("keyboard".to_owned()).spawn(move || {
        let mut bytes = [0; 64];
        // At the end of it the channel closes: the terminal is gone.
        while let Ok(count @ 1..) = io::stdin().lock().read(&mut bytes) {
            if send.blocking_send(bytes[..count].to_vec()).is_err() {
                return;
            }
        }
    })?;
    Ok(typed)
}

struct Top {
    terminal: Terminal,
    clock: Clock,
    watched: Watched,
    place: Place,
    look: Look,
    tell: watch::Sender<Wants>,
}

impl Top {
    async fn run(&mut self, mut typed: mpsc::Receiver<Vec<u8>>, mut news: mpsc::Receiver<News>) -> anyhow::Result<()> {
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let (mut hup, mut resized) = (signal(SignalKind::hangup())?, signal(SignalKind::window_change())?);
        let mut continued = signal(SignalKind::from_raw(Signal::CONT.as_raw()))?;
        let mut keys = Keys::default();
        self.want();
        self.show()?;
        loop {
            let pressed = tokio::select! {
                _ = term.recv() => return Ok(()),
                _ = int.recv() => return Ok(()),
                _ = hup.recv() => return Ok(()),
                _ = resized.recv() => Vec::new(),
                // Whoever had the terminal meanwhile has written on it.
                _ = continued.recv() => vec![Key::Redraw],
                bytes = typed.recv() => match bytes {
                    Some(bytes) => keys.take(&bytes),
                    None => return Ok(()),
                },
                () = sleep(ESC_ALONE), if keys.is_begun() => keys.rest().into_iter().collect(),
                news = news.recv() => {
                    let Some(news) = news else { return Ok(()) };
                    if !self.hear(news) {
                        continue;
                    }
                    Vec::new()
                }
            };
            for key in pressed {
                match self.place.press(key, &self.watched) {
                    Act::Show => {}
                    Act::Leave => return Ok(()),
                    Act::Redraw => self.terminal.again()?,
                    Act::Suspend => {
                        self.terminal.give_back();
                        kill_current_process_group(Signal::TSTP)?;
                        timeout(STOP_WITHIN, continued.recv()).await.ok();
                        self.terminal.again()?;
                    }
                }
            }
            self.want();
            self.show()?;
        }
    }

    /// Takes in what has come; whether it is worth a new picture.
    fn hear(&mut self, news: News) -> bool {
        if self.place.is_paused {
            return false;
        }
        match news {
            News::Status(status) => self.watched.take(*status, self.clock.now(), self.clock.mono_ms()),
            News::Away(why) => self.watched.lose(why, self.clock.now()),
            News::Past(rows) => self.watched.remember(rows),
            // With the next status: what moves all the time would be sent all the time.
            News::Frame(frame) => {
                self.watched.hear(frame);
                return false;
            }
            News::Note(words) => self.watched.note = Some(words),
        }
        true
    }

    /// Says what is to be asked for beside the status.
    fn want(&mut self) {
        let shown = self.watched.instrument(self.place.instrument.as_deref());
        let shown = shown.filter(|_| self.place.page == Page::Instrument);
        let past = |instrument: Option<String>, last: Timestamp, n: usize| Past {
            instrument,
            since: last.plus_millis(-PAST_MILLIS),
            until: last.plus_millis(1),
            n,
        };
        let wants = match shown {
            None => {
                let before = self.tell.borrow().past.clone();
                let is_first = before.is_none();
                let all = is_first.then(|| past(None, self.watched.taken, PAST_RECORDS));
                Wants { bus: None, past: before.or(all) }
            }
            Some(instrument) => {
                let before = self.tell.borrow().past.clone();
                let is_asked = before.as_ref().is_some_and(|past| past.instrument.as_ref() == Some(&instrument.id));
                let last = instrument.last_reading_at.filter(|_| !is_asked);
                let this = last.map(|last| past(Some(instrument.id.clone()), last, PAST_RECORDS_OF_ONE));
                Wants { bus: Some(instrument.bus.clone()), past: this.or(before) }
            }
        };
        let is_other_line = wants.bus != self.tell.borrow().bus;
        if self.tell.send_if_modified(|told| std::mem::replace(told, wants.clone()) != wants) && is_other_line {
            self.watched.listen();
        }
    }

    fn show(&mut self) -> io::Result<()> {
        let (picture, over) = view::draw(&self.watched, &self.place, self.look, Terminal::size());
        self.place.scroll = self.place.scroll.min(over);
        self.terminal.show(picture)
    }
}

//! Where somebody is who watches: which page, which line, and what a key does there.

use std::collections::BTreeMap;

use super::keys::Key;
use super::model::{Watched, foremost};

/// Lines of a page up or down.
const PAGE: usize = 8;

/// What is on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// All instruments and sinks.
    All,
    /// One instrument.
    Instrument,
    /// One sink.
    Sink,
    /// What was looked at, and what to do about it.
    Checks,
    /// The keys.
    Help,
}

/// The list that the arrows move in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// Instruments.
    Instruments,
    /// Sinks.
    Sinks,
}

/// What a key asks of the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Show it.
    Show,
    /// Show all of it anew.
    Redraw,
    /// Go to the background.
    Suspend,
    /// End.
    Leave,
}

/// Where somebody is.
#[derive(Debug)]
pub struct Place {
    /// The page.
    pub page: Page,
    /// The list.
    pub list: List,
    /// The instrument that is selected; none: the first.
    pub instrument: Option<String>,
    /// The sink that is selected; none: the first.
    pub sink: Option<String>,
    /// Which quantity stands for an instrument, where somebody chose.
    pub chosen: BTreeMap<String, String>,
    /// Lines that are passed over.
    pub scroll: usize,
    /// Whether the picture stands still.
    pub is_paused: bool,
    before: Page,
}

impl Default for Place {
    fn default() -> Self {
        Self::at(Page::All)
    }
}

impl Place {
    /// On a page, with nothing chosen.
    pub fn at(page: Page) -> Self {
        Self {
            page,
            list: List::Instruments,
            instrument: None,
            sink: None,
            chosen: BTreeMap::new(),
            scroll: 0,
            is_paused: false,
            before: Page::All,
        }
    }

    /// Does what a key says.
    pub fn press(&mut self, key: Key, watched: &Watched) -> Act {
        match key {
            Key::Leave => return Act::Leave,
            Key::Suspend => return Act::Suspend,
            Key::Redraw => return Act::Redraw,
            Key::Back => match self.page {
                Page::All => return Act::Leave,
                Page::Checks | Page::Help => self.go(self.before),
                Page::Instrument | Page::Sink => self.go(Page::All),
            },
            Key::Pause => self.is_paused = !self.is_paused,
            Key::Checks => self.aside(Page::Checks),
            Key::Help => self.aside(Page::Help),
            Key::Up => self.step(watched, -1),
            Key::Down => self.step(watched, 1),
            Key::PageUp => self.step(watched, -isize::try_from(PAGE).unwrap_or(1)),
            Key::PageDown => self.step(watched, isize::try_from(PAGE).unwrap_or(1)),
            Key::Home => self.step(watched, isize::MIN),
            Key::End => self.step(watched, isize::MAX),
            Key::Left => self.aside_step(watched, -1),
            Key::Right => self.aside_step(watched, 1),
            Key::Tab => self.other_list(),
            Key::Enter if self.page == Page::All => self.go(match self.list {
                List::Instruments => Page::Instrument,
                List::Sinks => Page::Sink,
            }),
            Key::Enter => {}
        }
        Act::Show
    }

    fn go(&mut self, page: Page) {
        (self.page, self.scroll) = (page, 0);
    }

    /// A page that goes away again.
    fn aside(&mut self, page: Page) {
        if self.page == page {
            return self.go(self.before);
        }
        if !matches!(self.page, Page::Checks | Page::Help) {
            self.before = self.page;
        }
        self.go(page);
    }

    fn other_list(&mut self) {
        self.list = match self.list {
            List::Instruments => List::Sinks,
            List::Sinks => List::Instruments,
        };
        match self.page {
            Page::Instrument => self.go(Page::Sink),
            Page::Sink => self.go(Page::Instrument),
            Page::All | Page::Checks | Page::Help => {}
        }
    }

    fn step(&mut self, watched: &Watched, by: isize) {
        match (self.page, self.list) {
            (Page::All, List::Instruments) => self.next_instrument(watched, by),
            (Page::All, List::Sinks) => self.next_sink(watched, by),
            _ => self.scroll = self.scroll.saturating_add_signed(by),
        }
    }

    /// Sideways: among the quantities of an instrument, or on its page, and on a sink's, to the next one.
    fn aside_step(&mut self, watched: &Watched, by: isize) {
        match self.page {
            Page::All => self.choose(watched, by),
            Page::Instrument => {
                self.scroll = 0;
                self.next_instrument(watched, by);
            }
            Page::Sink => {
                self.scroll = 0;
                self.next_sink(watched, by);
            }
            Page::Checks | Page::Help => {}
        }
    }

    fn next_instrument(&mut self, watched: &Watched, by: isize) {
        let ids: Vec<&str> = watched.instruments().iter().map(|instrument| instrument.id.as_str()).collect();
        self.instrument = moved(&ids, self.instrument.as_deref(), by);
    }

    fn next_sink(&mut self, watched: &Watched, by: isize) {
        let ids: Vec<&str> = watched.status.sinks.iter().map(|sink| sink.id.as_str()).collect();
        self.sink = moved(&ids, self.sink.as_deref(), by);
    }

    fn choose(&mut self, watched: &Watched, by: isize) {
        let Some(instrument) = watched.instrument(self.instrument.as_deref()) else { return };
        let names: Vec<&str> = instrument.values.keys().map(String::as_str).collect();
        let now = foremost(instrument, self.chosen.get(&instrument.id).map(String::as_str));
        if let Some(name) = moved(&names, now.map(|(name, _)| name.as_str()), by) {
            self.chosen.insert(instrument.id.clone(), name);
        }
    }
}

/// The one that is so many further, at most the first and the last.
fn moved(names: &[&str], now: Option<&str>, by: isize) -> Option<String> {
    let at = names.iter().position(|name| Some(*name) == now).unwrap_or(0);
    let at = at.saturating_add_signed(by).min(names.len().checked_sub(1)?);
    Some(names[at].to_owned())
}

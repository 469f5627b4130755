//! `tail`: records from the journal as NDJSON, the same from the daemon and from a journal at rest.
//!
//! A step at a time: what is looked for may be far back, and who answers has others to answer in between.

use std::fmt::Write as _;

use journal::{JournalError, Reader};
use model::{EventKind, InstrumentId, Numbered, Quality, QuantityId, Record, Row, Seq, SeqRange, Timestamp};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::config::{AGENT_INSTRUMENT, Config, nearest};

/// Records read at once.
const READ_RECORDS_MAX: usize = 512;
/// The first step back, and the longest: the last ten of forty million cost as much as the last ten of a hundred.
const STEP_FIRST: u64 = 64;
const STEP_MAX: u64 = 16_384;
/// Records shown without `-n` and `--since`.
const SHOWN_DEFAULT: usize = 10;
/// The most that `-n` shows: they are held in memory while the ones before are looked for.
pub const SHOWN_MAX: usize = 100_000;

/// What to show. As a query string: lists have commas.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Query {
    /// Only what is of these instruments; empty: of all.
    #[serde(deserialize_with = "names")]
    pub instrument: Vec<String>,
    /// Only what is of these quantities; empty: of all.
    #[serde(deserialize_with = "names")]
    pub quantity: Vec<String>,
    /// Only readings of these qualities; empty: whatever there is.
    #[serde(deserialize_with = "qualities")]
    pub quality: Vec<Quality>,
    /// Only events.
    pub events: bool,
    /// Only events of these kinds; empty: of all.
    #[serde(deserialize_with = "kinds")]
    pub event: Vec<EventKind>,
    /// Only from this time on.
    pub since: Option<Timestamp>,
    /// Only what was before this time.
    pub until: Option<Timestamp>,
    /// The last so many.
    pub n: Option<usize>,
    /// Only among the last so many records: what is seldom may lie forty million records back.
    pub look: Option<u64>,
    /// Go on with what comes.
    pub follow: bool,
}

fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(text.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect())
}

fn qualities<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Quality>, D::Error> {
    let known = |word: &String| Quality::ALL.into_iter().find(|quality| quality.as_str() == word.as_str());
    words(deserializer, "quality", known)
}

fn kinds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<EventKind>, D::Error> {
    words(deserializer, "kind of event", |word| EventKind::from_word(word))
}

fn words<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    what: &str,
    known: impl Fn(&String) -> Option<T>,
) -> Result<Vec<T>, D::Error> {
    let known = |word: &String| known(word).ok_or_else(|| D::Error::custom(format!("there is no {what} {word:?}")));
    names(deserializer)?.iter().map(known).collect()
}

impl Query {
    /// The question as the socket takes it.
    pub fn path(&self) -> String {
        let mut path = format!("/v1/tail?follow={}&events={}", self.follow, self.events);
        let mut list = |name: &str, words: Vec<&str>| {
            if !words.is_empty() {
                let words: Vec<String> = words.into_iter().map(escaped).collect();
                write!(path, "&{name}={}", words.join(",")).expect("a String takes any text");
            }
        };
        list("instrument", self.instrument.iter().map(String::as_str).collect());
        list("quantity", self.quantity.iter().map(String::as_str).collect());
        list("quality", self.quality.iter().map(|quality| quality.as_str()).collect());
        list("event", self.event.iter().map(|kind| kind.as_str()).collect());
        for (name, time) in [("since", self.since), ("until", self.until)] {
            if let Some(time) = time {
                write!(path, "&{name}={time}").expect("a String takes any text");
            }
        }
        if let Some(n) = self.n {
            write!(path, "&n={n}").expect("a String takes any text");
        }
        if let Some(look) = self.look {
            write!(path, "&look={look}").expect("a String takes any text");
        }
        path
    }

    fn wants(&self, numbered: &Numbered) -> bool {
        let is_among = |names: &[String], name: Option<&str>| {
            names.is_empty() || name.is_some_and(|name| names.iter().any(|wanted| wanted == name))
        };
        match &numbered.record {
            Record::Reading(reading) => {
                !self.events
                    && self.event.is_empty()
                    && (self.quality.is_empty() || self.quality.contains(&reading.quality))
                    && is_among(&self.instrument, Some(reading.series.instrument.as_str()))
                    && is_among(&self.quantity, Some(reading.series.quantity.as_str()))
            }
            Record::Event(event) => {
                self.quality.is_empty()
                    && (self.event.is_empty() || self.event.contains(&event.kind))
                    && is_among(&self.instrument, event.instrument.as_ref().map(InstrumentId::as_str))
                    && is_among(&self.quantity, event.quantity.as_ref().map(QuantityId::as_str))
            }
        }
    }

    /// What is wrong with a question that nothing answers: a name that the configuration does not have, and the one that
    /// may have been meant. A name that only the journal still has is right, and finds something.
    pub fn unknown(&self, config: &Config) -> Option<String> {
        let instruments = || config.buses.iter().flat_map(|bus| &bus.instruments);
        let known: Vec<String> =
            instruments().map(|instrument| instrument.id.to_string()).chain([AGENT_INSTRUMENT.to_owned()]).collect();
        if let Some(name) = self.instrument.iter().find(|name| !known.contains(name)) {
            return Some(no("instrument", name, &known));
        }
        let is_meant = |id: &str| self.instrument.is_empty() || self.instrument.iter().any(|name| name == id);
        let known: Vec<String> = instruments()
            .filter(|instrument| is_meant(instrument.id.as_str()))
            .flat_map(|instrument| &instrument.quantities)
            .map(|quantity| quantity.series.quantity.to_string())
            .collect();
        // What the agent measures of itself stands in no configuration.
        let is_ours = self.instrument.iter().any(|name| name == AGENT_INSTRUMENT);
        let name = self.quantity.iter().find(|name| !known.contains(name)).filter(|_| !is_ours)?;
        Some(no("quantity", name, &known))
    }
}

/// Names hold nothing that a query string would have to escape; what somebody typed instead of one may.
fn escaped(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    word.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn no(what: &str, name: &str, known: &[String]) -> String {
    match nearest(name, known) {
        Some(meant) => format!("there is no {what} {name:?}; is \"{meant}\" meant?"),
        None => {
            let mut known = known.to_vec();
            known.sort_unstable();
            known.dedup();
            format!("there is no {what} {name:?}; there are {}", known.join(", "))
        }
    }
}

/// A question under way.
#[derive(Debug)]
pub struct Tail {
    query: Query,
    /// What was not looked at yet.
    within: SeqRange,
    /// Where what comes later begins.
    end: Seq,
    way: Way,
}

/// How it is answered.
#[derive(Debug)]
enum Way {
    /// The last so many: from the end back, and out when all are found.
    Back { limit: usize, step: u64, found: Vec<Vec<u8>> },
    /// What was found, the oldest last.
    Out(Vec<Vec<u8>>),
    /// All of it: from the beginning on, and out as it is found.
    On,
}

impl Tail {
    /// Begins with what is there.
    pub fn begin(reader: &Reader, query: Query) -> Result<Self, JournalError> {
        let (tail, head) = (reader.tail(), reader.head());
        let find = |time: Option<Timestamp>, default: Seq| time.map_or(Ok(default), |time| reader.find_time(time));
        let look = query.look.map_or(tail, |look| Seq(head.0.saturating_sub(look)));
        let first = find(query.since, tail)?.max(look);
        let next = find(query.until, head)?.max(first);
        let back = |limit: usize| Way::Back { limit: limit.min(SHOWN_MAX), step: STEP_FIRST, found: Vec::new() };
        let way = match (query.since, query.n) {
            (Some(_), None) => Way::On,
            (_, n) => back(n.unwrap_or(SHOWN_DEFAULT)),
        };
        Ok(Self { query, within: SeqRange::new(first, next), end: next, way })
    }

    /// Where what comes later begins.
    pub fn end(&self) -> Seq {
        self.end
    }

    /// What it asks.
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// The next lines, oldest first; empty where it has to look further; none at the end.
    pub fn piece(&mut self, reader: &Reader) -> Result<Option<Vec<u8>>, JournalError> {
        match &mut self.way {
            Way::Out(found) => Ok(found.pop()),
            Way::On if self.within.is_empty() => Ok(None),
            Way::On => {
                let chunk = reader.read(self.within, READ_RECORDS_MAX)?;
                let next = if chunk.next > self.within.first { chunk.next } else { self.within.next };
                self.within = SeqRange::new(next.min(self.within.next), self.within.next);
                let wanted = chunk.records.iter().filter(|numbered| self.query.wants(numbered));
                Ok(Some(lines(wanted, reader)))
            }
            Way::Back { limit, step, found } => {
                if *limit == 0 || self.within.is_empty() {
                    self.way = Way::Out(std::mem::take(found));
                    return Ok(Some(Vec::new()));
                }
                let start = Seq(self.within.next.0.saturating_sub(*step)).max(self.within.first);
                let part = wanted(reader, &self.query, SeqRange::new(start, self.within.next))?;
                let part = &part[part.len().saturating_sub(*limit)..];
                *limit -= part.len();
                *step = (*step * 2).min(STEP_MAX);
                self.within = SeqRange::new(self.within.first, start);
                if !part.is_empty() {
                    found.push(lines(part.iter(), reader));
                }
                Ok(Some(Vec::new()))
            }
        }
    }
}

fn wanted(reader: &Reader, query: &Query, within: SeqRange) -> Result<Vec<Numbered>, JournalError> {
    let (mut out, mut next) = (Vec::new(), within.first);
    while next < within.next {
        let chunk = reader.read(SeqRange::new(next, within.next), READ_RECORDS_MAX)?;
        if chunk.next <= next {
            break;
        }
        out.extend(chunk.records.into_iter().filter(|numbered| query.wants(numbered)));
        next = chunk.next;
    }
    Ok(out)
}

/// All that is there already, oldest first.
pub fn past(reader: &Reader, query: Query) -> Result<Vec<u8>, JournalError> {
    let (mut tail, mut out) = (Tail::begin(reader, query)?, Vec::new());
    while let Some(piece) = tail.piece(reader)? {
        out.extend(piece);
    }
    Ok(out)
}

/// What has become durable since `from`, a bounded piece of it, and where to go on.
pub fn since(reader: &Reader, query: &Query, from: Seq) -> Result<(Vec<u8>, Seq), JournalError> {
    let from = from.max(reader.tail());
    let chunk = reader.read(SeqRange::new(from, reader.head()), READ_RECORDS_MAX)?;
    let out = lines(chunk.records.iter().filter(|numbered| query.wants(numbered)), reader);
    Ok((out, chunk.next.max(from)))
}

fn lines<'a>(records: impl Iterator<Item = &'a Numbered>, reader: &Reader) -> Vec<u8> {
    let (epoch, mut out) = (reader.epoch(), Vec::new());
    for numbered in records {
        let row = Row { numbered, epoch: epoch.as_ref() };
        serde_json::to_writer(&mut out, &row).expect("a row is plain data and a Vec takes it");
        out.push(b'\n');
    }
    out
}

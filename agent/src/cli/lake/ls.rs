//! `tidegate lake ls [LAKE]`: the objects that hold what is asked for, in replay order. A line each: the earliest and the
//! latest time, rows, size, instruments, key; with `--json` the manifest lines as they stand. No object is opened.
//!
//! An object that may hold it is listed: a manifest line says which series and which qualities there are, not which
//! reading has which. Exit 1 if a manifest on the way can not be read: what it lists is not seen.

use std::io::{BufWriter, Write as _};

use lake::{Entry, Home};

use super::{Asked, today};
use crate::cli::{Exit, screen};
use crate::sinks::lake::reading;

pub async fn ls(asked: &Asked, is_json: bool) -> anyhow::Result<Exit> {
    let Asked { lake, home, query } = asked;
    let (catalogue, (from, to)) = reading::catalogue(&lake.shelf, home, query, today()).await?;
    let selected = catalogue.select(query);
    let mut out = BufWriter::new(std::io::stdout().lock());
    for entry in &selected {
        if is_json {
            writeln!(out, "{}", entry.text)?;
        } else {
            writeln!(out, "{}", for_people(entry, home))?;
        }
    }
    out.flush()?;
    let rows: u64 = selected.iter().map(|entry| entry.line.rows).sum();
    let bytes = screen::bytes(selected.iter().map(|entry| entry.line.bytes).sum());
    eprintln!(
        "{} objects, {rows} rows, {bytes}; uploaded {from} to {to}, {} requests",
        selected.len(),
        lake.shelf.requests()
    );
    for finding in &catalogue.findings {
        eprintln!("tidegate: {}", screen::harmless(&finding.to_string()));
    }
    Ok(if catalogue.findings.is_empty() { Exit::Fine } else { Exit::NotFine })
}

fn for_people(entry: &Entry, home: &Home) -> String {
    let line = &entry.line;
    let mut instruments: Vec<&str> = line.instruments.iter().map(|series| series.instrument.as_str()).collect();
    instruments.dedup();
    let key = home.place_of(line).unwrap_or_else(|| screen::harmless(&line.key));
    let (from, to, rows, bytes) = (line.time_min, line.time_max, line.rows, screen::bytes(line.bytes));
    format!("{from}  {to}  {rows:>7} rows  {bytes:>10}  {}  {key}", instruments.join(","))
}

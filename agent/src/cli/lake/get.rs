//! `tidegate lake get [LAKE]`: rows as NDJSON, the objects that leave the device, in the order of the journal: a replay.
//!
//! Only the objects that may hold what is asked for are read. Each is held against its manifest line first, size and
//! SHA-256; one that is missing or altered is named, left out, and makes the exit code 1. Whether the lake is whole is
//! what `verify` says. A row that two objects hold comes once. Where an instrument, a quantity or a quality is asked
//! for, events are left out.

use std::collections::HashMap;
use std::io::{BufWriter, Write as _};

use futures_util::{StreamExt, TryStreamExt, stream};
use lake::{RowJson, open_object};
use model::{Epoch, Seq};

use super::{Asked, today};
use crate::cli::{Exit, screen};

/// Objects that are fetched ahead: a few megabytes each.
const OBJECTS_AT_ONCE: usize = 4;
use crate::sinks::lake::reading;

pub async fn get(asked: &Asked) -> anyhow::Result<Exit> {
    let Asked { lake, home, query } = asked;
    let (catalogue, _) = reading::catalogue(&lake.shelf, home, query, today()).await?;
    let mut findings = catalogue.findings.clone();
    let fetch = |entry: &'_ lake::Entry| {
        let line = entry.line.clone();
        async move { reading::object(&lake.shelf, home, &line).await.map(|bytes| (line, bytes)) }
    };
    let mut objects = stream::iter(catalogue.select(query)).map(fetch).buffered(OBJECTS_AT_ONCE);
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut next: HashMap<Epoch, Seq> = HashMap::new();
    while let Some((line, bytes)) = objects.try_next().await? {
        let rows = match bytes.and_then(|bytes| open_object(&line, &bytes)) {
            Ok(rows) => rows,
            Err(finding) => {
                findings.push(finding);
                continue;
            }
        };
        let next = next.entry(line.epoch.clone()).or_insert(line.first);
        for row in rows.iter().filter(|row| row.seq >= *next && query.wants(row)) {
            serde_json::to_writer(&mut out, &RowJson { row, epoch: &line.epoch }).map_err(std::io::Error::from)?;
            out.write_all(b"\n")?;
        }
        *next = line.next.max(*next);
    }
    out.flush()?;
    for finding in &findings {
        eprintln!("tidegate: {}", screen::harmless(&finding.to_string()));
    }
    Ok(if findings.is_empty() { Exit::Fine } else { Exit::NotFine })
}

//! `tidegate lake rebuild [LAKE]`: makes the catalogue again from the objects, where manifests were lost or damaged.
//!
//! Every device in the lake, or the one of `--site` and `--device`. This lists the lake, which nothing else does. A line
//! that is there stays; one is made for each object that no line names, from what the object says, with `rebuilt` and the
//! time at which the object came to lie there. `verify` then holds the objects against them as against any line, and says
//! how many were made again: the hash chain does not go through those. A manifest that can not be read is put aside
//! first. Again changes nothing. To have a line made that is there and wrong, take its manifest away.
//!
//! Exit 0: every object has its line; 1: an object that can not be read is named.

use std::collections::{BTreeMap, HashSet};
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use clap::Args as ClapArgs;
use futures_util::{StreamExt, TryStreamExt, stream};
use lake::{Catalogue, Entry, Finding, Home, ManifestLine, ObjectKey, link_rebuilt, rebuild as rebuilt};
use model::{Day, Timestamp};
use serde_json::json;
use tokio::task::block_in_place;

use super::listing::{self, Part};
use super::place::{self, Lake};
use super::{Device, Store};
use crate::cli::{Exit, screen, untrusted};
use crate::config::Config;
use crate::sinks::lake::manifest::Standing;
use crate::sinks::lake::reading;
use crate::sinks::lake::shelf::{Found, ShelfError};
use crate::telemetry::logs::chain;

/// Objects that are read at once: a few megabytes each.
const OBJECTS_AT_ONCE: usize = 4;

/// Which lake.
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[arg(help = "A sink's name, a folder or s3://bucket/prefix/ [default: the only s3 or file sink]")]
    pub(super) lake: Option<String>,
    #[command(flatten)]
    device: Device,
    #[command(flatten)]
    store: Store,
}

pub async fn rebuild(args: &Args, config: Option<&Config>, is_json: bool) -> anyhow::Result<Exit> {
    let lake = place::find(args.lake.as_deref(), args.store.endpoint.as_deref(), config)?;
    let mut sum = Sum::default();
    for part in listing::parts(&lake, args.device.site.as_ref(), args.device.device.as_ref()).await? {
        make_again(&lake, &part, &mut sum, is_json).await?;
    }
    let Sum { objects, made, findings } = sum;
    let mut out = std::io::stdout().lock();
    if is_json {
        let requests = lake.shelf.requests();
        let sum =
            json!({"ok": findings == 0, "objects": objects, "made": made, "findings": findings, "requests": requests});
        writeln!(out, "{sum}")?;
    } else {
        writeln!(out, "{objects} objects, {made} manifest lines made again, {findings} findings")?;
    }
    Ok(if findings == 0 { Exit::Fine } else { Exit::NotFine })
}

#[derive(Default)]
struct Sum {
    objects: usize,
    made: usize,
    findings: usize,
}

/// Makes one device's lines.
async fn make_again(lake: &Lake, part: &Part, sum: &mut Sum, is_json: bool) -> anyhow::Result<()> {
    let home = &part.home;
    let mut catalogue = Catalogue::default();
    reading::add_days(&lake.shelf, home, &part.days, &mut catalogue).await?;
    let named: HashSet<String> = catalogue.entries().filter_map(|entry| home.place_of(&entry.line)).collect();
    let unnamed = part.objects.iter().filter(|(key, _)| !named.contains(&key.to_string()));
    let read = |(key, modified): (ObjectKey, Timestamp)| async move {
        let line = line_of(lake, &key).await?;
        Ok::<_, ShelfError>(line.map(|line| (line, modified)))
    };
    let mut lines = Vec::new();
    let mut read = stream::iter(unnamed.cloned().collect::<Vec<_>>()).map(read).buffered(OBJECTS_AT_ONCE);
    while let Some(line) = read.try_next().await? {
        match line {
            Ok(line) => lines.push(line),
            Err(finding) => {
                sum.findings += 1;
                screen::finding(&finding, is_json)?;
            }
        }
    }
    sum.objects += part.objects.len();
    let written: Vec<Entry> = catalogue.entries().cloned().collect();
    let mut by_day: BTreeMap<Day, Vec<Entry>> = BTreeMap::new();
    for entry in link_rebuilt(&written, lines)? {
        let day = entry.line.uploaded_at.map_or(entry.line.time_min, |at| at).day();
        by_day.entry(day).or_default().push(entry);
    }
    for (day, entries) in by_day {
        sum.made += join(lake, home, day, &entries).await?;
    }
    Ok(())
}

async fn join(lake: &Lake, home: &Home, day: Day, entries: &[Entry]) -> anyhow::Result<usize> {
    let mut standing = Standing::read(&lake.shelf, &home.manifest_key(day)).await?;
    Ok(standing.join(&lake.shelf, home, day, entries).await?)
}

/// What an object says of itself.
async fn line_of(lake: &Lake, key: &ObjectKey) -> Result<Result<ManifestLine, Finding>, ShelfError> {
    let name = key.to_string();
    Ok(match lake.shelf.get(&name, reading::OBJECT_BYTES_MAX).await? {
        Found::Bytes(bytes, _) => block_in_place(|| told(&name, &bytes))
            .map_err(|reason| Finding::Unreadable { key: name, reason: screen::harmless(&reason) }),
        // It was taken away meanwhile.
        Found::Nothing => Err(Finding::ObjectMissing { key: name }),
        Found::Larger(size) => {
            Err(Finding::Unreadable { key: name, reason: format!("{size} bytes are more than any object has") })
        }
    })
}

/// Has a process of its own read the object: no digest says that its bytes are what was written, and the Parquet library
/// panics on some damaged files.
fn told(key: &str, bytes: &[u8]) -> Result<ManifestLine, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command.args(["lake", "line", key]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let mut input = child.stdin.take().ok_or("no pipe")?;
    // One that ends before it has read all says why by itself.
    let fed = input.write_all(bytes);
    drop(input);
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    match ManifestLine::parse(text.trim_end()) {
        Ok(line) if output.status.success() => fed.map(|()| line).map_err(|error| error.to_string()),
        _ if output.status.code().is_some() => Err(text.trim_end().to_owned()),
        _ => Err("reading it ends in a crash: it is damaged".to_owned()),
    }
}

/// The other side of [`told`]: the object is on standard input; its line, or why there is none, goes to standard output.
pub fn tell(args: &LineArgs) -> anyhow::Result<Exit> {
    untrusted::bounds()?;
    let key = ObjectKey::parse(&args.key)?;
    let mut bytes = Vec::new();
    std::io::stdin().lock().take(reading::OBJECT_BYTES_MAX).read_to_end(&mut bytes)?;
    match rebuilt(&key, &bytes) {
        Ok(line) => {
            println!("{}", line.to_text()?);
            Ok(Exit::Fine)
        }
        Err(error) => {
            println!("{}", chain(&error));
            Ok(Exit::NotFine)
        }
    }
}

/// Which object.
#[derive(Debug, ClapArgs)]
pub struct LineArgs {
    key: String,
}

//! `tidegate config show [--origin]`: the configuration after all layers are joined, a line a key; with `--origin` the file
//! and line, variable, profile or remote revision that each value comes from. What is written nowhere has its default and
//! is not shown. `tidegate config diff`: what the revision that came from afar changes, against what stands on the device.
//! `tidegate config schema`: JSON Schema (2020-12) of all keys, for editors; `check` says more.
//!
//! All work offline and show no secrets: the configuration names files that hold them.

use std::io::Write;

use clap::{Args as ClapArgs, Subcommand};
use serde_json::json;

use super::Exit;
use crate::config::{Layers, ShownKey, keys_with, schema, shown, stage_of};

/// What to show.
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The configuration in force, a line a key
    Show {
        /// And where each value stands
        #[arg(long)]
        origin: bool,
    },
    /// What the revision that came from afar changes
    Diff,
    /// JSON Schema of the configuration, for editors
    Schema,
}

pub fn main(args: &Args, layers: &Layers, is_json: bool) -> anyhow::Result<Exit> {
    let mut out = std::io::stdout().lock();
    match args.what {
        What::Show { origin } => show(&mut out, &shown(layers), origin, is_json)?,
        What::Diff => diff(&mut out, layers, is_json)?,
        What::Schema => writeln!(out, "{:#}", schema())?,
    }
    Ok(Exit::Fine)
}

fn show(out: &mut impl Write, keys: &[ShownKey], has_origin: bool, is_json: bool) -> anyhow::Result<()> {
    if is_json {
        writeln!(out, "{}", serde_json::to_string(keys)?)?;
        return Ok(());
    }
    for ShownKey { key, value, origin, line } in keys {
        match (has_origin, line) {
            (false, _) => writeln!(out, "{key} = {value}")?,
            (true, Some(line)) => writeln!(out, "{key} = {value}  # {origin}:{line}")?,
            (true, None) => writeln!(out, "{key} = {value}  # {origin}")?,
        }
    }
    Ok(())
}

fn diff(out: &mut impl Write, layers: &Layers, is_json: bool) -> anyhow::Result<()> {
    let (stage, _) = stage_of(layers);
    let (before, after) = (keys_with(layers, None), keys_with(layers, stage.current()));
    let value = |keys: &[ShownKey], key: &str| keys.iter().find(|held| held.key == key).map(|held| held.value.clone());
    let mut names: Vec<&String> = before.iter().chain(&after).map(|held| &held.key).collect();
    names.sort();
    names.dedup();
    let changed: Vec<_> = names
        .into_iter()
        .map(|key| (key, value(&before, key), value(&after, key)))
        .filter(|(_, before, after)| before != after)
        .collect();
    let revision = stage.current().map(|revision| revision.revision.as_str());
    let is_confirmed = stage.trial.is_none();
    if is_json {
        let changed: Vec<_> =
            changed.iter().map(|(key, before, after)| json!({"key": key, "before": before, "after": after})).collect();
        writeln!(out, "{}", json!({"revision": revision, "confirmed": is_confirmed, "changes": changed}))?;
        return Ok(());
    }
    match revision {
        None => writeln!(out, "no revision came from afar: what stands on the device is in force")?,
        Some(revision) if is_confirmed => writeln!(out, "# revision {revision}, confirmed")?,
        Some(revision) => writeln!(out, "# revision {revision}, not confirmed yet")?,
    }
    for (key, before, after) in changed {
        if let Some(before) = before {
            writeln!(out, "- {key} = {before}")?;
        }
        if let Some(after) = after {
            writeln!(out, "+ {key} = {after}")?;
        }
    }
    Ok(())
}

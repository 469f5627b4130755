//! `tidegate check [FILE]`: validates a configuration, offline.
//!
//! Every problem is shown with file, line, column, the text and what would be right; exit 78. A good one is summed up;
//! exit 0. Ports, brokers and stores are not tried.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use serde_json::json;

use super::{Exit, screen};
use crate::config::{Config, Layers, load};

/// What to check.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// The file (default: that of --config)
    file: Option<PathBuf>,
}

impl Args {
    /// To check this file.
    pub fn of(file: &Path) -> Self {
        Self { file: Some(file.to_owned()) }
    }
}

pub fn main(args: &Args, default: &Path, is_json: bool) -> anyhow::Result<Exit> {
    let file = args.file.as_deref().unwrap_or(default);
    let checked = load(&Layers::of_process(file));
    let mut out = std::io::stdout().lock();
    match checked {
        Ok(config) if is_json => {
            writeln!(out, "{}", json!({"ok": true, "hash": config.hash, "problems": []}))?;
            Ok(Exit::Fine)
        }
        Ok(config) => {
            writeln!(out, "{}", summary(file, &config))?;
            Ok(Exit::Fine)
        }
        Err(error) if is_json => {
            writeln!(out, "{}", json!({"ok": false, "problems": error.located()}))?;
            Ok(Exit::Config)
        }
        Err(error) => {
            eprintln!("{}\n\n{error}", error.render(screen::is_coloured(&std::io::stderr())));
            Ok(Exit::Config)
        }
    }
}

fn summary(file: &Path, config: &Config) -> String {
    let instruments: usize = config.buses.iter().map(|bus| bus.instruments.len()).sum();
    let list = |items: Vec<String>| if items.is_empty() { "none".to_owned() } else { items.join(", ") };
    let buses = config.buses.iter().map(|bus| format!("{} ({})", bus.id, bus.port)).collect();
    let sinks = config.sinks.iter().map(|sink| format!("{} ({})", sink.id, sink.kind.as_str())).collect();
    let mut text = format!(
        "{} is right\ndevice {} at {}\nbuses  {}\nsinks  {}\n{instruments} instruments, journal in {}",
        file.display(),
        config.device.id,
        config.device.site,
        list(buses),
        list(sinks),
        config.journal.path.display(),
    );
    if config.sinks.is_empty() {
        text.push_str("\nnote: no sink is configured, readings stay in the journal");
    }
    text
}

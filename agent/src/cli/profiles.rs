//! `tidegate profiles [NAME]`: the instrument profiles that ship, and one of them whole.
//!
//! Without a name a line each: name, what it is, how it is talked to, its line, and whether bytes of a real unit were read
//! with it (`verified`) or only its manual. With a name the file as it is, to be copied into `profiles/` beside the
//! configuration and changed. `--json` gives the same as a list, or as one object with the text.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::Exit;
use super::screen::{self, Paint, paint};
use crate::config::{About, nearest_profile, shipped_profiles};

/// Which profile.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Show this one whole
    name: Option<String>,
}

pub fn main(args: &Args, is_json: bool) -> anyhow::Result<Exit> {
    let mut out = std::io::stdout().lock();
    let Some(name) = &args.name else {
        let all = shipped_profiles();
        if is_json {
            writeln!(out, "{}", json!(all.iter().map(object).collect::<Vec<_>>()))?;
        } else {
            let stdout = std::io::stdout();
            let columns = if stdout.is_terminal() { screen::columns().max(COLUMNS_MIN) } else { usize::MAX };
            write!(out, "{}", table(&all, columns, screen::is_coloured(&stdout)))?;
        }
        return Ok(Exit::Fine);
    };
    let Some(profile) = instruments::profiles::find(name) else {
        eprintln!("tidegate: there is no profile \"{name}\"");
        match nearest_profile(name) {
            Some(nearest) => eprintln!("did you mean \"{nearest}\"?"),
            None => eprintln!("tidegate profiles lists them"),
        }
        return Ok(Exit::Usage);
    };
    if is_json {
        let about = shipped_profiles().into_iter().find(|about| about.name == profile.name);
        let mut whole = about.as_ref().map_or_else(|| json!({}), object);
        whole["text"] = json!(profile.text);
        writeln!(out, "{whole}")?;
    } else {
        write!(out, "{}", profile.text)?;
    }
    Ok(Exit::Fine)
}

/// A table narrower than this is cut in its titles and tells nothing.
const COLUMNS_MIN: usize = 100;

fn object(about: &About) -> Value {
    json!({
        "name": about.name,
        "title": about.title,
        "type": about.mechanics,
        "line": about.line,
        "status": about.status,
        "source": about.source,
        "wiring": about.wiring,
        "quantities": about.quantities,
    })
}

fn table(all: &[About], columns: usize, is_coloured: bool) -> String {
    let width = |text: fn(&About) -> &str| all.iter().map(|about| text(about).len()).max().unwrap_or(0);
    let (name, kind, line) = (width(|about| about.name), width(|about| &about.mechanics), width(|about| &about.line));
    let verdict = "unverified".len();
    let title = columns.saturating_sub(name + kind + line + verdict + 8);
    let mut text = String::new();
    let mut row = |cells: [&str; 5], how: Option<Paint>| {
        let [first, second, third, fourth, fifth] = cells;
        let fifth = screen::clip(fifth, title);
        let row = format!("{first:name$}  {second:kind$}  {third:line$}  {fourth:verdict$}  {fifth}");
        let row = how.map_or_else(|| row.clone(), |how| paint(row.trim_end(), how, is_coloured));
        writeln!(text, "{}", row.trim_end()).expect("a String takes any text");
    };
    row(["name", "type", "line", "status", "instrument"], Some(Paint::Bold));
    for about in all {
        row([about.name, &about.mechanics, &about.line, &about.status, &about.title], None);
    }
    let verified = all.iter().filter(|about| about.status == "verified").count();
    let note = format!(
        "\n{} profiles, {verified} verified: bytes of a real unit were read with them. The others are from a manual.\n\
         `tidegate profiles NAME` shows one whole, with its source, wiring and a worked example.\n",
        all.len()
    );
    text + &note
}

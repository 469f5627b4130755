//! `tidegate man [--output DIR]`: the manual pages, made of what `--help` says: one on standard output
//! (`tidegate man | man -l -`), or all of them as files into `DIR`, one a command.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Arg, Args as ClapArgs, Command};

use super::Exit;
use super::completions::{SCRIPTS, about};

/// Where to.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// All pages as files into this folder
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
}

pub fn main(args: &Args, mut root: Command) -> anyhow::Result<Exit> {
    root.build();
    match &args.output {
        None => {
            let mut out = std::io::stdout().lock();
            out.write_all(page(&root).as_bytes())?;
            out.flush()?;
        }
        Some(folder) => write_pages(&root, folder)?,
    }
    Ok(Exit::Fine)
}

/// All that the packages carry: `DIR/man` and `DIR/completions`.
pub fn manuals(mut root: Command, folder: &Path) -> std::io::Result<()> {
    root.build();
    write_pages(&root, &folder.join("man"))?;
    let completions = folder.join("completions");
    std::fs::create_dir_all(&completions)?;
    SCRIPTS.iter().try_for_each(|(name, script)| std::fs::write(completions.join(name), script))
}

fn write_pages(command: &Command, folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join(format!("{}.1", name(command))), page(command))?;
    shown(command).try_for_each(|below| write_pages(below, folder))
}

/// `tidegate-sinks-retry`
fn name(command: &Command) -> String {
    command.get_display_name().unwrap_or(command.get_name()).to_owned()
}

fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help")
}

/// A page in the language of man(7).
fn page(command: &Command) -> String {
    let (name, version) = (name(command), env!("CARGO_PKG_VERSION"));
    let about_of = |command: &Command| about(command.get_about());
    let mut text = format!(".TH {} 1 \"\" \"tidegate {version}\" \"tidegate\"\n", quiet(&name.to_uppercase()));
    let mut put = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    put(format!(".SH NAME\n{} \\- {}", quiet(&name), quiet(&about_of(command))));
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").split_whitespace().collect::<Vec<_>>().join(" ");
    put(format!(".SH SYNOPSIS\n{}", quiet(&usage)));
    let mut section = |title: &str, entries: Vec<(String, String)>| {
        if !entries.is_empty() {
            put(format!(".SH {title}"));
        }
        for (what, words) in entries {
            put(format!(".TP\n\\fB{}\\fR\n{}", quiet(&what), quiet(&words)));
        }
    };
    let args: Vec<&Arg> = command.get_arguments().filter(|arg| !arg.is_hide_set()).collect();
    let of = |is_positional| args.iter().filter(move |arg| arg.is_positional() == is_positional).map(|arg| entry(arg));
    section("ARGUMENTS", of(true).collect());
    section("OPTIONS", of(false).collect());
    section("COMMANDS", shown(command).map(|below| (below.get_name().to_owned(), about_of(below))).collect());
    let codes = [
        ("0", "All is well."),
        ("1", "The thing asked about is not fine."),
        ("64", "The command line is wrong."),
        ("69", "The agent, or a peer, is not reached."),
        ("74", "A disk or a port fails."),
        ("78", "The configuration is wrong."),
    ];
    section("EXIT STATUS", codes.map(|(code, words)| (code.to_owned(), words.to_owned())).into());
    let mut pages: Vec<String> = shown(command).map(self::name).collect();
    pages.extend(name.rsplit_once('-').map(|(above, _)| above.to_owned()));
    if !pages.is_empty() {
        let list: Vec<String> = pages.iter().map(|page| format!("\\fB{}\\fR(1)", quiet(page))).collect();
        writeln!(text, ".SH SEE ALSO\n{}", list.join(", ")).expect("a String takes any text");
    }
    text
}

fn entry(arg: &Arg) -> (String, String) {
    let mut words = about(arg.get_help());
    let values: Vec<String> = arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    if !values.is_empty() && !arg.is_hide_possible_values_set() && arg.get_action().takes_values() {
        words = format!("{words} [{}]", values.join(", "));
    }
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    if !defaults.is_empty() && arg.get_action().takes_values() {
        words = format!("{words} [default: {}]", defaults.join(" "));
    }
    (arg.to_string(), words)
}

/// Text that roff takes as it is.
fn quiet(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

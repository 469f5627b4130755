//! Writes the man pages and shell completions that the packages carry: `manuals DIR` makes `DIR/man` and
//! `DIR/completions`.
//!
//! An example and no subcommand: what makes them would be 200 KB of the device's binary and is needed only where packages
//! are made. `systemd/package.sh` runs it.

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use clap_complete::Shell;

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: manuals DIR")?);
    let (man, completions) = (out.join("man"), out.join("completions"));
    fs::create_dir_all(&man)?;
    fs::create_dir_all(&completions)?;
    clap_mangen::generate_to(tidegate::cli::command(), &man)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut tidegate::cli::command(), "tidegate", &completions)?;
    }
    Ok(())
}

//! Writes the man pages and shell completions that the packages carry: `manuals DIR` makes `DIR/man` and
//! `DIR/completions`. `systemd/package.sh` runs it on the machine that makes packages, for whatever board.

use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: manuals DIR")?);
    Ok(tidegate::cli::manuals(&out)?)
}

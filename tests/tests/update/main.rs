//! Updates of the agent: what is signed and whole is installed, and what does not run well is taken back, also when the
//! power goes at any step of it.

mod afar;
mod fetch;
mod install;
mod packaged;
mod power;
mod refuse;
mod taken_back;

use std::path::Path;
use std::time::Duration;

use e2e::agent;
use e2e::board::Board;

const LIMIT: Duration = Duration::from_mins(2);

/// A file that passes for a program as long as nobody runs it.
fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at * 7 % 251).expect("less than 251")).collect()
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path of our own")
}

/// The events that tell of updates.
fn told(board: &Board) -> Vec<String> {
    let tail = board.cli(&["tail", "--json", "-n", "2000"]);
    agent::stdout(&tail).lines().filter(|line| line.contains("\"update\"")).map(str::to_owned).collect()
}

//! `tidegate simulate PROFILE [--port P]`: an instrument of that profile on a pseudo-terminal.
//!
//! Prints the port on stdout and talks until it is ended. `--port` gives the port a stable name (a link).

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use instruments::simulate::Simulation;
use tokio::signal::unix::{SignalKind, signal};

use super::{Exit, screen, small_runtime};
use crate::config::{PROFILE, simulated};
use crate::simulate::Simulator;

/// What to simulate.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Name of an instrument profile
    profile: String,
    /// A stable name for the port
    #[arg(long, value_name = "P")]
    port: Option<PathBuf>,
    /// Seed of the noise
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub fn main(args: &Args, config: &Path) -> anyhow::Result<Exit> {
    let folder = config.parent().unwrap_or(Path::new(".")).join("profiles");
    let simulated = match simulated(&args.profile, &folder) {
        Err(error) if error.problems.iter().any(|problem| problem.path == PROFILE) => {
            eprintln!("{}", error.render(screen::is_coloured(&std::io::stderr())));
            return Ok(Exit::Usage);
        }
        read => read?,
    };
    let simulation = Simulation::parse(&simulated.simulation, args.seed)?;
    let simulator = Simulator::start(simulation, args.port.as_deref())?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", simulator.port().display())?;
    out.flush()?;
    eprintln!("{}, {} baud; Ctrl-C ends it", simulated.title, simulated.baud);
    small_runtime()?.block_on(async {
        let listen = |kind| signal(kind).expect("the kernel takes handlers for these signals");
        let (mut term, mut int) = (listen(SignalKind::terminate()), listen(SignalKind::interrupt()));
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
    });
    drop(simulator);
    Ok(Exit::Fine)
}

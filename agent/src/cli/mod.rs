//! The command line: one file a command; its module doc is its manual.
//!
//! Data on stdout, everything else on stderr; a broken pipe is a good end. Exit codes: 0 fine, 1 the thing asked about
//! is not fine, 64 usage, 69 daemon or peer not reachable, 74 disk or port failure, 78 bad configuration.

mod check;
mod completions;
mod config;
mod demo;
mod detect;
mod doctor;
mod journal;
mod lake;
mod man;
mod ports;
mod probe;
mod profiles;
mod provision;
mod replay;
mod run;
mod screen;
mod setup;
mod simulate;
mod sinks;
mod sniff;
mod stanza;
mod status;
mod support;
mod tail;
#[cfg(feature = "top")]
mod top;
mod untrusted;
mod update;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, Parser, Subcommand};

use crate::config::{Config, ConfigError, Layers};
use crate::control::client::ClientError;
use crate::sinks::lake::shelf::ShelfError;
use crate::telemetry::logs;

/// Edge ingestion agent: serial instruments to a durable journal to S3 and MQTT.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, max_term_width = 100)]
struct Cli {
    /// Configuration file
    #[arg(long, global = true, value_name = "FILE", default_value = "/etc/tidegate/tidegate.toml")]
    config: PathBuf,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    /// Say more (twice: everything)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent
    Run,
    /// Simulated instruments, the whole agent, a local lake: no network, broker or cloud needed
    Demo(demo::Args),
    /// A first configuration, by questions or by flags
    Setup(setup::Args),
    /// Check a configuration; every problem with its place and what would be right
    Check(check::Args),
    /// The configuration after all layers are joined, and what a remote revision changes: show, diff, schema
    Config(config::Args),
    /// One screen of health of the running agent
    Status,
    /// The live view: instruments with trends, sinks, what is wrong; Enter: the bytes of a line as they go
    #[cfg(feature = "top")]
    Top,
    /// What is wrong, from the port to the lake: each check with evidence and the fix
    Doctor(doctor::Args),
    /// Readings and events from the journal
    Tail(tail::Args),
    /// What is on disk: stat, export, verify, repair
    Journal(journal::Args),
    /// Each sink: how far, how far behind, its last error; what it refused: retry, quarantine
    Sinks(sinks::Args),
    /// Send again what the journal still holds
    Replay(replay::Args),
    /// What is in a lake, found without listing it: ls, get, verify, import, rebuild
    Lake(lake::Args),
    /// Serial ports, what to call them in a configuration, and who holds them
    Ports,
    /// What is on a port, as the configuration that reads it; writes to it only with --ask
    Detect(detect::Args),
    /// What goes over a line, in hex and text, with the agent or without; never writes to it
    Sniff(sniff::Args),
    /// One instrument by itself, step by step: captured bytes, or one exchange on its port
    Probe(probe::Args),
    /// The instrument profiles that ship; NAME: one of them whole
    Profiles(profiles::Args),
    /// A simulated instrument on a pseudo-terminal
    Simulate(simulate::Args),
    /// A certificate of the device's own: by claim, or signed by your authority
    Provision(provision::Args),
    /// Updates of the agent: status, fetch, install, sign, verify
    Update(update::Args),
    /// One archive of all that helps who helps, without secrets
    SupportBundle(support::Args),
    /// What a shell wants to complete this command by TAB
    Completions(completions::Args),
    /// The manual pages
    Man(man::Args),
}

/// What a command ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    Fine,
    NotFine,
    Usage,
    Unavailable,
    Disk,
    Config,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        let code = match exit {
            Exit::Fine => 0,
            Exit::NotFine => 1,
            Exit::Usage => 64,
            Exit::Unavailable => 69,
            Exit::Disk => 74,
            Exit::Config => 78,
        };
        ExitCode::from(code)
    }
}

/// The command line from beginning to end.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Fine };
            // Help that nobody reads is no failure.
            return match error.print() {
                Ok(()) => exit.into(),
                Err(error) if is_broken_pipe(&error) => Exit::Fine.into(),
                Err(_) => Exit::Disk.into(),
            };
        }
    };
    let exit = match dispatch(&cli) {
        Ok(exit) => exit,
        Err(error) => explain(&error),
    };
    exit.into()
}

/// Man pages and completions as files, for the packages: `examples/manuals.rs`.
pub fn manuals(folder: &Path) -> io::Result<()> {
    man::manuals(Cli::command(), folder)
}

fn dispatch(cli: &Cli) -> anyhow::Result<Exit> {
    match &cli.command {
        Command::Run => {
            logs::start(cli.verbose);
            run::main(&Layers::of_process(&cli.config))
        }
        Command::Demo(args) => demo::main(args, cli.verbose),
        Command::Check(args) => check::main(args, &cli.config, cli.json),
        Command::Config(args) => config::main(args, &Layers::of_process(&cli.config), cli.json),
        Command::Status => status::main(&load(&cli.config)?, cli.json),
        #[cfg(feature = "top")]
        Command::Top => top::main(&load(&cli.config)?),
        Command::SupportBundle(args) => support::main(args, &Layers::of_process(&cli.config), cli.json),
        // Also with a configuration that does not load, and without an agent.
        Command::Doctor(args) => doctor::main(args, &cli.config, cli.json),
        Command::Tail(args) => tail::main(args, &load(&cli.config)?, cli.json),
        Command::Journal(args) => {
            if let Some(ended) = args.probe() {
                return ended;
            }
            journal::main(args, &load(&cli.config)?, cli.json)
        }
        Command::Sinks(args) => sinks::main(args, &load(&cli.config)?, cli.json),
        Command::Replay(args) => replay::main(args, &load(&cli.config)?, cli.json),
        Command::Provision(args) => provision::main(args, &load(&cli.config)?, cli.json),
        Command::Lake(args) => lake::main(args, &cli.config, cli.json),
        // Also where there is no configuration yet, or a wrong one.
        Command::Ports => ports::main(load(&cli.config).ok().as_ref(), cli.json),
        Command::Setup(args) => setup::main(args, &cli.config),
        Command::Detect(args) => detect::main(args, &cli.config, cli.json),
        Command::Sniff(args) => sniff::main(args, &cli.config, cli.json),
        Command::Probe(args) => probe::main(args, &cli.config, cli.json, cli.verbose),
        Command::Profiles(args) => profiles::main(args, cli.json),
        Command::Simulate(args) => simulate::main(args, &cli.config),
        Command::Completions(args) => completions::main(args, Cli::command()),
        Command::Man(args) => man::main(args, Cli::command()),
        Command::Update(args) => update::main(args, &cli.config, cli.json, cli.verbose),
    }
}

fn load(file: &Path) -> Result<Arc<Config>, ConfigError> {
    crate::config::load(&Layers::of_process(file)).map(Arc::new)
}

/// Says what went wrong and gives the exit code for it.
fn explain(error: &anyhow::Error) -> Exit {
    if let Some(error) = error.downcast_ref::<ConfigError>() {
        eprintln!("{}", error.render(screen::is_coloured(&io::stderr())));
        eprintln!("\n{error}");
        return Exit::Config;
    }
    if error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).any(is_broken_pipe) {
        return Exit::Fine;
    }
    if let Some(error) = error.downcast_ref::<ShelfError>() {
        eprintln!("tidegate: {error}");
        return if matches!(error, ShelfError::Away(_)) { Exit::Unavailable } else { Exit::Disk };
    }
    eprintln!("tidegate: {error:#}");
    match error.downcast_ref::<ClientError>() {
        Some(ClientError::NotReached { .. }) => {
            eprintln!("is it running? (systemctl status tidegate, or: tidegate run)");
            Exit::Unavailable
        }
        Some(ClientError::Broken(_) | ClientError::Refused { .. }) => Exit::Unavailable,
        None => Exit::Disk,
    }
}

fn is_broken_pipe(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

/// A runtime for a command that asks one question.
fn small_runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

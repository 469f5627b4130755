//! `tidegate probe INSTRUMENT [--input FILE]`: one instrument by itself, step by step.
//!
//! Shows what frames, in text and hex, what the check says, what stands where, what that is as a value with its unit and
//! quality, what is ignored, and what is refused and why. The code is the daemon's own; nothing is stored or sent on.
//!
//! * `--input FILE` (`-`: standard input) runs captured bytes through. Those of an instrument that is asked are taken for
//!   its answers, in the order of the questions; `init` is left out. A capture has no times and no silences: what
//!   time would judge is not judged, and frames between silences (`idle-gap`) come one a file.
//! * Without it the port is opened: one turn of an instrument that is asked, `--seconds` of one that talks. The port must
//!   be free; while the daemon has it, `status` and `tail` show what it hears.
//! * `--profile NAME` in the place of an instrument needs no configuration.
//!
//! Exit 0 when something was decoded and nothing refused, else 1; 74 when the port or the file fails. `--json` prints an
//! object a line, the last with the totals.

mod lines;
mod objects;

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use clap::Args as ClapArgs;
use instruments::{FrameSpec, LineEnd};

use super::{Exit, load, screen, small_runtime};
use crate::acquire::{self, Sight, Totals, Trial};
use crate::config::{BusConfig, Config, InstrumentConfig, PROFILE, PortName, nearest, trial_bus};

/// What to try.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Name of a configured instrument
    #[arg(required_unless_present = "profile")]
    instrument: Option<String>,
    /// A profile instead: no configuration is read
    #[arg(long, value_name = "NAME", conflicts_with = "instrument")]
    profile: Option<String>,
    /// Captured bytes; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["port", "seconds"])]
    input: Option<PathBuf>,
    /// Another port than the configured one
    #[arg(long, value_name = "P")]
    port: Option<String>,
    /// How long to listen or ask at most, in seconds
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
}

/// Longest capture in bytes: a day of a chatty instrument at 9600 baud.
const CAPTURE_BYTES_MAX: u64 = 64 << 20;

/// Port of a profile's trial that opens none.
const NO_PORT: &str = "/dev/null";

pub fn main(args: &Args, config: &Path, is_json: bool, verbose: u8) -> anyhow::Result<Exit> {
    let bus = match find(args, config)? {
        Ok(bus) => bus,
        Err(exit) => return Ok(exit),
    };
    let Some(instrument) = bus.instruments.first() else { anyhow::bail!("there is no instrument to try") };
    let teller = Rc::new(RefCell::new(Teller::new(instrument, is_json, verbose)));
    let told = teller.clone();
    let see = move |sight| told.borrow_mut().tell(&sight);
    let totals = match &args.input {
        Some(file) => match read_capture(file) {
            Ok(bytes) => {
                let totals = Trial::try_new(instrument.clone(), see)?.replay(&bytes);
                if has_lost_its_returns(instrument, &bytes) {
                    eprintln!("note: {LOST_RETURNS}");
                }
                totals
            }
            Err(error) => {
                eprintln!("tidegate: can not read {}: {error}", file.display());
                return Ok(Exit::Disk);
            }
        },
        None => {
            let limit = Duration::from_secs(args.seconds);
            match small_runtime()?.block_on(acquire::converse(&bus, limit, see)) {
                Ok(totals) => totals,
                Err(error) => return explain_port(&bus, &error),
            }
        }
    };
    let failure = teller.borrow_mut().finish(&totals);
    failure?;
    Ok(if totals.samples > 0 && totals.refused == 0 { Exit::Fine } else { Exit::NotFine })
}

/// The bus of the instrument, with nobody else on it.
fn find(args: &Args, file: &Path) -> anyhow::Result<Result<BusConfig, Exit>> {
    if let Some(profile) = &args.profile {
        if args.input.is_none() && args.port.is_none() {
            eprintln!("tidegate: a profile has no port: give --port, or --input for captured bytes");
            return Ok(Err(Exit::Usage));
        }
        let folder = file.parent().unwrap_or(Path::new(".")).join("profiles");
        return match trial_bus(profile, args.port.as_deref().unwrap_or(NO_PORT), &folder) {
            Err(error) if error.problems.iter().any(|problem| problem.path == PROFILE) => {
                eprintln!("{}", error.render(screen::is_coloured(&io::stderr())));
                Ok(Err(Exit::Usage))
            }
            bus => Ok(Ok(bus?)),
        };
    }
    let config = load(file)?;
    let name = args.instrument.as_deref().unwrap_or_default();
    let on = |bus: &&BusConfig| bus.instruments.iter().any(|instrument| instrument.id.as_str() == name);
    let Some(bus) = config.buses.iter().find(on) else {
        explain_name(name, &config);
        return Ok(Err(Exit::Usage));
    };
    let mut bus = bus.clone();
    bus.instruments.retain(|instrument| instrument.id.as_str() == name);
    match &args.port {
        Some(port) => bus.port = PortName::Path(PathBuf::from(port)),
        None if args.input.is_none() && UnixStream::connect(&config.local.socket).is_ok() => {
            eprintln!("tidegate: the daemon has {}", bus.port);
            eprintln!("see what it hears with: tidegate status, tidegate tail --instrument {name} -f");
            eprintln!("or stop it for as long as you probe: systemctl stop tidegate");
            return Ok(Err(Exit::Disk));
        }
        None => {}
    }
    Ok(Ok(bus))
}

fn explain_name(name: &str, config: &Config) {
    let instruments = config.buses.iter().flat_map(|bus| &bus.instruments);
    let names: Vec<String> = instruments.map(|instrument| instrument.id.to_string()).collect();
    eprintln!("tidegate: there is no instrument \"{name}\"");
    match nearest(name, &names) {
        Some(right) => eprintln!("did you mean \"{right}\"?"),
        None if names.is_empty() => eprintln!("the configuration has none"),
        None => eprintln!("there is {}", names.join(", ")),
    }
}

fn explain_port(bus: &BusConfig, error: &anyhow::Error) -> anyhow::Result<Exit> {
    let Some(io) = error.downcast_ref::<io::Error>() else { anyhow::bail!("{error:#}") };
    if io.kind() == io::ErrorKind::BrokenPipe {
        return Ok(Exit::Fine);
    }
    eprintln!("tidegate: {}: {io}", bus.port);
    match acquire::advice(io) {
        "" => {}
        advice => eprintln!("{advice}"),
    }
    Ok(Exit::Disk)
}

fn read_capture(file: &Path) -> io::Result<Vec<u8>> {
    let source: Box<dyn Read> =
        if file == Path::new("-") { Box::new(io::stdin()) } else { Box::new(File::open(file)?) };
    let mut bytes = Vec::new();
    source.take(CAPTURE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > CAPTURE_BYTES_MAX {
        return Err(io::Error::other(format!("a capture has at most {}", screen::bytes(CAPTURE_BYTES_MAX))));
    }
    Ok(bytes)
}

/// What becomes of captures in editors and repositories.
const LOST_RETURNS: &str = "the capture has LF where the instrument says CR LF, and no CR at all: a program has \
     converted it. `sed 's/$/\\r/'` puts them back";

/// Whether the lines of the protocol end with CR LF and those of the capture with LF alone.
fn has_lost_its_returns(instrument: &InstrumentConfig, bytes: &[u8]) -> bool {
    let FrameSpec::Line(line) = &instrument.protocol.frame else { return false };
    line.end == LineEnd::Bytes(b"\r\n".to_vec()) && bytes.contains(&b'\n') && !bytes.contains(&b'\r')
}

/// Writes down what is seen. The first write that fails ends the writing, not the trial.
struct Teller {
    instrument: InstrumentConfig,
    how: How,
    failed: Option<io::Error>,
}

enum How {
    Json,
    Text { is_coloured: bool, is_whole: bool },
}

impl Teller {
    fn new(instrument: &InstrumentConfig, is_json: bool, verbose: u8) -> Self {
        let is_coloured = screen::is_coloured(&io::stdout());
        let how = if is_json { How::Json } else { How::Text { is_coloured, is_whole: verbose > 0 } };
        Self { instrument: instrument.clone(), how, failed: None }
    }

    fn tell(&mut self, sight: &Sight) {
        let text = match self.how {
            How::Json => format!("{}\n", objects::object(sight, &self.instrument)),
            How::Text { is_coloured, is_whole } => {
                lines::Lines::new(&self.instrument, is_coloured, is_whole).sight(sight)
            }
        };
        self.write(&text);
    }

    fn finish(&mut self, totals: &Totals) -> io::Result<()> {
        let text = match self.how {
            How::Json => format!("{}\n", objects::totals(totals)),
            How::Text { .. } => lines::totals(totals, &self.instrument),
        };
        self.write(&text);
        self.failed.take().map_or(Ok(()), Err)
    }

    fn write(&mut self, text: &str) {
        if self.failed.is_none() {
            self.failed = io::stdout().lock().write_all(text.as_bytes()).err();
        }
    }
}

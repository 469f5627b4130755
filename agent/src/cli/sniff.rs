//! `tidegate sniff PORT [--baud B] [--seconds N] [--output FILE]`: what goes over a line, as it goes, in hex and in text.
//!
//! PORT is a device file, `usb:VENDOR:PRODUCT`, or a bus of the configuration. Where the agent has the port it is asked, hears what
//! it hears and says, and goes on undisturbed; else the port is opened as the bus is configured, or with `--baud`, 8N1.
//! Nothing is written to it. Each piece begins with the seconds since the last one. `--output` keeps the bytes that came in, as
//! they are, for `tidegate probe --input FILE`; `--json` prints an object a piece: `time`, `way`, `hex`.
//!
//! Exit 0 when something came, 1 when nothing did, 74 when the port fails. Ctrl-C ends it.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args as ClapArgs;
use http_body_util::BodyExt as _;
use model::{BusId, Timestamp};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::screen::{self, Paint, paint};
use super::{Exit, load, small_runtime};
use crate::acquire::overhear::overhear;
use crate::clock::Clock;
use crate::config::bus::{DataBits, Dtr, Flow, Parity, StopBits};
use crate::config::{BusConfig, Config, PortName, port_name};
use crate::control::client::{self, ClientError};

/// What to listen to.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// A device file, usb:VENDOR:PRODUCT, or a bus of the configuration
    port: String,
    /// Bits per second, where the agent does not have the port [default: as configured, or 9600]
    #[arg(long, value_name = "B", value_parser = clap::value_parser!(u32).range(50..=4_000_000))]
    baud: Option<u32>,
    /// How long to listen, in seconds
    #[arg(long, value_name = "N", default_value_t = 86_400, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Keep the bytes that came in, for `probe --input`
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Bytes of a line: with its text it fits into 80 columns.
const LINE_BYTES: usize = 16;

pub fn main(args: &Args, config: &Path, is_json: bool) -> anyhow::Result<Exit> {
    let config = load(config).ok();
    let bus = config.as_ref().and_then(|config| known_bus(config, &args.port));
    let output = args.output.as_ref().map(|file| File::create(file).with_context(|| file.display().to_string()));
    let mut teller = Teller { output: output.transpose()?, is_json, last: None, has_heard: false };
    let limit = Duration::from_secs(args.seconds);
    small_runtime()?.block_on(async {
        tokio::select! {
            listened = listen(args, config.as_deref(), bus, limit, &mut teller) => listened,
            interrupted = tokio::signal::ctrl_c() => interrupted.context("Ctrl-C"),
        }
    })?;
    Ok(if teller.has_heard { Exit::Fine } else { Exit::NotFine })
}

async fn listen(
    args: &Args,
    config: Option<&Config>,
    bus: Option<BusConfig>,
    limit: Duration,
    teller: &mut Teller,
) -> anyhow::Result<()> {
    if let Some((config, bus)) = config.zip(bus.as_ref()) {
        match from_agent(config, bus, limit, teller).await {
            Err(error) if matches!(error.downcast_ref(), Some(ClientError::NotReached { .. })) => {}
            listened => return listened,
        }
    }
    let bus = match bus {
        Some(bus) => BusConfig { baud: args.baud.unwrap_or(bus.baud), ..bus },
        None => plain_bus(port_name(&args.port).map_err(|words| anyhow::anyhow!("{}: {words}", args.port))?, args.baud),
    };
    let clock = Clock::of_this_boot();
    overhear(&bus, limit, |bytes| teller.tell(clock.now(), true, bytes)).await.context(bus.port.to_string())
}

/// The bus of the configuration that is meant: by its name, or by its port.
fn known_bus(config: &Config, port: &str) -> Option<BusConfig> {
    let is_it = |bus: &&BusConfig| bus.id.as_str() == port || bus.port.to_string() == port;
    config.buses.iter().find(is_it).cloned()
}

/// A line of which nothing but its port is known.
fn plain_bus(port: PortName, baud: Option<u32>) -> BusConfig {
    BusConfig {
        id: BusId::try_new("sniff").expect("a valid name"),
        port,
        baud: baud.unwrap_or(9600),
        data_bits: DataBits::Eight,
        parity: Parity::None,
        stop_bits: StopBits::One,
        flow: Flow::None,
        dtr: Dtr::Untouched,
        settle: Duration::ZERO,
        pause: Duration::ZERO,
        instruments: Vec::new(),
    }
}

/// A piece as the agent tells it.
#[derive(Deserialize)]
struct Told {
    time: Timestamp,
    way: String,
    hex: String,
}

async fn from_agent(config: &Config, bus: &BusConfig, limit: Duration, teller: &mut Teller) -> anyhow::Result<()> {
    let until = Instant::now() + limit;
    let mut body = client::get(&config.local.socket, &format!("/v1/sniff?bus={}", bus.id)).await?.into_body();
    let mut rest = Vec::new();
    while let Ok(Some(frame)) = timeout_at(until, body.frame()).await {
        let Ok(data) = frame.map_err(ClientError::Broken)?.into_data() else { continue };
        rest.extend_from_slice(&data);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let Told { time, way, hex } = serde_json::from_slice(&line)?;
            teller.tell(time, way == "in", &hex::decode(hex)?)?;
        }
    }
    Ok(())
}

struct Teller {
    output: Option<File>,
    is_json: bool,
    last: Option<Timestamp>,
    has_heard: bool,
}

impl Teller {
    fn tell(&mut self, at: Timestamp, is_in: bool, bytes: &[u8]) -> io::Result<()> {
        self.has_heard |= is_in;
        if is_in && let Some(output) = &mut self.output {
            output.write_all(bytes)?;
        }
        let way = if is_in { "in" } else { "out" };
        let mut out = io::stdout().lock();
        if self.is_json {
            writeln!(out, "{}", json!({"time": at, "way": way, "hex": hex::encode(bytes)}))?;
            return out.flush();
        }
        let since = self.last.replace(at).map_or(0, |last| at.as_millis().saturating_sub(last.as_millis()));
        let is_coloured = screen::is_coloured(&io::stdout());
        write!(out, "{}", text(since, way, bytes, is_coloured))?;
        out.flush()
    }
}

/// `+0.050 in   6e 2c 31 32 0d 0a                                |n,12..|`
fn text(since_ms: i64, way: &str, bytes: &[u8], is_coloured: bool) -> String {
    let mut text = String::new();
    for (number, line) in screen::hex_and_text(bytes, LINE_BYTES).into_iter().enumerate() {
        let head = match number {
            0 => format!("+{}.{:03} {way:<3}", since_ms / 1_000, since_ms % 1_000),
            _ => String::new(),
        };
        let line = format!("{head:<12} {line}");
        text += &if way == "out" { paint(&line, Paint::Dim, is_coloured) } else { line };
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn a_piece_is_shown_in_hex_and_text_in_eighty_columns() {
        let shown = text(50, "in", b"n,12\r\n", false);
        assert_eq!(shown, format!("+0.050 in    {:<47} |n,12..|\n", "6e 2c 31 32 0d 0a"));
        let long = text(1_234, "out", &[0x5a; 40], false);
        assert_eq!(long.lines().count(), 3);
        assert!(long.lines().all(|line| line.len() <= 80), "{long}");
    }
}

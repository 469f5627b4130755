//! `tidegate setup [--output FILE]`: a first configuration, by questions or by flags.
//!
//! On a terminal it asks for the site, the device, what is on each serial port, where the data goes, and the certificate; an
//! empty answer takes what stands in brackets. Of a port it takes a profile's name, `detect` (listen and find out), `ask` (that,
//! and ask what says nothing by itself), or nothing. What a flag says is not asked; `--yes` takes for the rest what would
//! stand in brackets, and no port and no destination where none is named. Without a terminal and without `--yes` an answer that
//! is missing ends it with the flag that gives it, exit 64.
//!
//! The file is checked before it is written, written as a whole or not at all, mode 0640, and never over another one: with
//! `--force` that one stays as FILE.bak. Without `--output` it is that of `--config`. Secrets are not asked for: they do not
//! belong into it. `doctor` then looks at all that it names. Exit 0 when it is there and right, 1 when a port that was to be
//! detected is not known, 64 usage, 74 where it can not be written, 78 where the answers make no right configuration.

mod ask;
mod file;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args as ClapArgs;
use model::{DeviceId, SiteId};

use super::detect::{Looked, Port, look, taken};
use super::screen::harmless;
use super::stanza::{Stanza, section_name};
use super::{Exit, check, doctor};
use crate::acquire::detect::{Candidate, candidates};
use crate::acquire::ports::{Places, list};
use crate::config::{Layers, load_local, nearest, port_name};
use ask::{Asker, Broken};
use file::{Answers, Sink, Tls};

/// What is known already.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// The file to write (default: that of --config)
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write where a file is; that one is kept as FILE.bak
    #[arg(long)]
    force: bool,
    /// Take what would stand in brackets for all that no flag says
    #[arg(long)]
    yes: bool,
    /// The site: data is filed under it
    #[arg(long, value_name = "NAME")]
    site: Option<String>,
    /// The device: data is filed under it [default: the hostname]
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    /// A port and what is on it: a profile, `detect`, or `ask`; as often as there are ports
    #[arg(long = "port", value_name = "PATH=PROFILE")]
    ports: Vec<String>,
    /// A broker: `mqtts://HOST:8883`
    #[arg(long, value_name = "URL")]
    mqtt: Option<String>,
    /// A bucket
    #[arg(long, value_name = "BUCKET", requires = "region")]
    s3: Option<String>,
    /// The region of the bucket
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// A folder
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Certificates that the broker's is verified with [default: the system's]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The device's certificate
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The device's key
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

/// How long a port is listened at, a line setting each.
const PATIENCE: Duration = Duration::from_secs(5);

/// Ports that are asked about; a gateway with more is written by hand.
const PORTS_MAX: usize = 64;

pub fn main(args: &Args, config: &Path) -> anyhow::Result<Exit> {
    let output = args.output.as_deref().unwrap_or(config);
    if output.symlink_metadata().is_ok() && !args.force {
        eprintln!("tidegate: {} is there already", output.display());
        eprintln!("--force writes another one, and keeps this one as {}", file::backup(output).display());
        return Ok(Exit::Usage);
    }
    let setup = Setup { args, profiles: output.parent().unwrap_or(Path::new(".")).join("profiles") };
    let answers = match setup.answers() {
        Ok(answers) => answers,
        Err(Broken::Missing(flag, what)) => {
            eprintln!("tidegate: {what} is not known, and there is no terminal to ask at: {flag}");
            return Ok(Exit::Usage);
        }
        Err(Broken::Wrong(words)) => {
            eprintln!("tidegate: {words}");
            return Ok(Exit::Usage);
        }
        Err(Broken::Unknown(words)) => {
            eprintln!("tidegate: {words}");
            return Ok(Exit::NotFine);
        }
        Err(Broken::Failed(error)) => return Err(error),
    };
    let check = |draft: &Path| load_local(&Layers::of_process(draft)).map(|_| ());
    if let Some(error) = file::write(output, &answers.text(), check)? {
        eprintln!("{}\n\n{error}", error.render(false));
        eprintln!("nothing was written");
        return Ok(Exit::Config);
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{} is written", output.display())?;
    drop(out);
    let proved = prove(output)?;
    let mut out = io::stdout().lock();
    let with = if output == config { String::new() } else { format!(" --config {}", output.display()) };
    write!(
        out,
        "\nnext:\n  tidegate{with} check                 what is wrong in it, after each change\n  \
         tidegate{with} doctor                what keeps data from flowing\n  \
         systemctl enable --now tidegate    run it, now and after each boot\n"
    )?;
    Ok(proved)
}

/// Tries the new configuration. What `doctor` finds beside it is for a person to read, and no fault of the file: there may
/// be no link yet, and no agent runs.
fn prove(file: &Path) -> anyhow::Result<Exit> {
    let checked = check::main(&check::Args::of(file), file, false)?;
    if checked == Exit::Fine {
        println!();
        doctor::main(&doctor::Args::default(), file, false)?;
    }
    Ok(checked)
}

struct Setup<'a> {
    args: &'a Args,
    /// Where local profiles are.
    profiles: PathBuf,
}

impl Setup<'_> {
    fn answers(&self) -> Result<Answers, Broken> {
        let args = self.args;
        let mut asker = Asker { is_terminal: io::stdin().is_terminal(), takes_defaults: args.yes };
        let name = |text: &str| SiteId::try_new(text).map(|_| text.to_owned()).map_err(|error| error.to_string());
        let site = asker.text("Site", "--site NAME", args.site.as_deref(), Some("default"), name)?;
        let name = |text: &str| DeviceId::try_new(text).map(|_| text.to_owned()).map_err(|error| error.to_string());
        let host = hostname();
        // Its name is as good an answer without a terminal as with one.
        let given = args.device.as_deref().or((!asker.can_ask()).then_some(&host));
        let device = asker.text("Device", "--device NAME", given, Some(&host), name)?;
        let ports = self.ports(&mut asker)?;
        let sinks = self.sinks(&mut asker)?;
        Ok(Answers { site, device, ports, sinks })
    }

    fn ports(&self, asker: &mut Asker) -> Result<Vec<file::Instrument>, Broken> {
        let mut found: Vec<file::Instrument> = Vec::new();
        for given in &self.args.ports {
            let Some((port, what)) = given.rsplit_once('=') else {
                return Err(Broken::Wrong(format!("--port {given}: PATH=PROFILE, as in /dev/ttyUSB0=nmea-gps")));
            };
            match self.on_port(port, what, &found).map_err(Broken::Failed)? {
                Ok(instrument) => found.push(instrument),
                Err(words) if matches!(what, "detect" | "ask") => return Err(Broken::Unknown(words)),
                Err(words) => return Err(Broken::Wrong(format!("--port {given}: {words}"))),
            }
        }
        if !found.is_empty() || self.args.yes {
            return Ok(found);
        }
        if !asker.can_ask() {
            return Err(Broken::Missing("--port PATH=PROFILE, or --yes for none yet", "what is on the serial ports"));
        }
        // Without /sys there are none to show.
        for port in list(&Places::default()).unwrap_or_default().into_iter().take(PORTS_MAX) {
            let facts: Vec<String> = port.product.iter().chain(&port.driver).map(|fact| harmless(fact)).collect();
            let path = port.path.display().to_string();
            eprintln!("\n{path}  {}", facts.join(", "));
            self.ask_about(&path, "detect", asker, &mut found)?;
        }
        while found.len() < PORTS_MAX {
            let port = asker.text("Another serial port (nothing: no more)", "--port", None, Some(""), as_it_is)?;
            if port.is_empty() {
                break;
            }
            self.ask_about(&port, "detect", asker, &mut found)?;
        }
        Ok(found)
    }

    /// Asks what is on a port until that is known, or does not matter.
    fn ask_about(
        &self,
        port: &str,
        first: &str,
        asker: &mut Asker,
        found: &mut Vec<file::Instrument>,
    ) -> Result<(), Broken> {
        let mut usual = first;
        loop {
            let question = format!("What is on {}: a profile, detect, ask, or skip", harmless(port));
            let what = asker.text(&question, "--port", None, Some(usual), as_it_is)?;
            if what == "skip" {
                return Ok(());
            }
            match self.on_port(port, &what, found).map_err(Broken::Failed)? {
                Ok(instrument) => {
                    eprintln!("  {} at {}", instrument.profile, instrument.line);
                    found.push(instrument);
                    return Ok(());
                }
                Err(words) => eprintln!("{words}"),
            }
            usual = "skip";
        }
    }

    /// The instrument that somebody says is on the port, or that is found there; or words why there is none.
    fn on_port(
        &self,
        port: &str,
        what: &str,
        others: &[file::Instrument],
    ) -> anyhow::Result<Result<file::Instrument, String>> {
        let name = match port_name(port) {
            Ok(name) => name,
            Err(words) => return Ok(Err(words)),
        };
        let place = Port::new(&name);
        let bus = unused(&place.bus, others, |other| &other.bus);
        let named = |profile: &str| unused(&section_name(profile), others, |other| &other.name);
        if !matches!(what, "detect" | "ask") {
            let (candidates, _) = candidates(port, &self.profiles);
            let Some(candidate) = candidates.iter().find(|candidate| candidate.profile == what) else {
                return Ok(Err(unknown(what, &candidates)));
            };
            let instrument = named(what);
            let stanza = Stanza::as_delivered(candidate, &bus, &instrument, &place.stable);
            return Ok(Ok(file::Instrument::new(&stanza)));
        }
        if let Some(words) = taken(&name, None) {
            return Ok(Err(words));
        }
        let looked = look(port, &self.profiles, PATIENCE, what == "ask")?;
        let best = looked.findings.named.first().and_then(|fit| Some((fit, looked.candidate(fit)?)));
        let Some((fit, candidate)) = best else { return Ok(Err(nothing(port, what, &looked))) };
        let instrument = named(&fit.profile);
        Ok(Ok(file::Instrument::new(&Stanza::of(fit, candidate, &bus, &instrument, &place.stable))))
    }

    fn sinks(&self, asker: &mut Asker) -> Result<Vec<Sink>, Broken> {
        let args = self.args;
        let mut sinks = Vec::new();
        let has_any = args.mqtt.is_some() || args.s3.is_some() || args.folder.is_some();
        if !has_any && !args.yes && !asker.can_ask() {
            let flags = "--mqtt URL, --s3 BUCKET, --folder DIR, or --yes for nowhere yet";
            return Err(Broken::Missing(flags, "where the data goes"));
        }
        let mut optional = |question: &str, given: Option<&str>| {
            if has_any || args.yes {
                return Ok(given.map(str::to_owned));
            }
            let answer = asker.text(question, "", given, Some(""), as_it_is)?;
            Ok::<_, Broken>(Some(answer).filter(|answer| !answer.is_empty()))
        };
        if let Some(url) = optional("Broker, as mqtts://HOST:8883 (nothing: none)", args.mqtt.as_deref())? {
            let has_tls = url.starts_with("mqtts://");
            let mut file = |question: &str, given: Option<&Path>| {
                let given = given.map(|path| path.display().to_string());
                if has_tls && given.is_none() && !has_any {
                    return optional(question, None);
                }
                Ok(given)
            };
            let ca = file("  Certificates to verify it with (nothing: the system's)", args.ca.as_deref())?;
            let cert = file("  The device's certificate (nothing: none)", args.cert.as_deref())?;
            let key = match &cert {
                Some(_) => file("  The device's key", args.key.as_deref())?,
                None => None,
            };
            sinks.push(Sink::Mqtt { url, tls: Tls { ca, cert, key } });
        }
        if let Some(bucket) = optional("Bucket of S3 (nothing: none)", args.s3.as_deref())? {
            let region = match &args.region {
                Some(region) => region.clone(),
                None => optional("  Its region, as eu-west-1", None)?.unwrap_or_default(),
            };
            sinks.push(Sink::S3 { bucket, region });
        }
        let folder = args.folder.as_ref().map(|folder| folder.display().to_string());
        if let Some(path) = optional("Folder, as of a stick (nothing: none)", folder.as_deref())? {
            sinks.push(Sink::Folder { path });
        }
        Ok(sinks)
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of a judge of answers")]
fn as_it_is(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

/// As many as a name has, and as the kernel's hostname has at most.
const NAME_CHARACTERS_MAX: usize = 64;

/// As the configuration makes a device's id of it.
fn hostname() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let host = name.split('.').next().unwrap_or_default();
    let clean = host.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' });
    let clean: String = clean.take(NAME_CHARACTERS_MAX).collect();
    if clean.is_empty() { "device".to_owned() } else { clean }
}

/// The name, or the first of `name-2`, `name-3` ... that no other has.
fn unused(name: &str, others: &[file::Instrument], of: fn(&file::Instrument) -> &String) -> String {
    let is_free = |name: &str| others.iter().all(|other| of(other) != name);
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    std::iter::once(name.to_owned()).chain(numbered).find(|name| is_free(name)).expect("numbers do not end")
}

fn unknown(profile: &str, candidates: &[Candidate]) -> String {
    let names: Vec<String> = candidates.iter().map(|candidate| candidate.profile.clone()).collect();
    let hint = match nearest(profile, &names) {
        Some(right) => format!("did you mean \"{right}\"?"),
        None => "tidegate profiles lists them".to_owned(),
    };
    format!("there is no profile \"{}\": {hint}", harmless(profile))
}

fn nothing(port: &str, what: &str, looked: &Looked) -> String {
    if let Some(failure) = looked.failure() {
        return format!("{}: {failure}", harmless(port));
    }
    let hint = match what {
        "detect" => "an instrument that waits to be asked says nothing by itself: `ask` asks it, and only reads",
        _ => "name its profile, or see docs/INSTRUMENTS.md",
    };
    format!("nothing is known of what is on {}; {hint}", harmless(port))
}

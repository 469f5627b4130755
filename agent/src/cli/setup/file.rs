//! The configuration that the answers make, and how it comes to stand in its place.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::cli::stanza::{Stanza, quoted};
use crate::lasting::{self, beside};

const MODE: u32 = 0o640;

/// All that was answered.
pub struct Answers {
    /// The site.
    pub site: String,
    /// The device.
    pub device: String,
    /// What is on the ports.
    pub ports: Vec<Instrument>,
    /// Where the data goes.
    pub sinks: Vec<Sink>,
}

/// An instrument on a bus of its own.
pub struct Instrument {
    /// The bus.
    pub bus: String,
    /// Its own name.
    pub name: String,
    /// Its profile.
    pub profile: String,
    /// Its line.
    pub line: String,
    text: String,
}

impl Instrument {
    /// As its stanza has it.
    pub fn new(stanza: &Stanza<'_>) -> Self {
        Self {
            bus: stanza.bus.to_owned(),
            name: stanza.instrument.to_owned(),
            profile: stanza.candidate.profile.clone(),
            line: stanza.line.to_string(),
            text: format!("{}\n{}", stanza.bus(), stanza.instrument()),
        }
    }
}

/// A destination.
pub enum Sink {
    /// A broker.
    Mqtt {
        /// `mqtts://HOST:8883`
        url: String,
        /// Files for it.
        tls: Tls,
    },
    /// A bucket.
    S3 {
        /// Its name.
        bucket: String,
        /// Where it is.
        region: String,
    },
    /// A folder.
    Folder {
        /// Where.
        path: String,
    },
}

/// Files of a secured link.
pub struct Tls {
    /// Whom to believe.
    pub ca: Option<String>,
    /// Who we are.
    pub cert: Option<String>,
    /// And the proof.
    pub key: Option<String>,
}

impl Answers {
    /// The configuration.
    pub fn text(&self) -> String {
        let mut text = format!(
            "# tidegate on this device, as `tidegate setup` wrote it. Every key: docs/CONFIG.md.\n#\n\
             #   tidegate check               what is wrong in here, with its line\n\
             #   systemctl restart tidegate   takes a change up\n\
             #   tidegate status              how it is; tidegate tail -f: what comes in\n\n\
             [device]\nid   = {}    # data is filed under both: choose once\nsite = {}\n\n\
             [journal]\nmax_bytes = \"1GiB\"    # what is kept here while there is no link; then the oldest goes\n\n",
            quoted(&self.device),
            quoted(&self.site)
        );
        if self.ports.is_empty() {
            text += "# No instrument yet. What is on a port: tidegate ports, tidegate detect PORT, or docs/INSTRUMENTS.md.\n\n";
        }
        for instrument in &self.ports {
            let profile = &instrument.profile;
            write!(
                text,
                "# What the profile has: tidegate profiles {profile}. Keys written here win over its own.\n{}\n",
                instrument.text
            )
            .expect("a String takes any text");
        }
        if self.sinks.is_empty() {
            text += "# No destination yet: readings stay in the journal. See [sink.*] in docs/CONFIG.md.\n";
        }
        for sink in &self.sinks {
            text += &sink.text();
        }
        text
    }
}

impl Sink {
    fn text(&self) -> String {
        match self {
            Sink::Mqtt { url, tls } => {
                let mut text = format!(
                    "# A password does not stand here: username, and password_file with its name.\n\
                     [sink.broker]\ntype = \"mqtt\"\nurl  = {}\n",
                    quoted(url)
                );
                if url.contains(".iot.") && url.contains(".amazonaws.com") {
                    text += "profile = \"aws-iot\"    # its limits are kept\n";
                }
                let files = [("ca", &tls.ca), ("cert", &tls.cert), ("key", &tls.key)];
                if files.iter().any(|(_, file)| file.is_some()) {
                    text += "\n[sink.broker.tls]\n";
                }
                for (key, file) in files {
                    if let Some(file) = file {
                        writeln!(text, "{key} = {}", quoted(file)).expect("a String takes any text");
                    }
                }
                text + "\n"
            }
            Sink::S3 { bucket, region } => format!(
                "# Credentials are not here: the environment, a file, or the link's certificate; docs/CONFIG.md.\n\
                 [sink.lake]\ntype   = \"s3\"\nbucket = {}\nregion = {}\n\n",
                quoted(bucket),
                quoted(region)
            ),
            Sink::Folder { path } => format!(
                "# What the folder is in must be there: a stick that is not plugged in is waited for.\n\
                 [sink.folder]\ntype   = \"file\"\npath   = {}\nformat = \"ndjson\"    # or \"parquet\"\n\n",
                quoted(path)
            ),
        }
    }
}

/// Beside the configuration.
pub fn backup(file: &Path) -> PathBuf {
    beside(file, ".bak")
}

/// Puts the text in its place as a whole, once `check` finds nothing wrong with it; else says what is. What stood there is
/// kept beside it.
pub fn write<E>(file: &Path, text: &str, check: impl Fn(&Path) -> Result<(), E>) -> anyhow::Result<Option<E>> {
    let draft = beside(file, ".new");
    let place = || draft.display().to_string();
    // A group of operators may read it, and the agent; nobody else.
    lasting::write(&draft, text.as_bytes(), MODE).with_context(place)?;
    if let Err(wrong) = check(&draft) {
        fs::remove_file(&draft).with_context(place)?;
        return Ok(Some(wrong));
    }
    keep(file).with_context(|| backup(file).display().to_string())?;
    lasting::rename(&draft, file).with_context(|| file.display().to_string())?;
    Ok(None)
}

/// Gives what is there a second name: there is a configuration at every instant.
fn keep(file: &Path) -> io::Result<()> {
    let backup = backup(file);
    if !file.try_exists()? {
        return Ok(());
    }
    lasting::remove(&backup)?;
    fs::hard_link(file, backup)
}

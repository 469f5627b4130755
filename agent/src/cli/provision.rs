//! `tidegate provision`: the device gets a certificate of its own. Run it again, whatever it was cut off at.
//!
//! By claim (AWS IoT fleet provisioning): `[provision]` names what the device is shipped with and the template. The key is
//! made here and does not leave; the claim is removed when the broker was reached with the new certificate. With an authority
//! of your own: `--csr-only` gives the request, `--install CERT` takes what was signed. A running agent takes the new
//! files up by itself.
//!
//! Exit 0: there is a certificate; 1: it was refused, or does not fit its key; 69: the broker was not reached; 74: a file;
//! 78: the configuration lacks something.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args as ClapArgs;
use serde_json::json;

use super::{Exit, small_runtime};
use crate::config::{Config, ProvisionConfig};
use crate::provision::claim::{self, Provisioned};
use crate::provision::{AskError, Places, ProvisionError, Step, by_hand};
use crate::telemetry::logs::chain;

/// How.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Make the key and print the request (PEM), for an authority of your own
    #[arg(long, conflicts_with = "install")]
    csr_only: bool,
    /// Write the request to this file
    #[arg(long, value_name = "FILE", requires = "csr_only")]
    output: Option<PathBuf>,
    /// Put this certificate (PEM, those between it and the root behind it) beside its key
    #[arg(long, value_name = "CERT")]
    install: Option<PathBuf>,
    /// Seconds that the broker is waited for at each step
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    wait: u64,
}

pub fn main(args: &Args, config: &Arc<Config>, is_json: bool) -> anyhow::Result<Exit> {
    let Some(section) = &config.provision else {
        return refused(&ProvisionError::NotConfigured("there is no [provision] in the configuration"), is_json);
    };
    let done = match (&args.install, args.csr_only) {
        (Some(cert), _) => by_hand::install(&Places::of(section), cert).map(|()| installed(section, is_json)),
        (None, true) => by_hand::request(&Places::of(section), config.device.id.as_str())
            .map(|(request, key)| requested(args, &request, &key, is_json)),
        (None, false) => {
            let say = |step: &Step<'_>| {
                if !is_json {
                    eprintln!("{}", words(step));
                }
            };
            let patience = Duration::from_secs(args.wait);
            let run = claim::provision(config, patience, &say);
            let provisioned = small_runtime()?.block_on(run);
            provisioned.map(|provisioned| shown(config, section, &provisioned, is_json))
        }
    };
    match done {
        Ok(shown) => shown.map(|()| Exit::Fine),
        Err(error) => refused(&error, is_json),
    }
}

fn words(step: &Step<'_>) -> String {
    match step {
        Step::Key { is_new: true } => "key: made on this device".to_owned(),
        Step::Key { is_new: false } => "key: that which was made before".to_owned(),
        Step::Issued { certificate_id } => format!("certificate: {certificate_id}"),
        Step::TokenLost => "the token is no good any more, asking for another".to_owned(),
        Step::Registered { thing } => format!("registered as {thing}"),
        Step::Switched => "certificate and key are in their place, connecting with them".to_owned(),
        Step::Connected => "the broker takes them".to_owned(),
        Step::ClaimRemoved => "the claim is removed".to_owned(),
    }
}

fn requested(args: &Args, request: &str, key: &std::path::Path, is_json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if let Some(file) = &args.output {
        std::fs::write(file, request)?;
    }
    if is_json {
        writeln!(out, "{}", json!({ "key": key, "csr": request }))?;
    } else if args.output.is_none() {
        write!(out, "{request}")?;
    }
    if !is_json {
        eprintln!("key: {}; have the request signed, then: tidegate provision --install CERT", key.display());
    }
    Ok(())
}

fn installed(section: &ProvisionConfig, is_json: bool) -> anyhow::Result<()> {
    let (cert, key) = (&section.identity.cert, &section.identity.key);
    let mut out = std::io::stdout().lock();
    if is_json {
        writeln!(out, "{}", json!({ "state": "done", "sink": section.sink, "cert": cert, "key": key }))?;
    } else {
        writeln!(out, "{} and {} belong together and are in their place", cert.display(), key.display())?;
    }
    Ok(())
}

fn shown(config: &Config, section: &ProvisionConfig, provisioned: &Provisioned, is_json: bool) -> anyhow::Result<()> {
    let Provisioned { is_old, sheet, not_after } = provisioned;
    let (thing, configuration) = match &sheet.registered {
        Some(registered) => (Some(registered.thing.as_str()), Some(&registered.configuration)),
        None => (None, None),
    };
    let mut out = std::io::stdout().lock();
    if is_json {
        let id = sheet.issued.as_ref().map(|issued| issued.certificate_id.as_str());
        let (cert, key) = (&section.identity.cert, &section.identity.key);
        let done = json!({
            "state": "done", "before": is_old, "sink": section.sink, "thing": thing, "certificate": id, "cert": cert, "key": key,
            "not_after": not_after, "configuration": configuration,
        });
        writeln!(out, "{done}")?;
        return Ok(());
    }
    let device = &config.device.id;
    if *is_old {
        writeln!(out, "{device} has a certificate already: {}", section.identity.cert.display())?;
    } else {
        let until = not_after.map(|until| format!(", valid until {}", until.day())).unwrap_or_default();
        writeln!(out, "{device} has a certificate of its own: {}{until}", section.identity.cert.display())?;
    }
    if let Some(thing) = thing.filter(|thing| *thing != device.as_str()) {
        eprintln!(
            "note: the template made it the thing \"{thing}\", and it connects as \"{device}\": policies may want one name"
        );
    }
    Ok(())
}

/// Says why not; the exit code for it.
fn refused(error: &ProvisionError, is_json: bool) -> anyhow::Result<Exit> {
    if is_json {
        let rejection = match error {
            ProvisionError::Ask(AskError::Rejected { rejection, .. }) => Some(rejection),
            _ => None,
        };
        writeln!(std::io::stdout().lock(), "{}", json!({ "error": chain(error), "rejected": rejection }))?;
    } else {
        eprintln!("tidegate: {}", chain(error));
    }
    Ok(match error {
        ProvisionError::NotConfigured(_) => Exit::Config,
        ProvisionError::File { .. } => Exit::Disk,
        ProvisionError::Ask(AskError::Unreached { .. } | AskError::Passing(_)) => Exit::Unavailable,
        ProvisionError::Ask(_) | ProvisionError::Key(_) | ProvisionError::Busy => Exit::NotFine,
    })
}

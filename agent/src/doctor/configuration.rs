//! The configuration, and the files that it names.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use super::people::{Person, READ};
use super::{Looked, Patient};
use crate::config::credentials::Credentials;
use crate::config::proxy::ProxyConfig;
use crate::config::tls::TlsConfig;
use crate::config::{Config, SinkKind};
use crate::control::check::{Area, Check};

const AREA: Area = Area::Configuration;
/// Bits of a mode that let everybody read, write or use a file.
const MODE_OTHERS: u32 = 0o007;

/// Whether it loads.
pub fn loads(patient: &Patient) -> Looked {
    const NAME: &str = "config-loads";
    vec![match &patient.config {
        Ok(config) => Check::ok(
            AREA,
            NAME,
            format!("buses: {}, sinks: {}, hash {}", config.buses.len(), config.sinks.len(), short(&config.hash)),
        ),
        Err(wrong) => {
            let more = match wrong.problems {
                0 | 1 => String::new(),
                problems => format!(" (and {} more)", problems - 1),
            };
            let fix = if wrong.is_barred {
                "sudo tidegate doctor; or sudo usermod -aG tidegate $USER, and log in again"
            } else {
                "`tidegate check` shows each with its line"
            };
            Check::fault(AREA, NAME, format!("{}{more}", wrong.seen), fix)
        }
    }]
}

fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

/// A file that the configuration names.
struct Named {
    /// By what.
    key: String,
    path: PathBuf,
    is_secret: bool,
}

/// Whether who runs it can read them, and who else can.
pub fn files(patient: &Patient) -> Looked {
    let Ok(config) = &patient.config else { return Vec::new() };
    let named = named(config);
    let person = Person::of(patient);
    let mut checks = Vec::new();
    for Named { key, path, is_secret } in &named {
        let shown = path.display();
        match path.metadata() {
            // What this user may not even see may be another's: of a service's credentials only the service sees them.
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied && person != Person::Us => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let fix = match &config.provision {
                    Some(provision) if is_of(provision, path) => "`tidegate provision` fetches it".to_owned(),
                    _ => format!("put it there, or name another as {key}"),
                };
                checks.push(Check::fault(AREA, "config-files", format!("{key}: {shown} is not there"), fix));
            }
            Err(error) => {
                let fix = format!("let who runs the agent read it: ls -l {shown}");
                checks.push(Check::fault(AREA, "config-files", format!("{key}: {shown}: {error}"), fix));
            }
            Ok(facts) => {
                if !person.may(READ, path, &facts) {
                    let who = person.name(patient);
                    let fix = format!("sudo chgrp tidegate {shown} && sudo chmod 640 {shown}");
                    let seen = format!("{key}: {shown} can not be read by {who} (mode {:o})", facts.mode() & 0o777);
                    checks.push(Check::fault(AREA, "config-files", seen, fix));
                }
                if *is_secret && facts.mode() & MODE_OTHERS != 0 {
                    let seen = format!("{key}: everybody here can read {shown} (mode {:o})", facts.mode() & 0o777);
                    checks.push(Check::warning(AREA, "config-secrets", seen, format!("sudo chmod 640 {shown}")));
                }
            }
        }
    }
    let has = |name: &str| checks.iter().any(|check| check.check == name);
    let is_readable = !has("config-files");
    if !has("config-secrets") {
        let secrets = named.iter().filter(|named| named.is_secret).count();
        checks
            .insert(0, Check::ok(AREA, "config-secrets", format!("{secrets} files with secrets, none for everybody")));
    }
    if is_readable {
        checks.insert(0, Check::ok(AREA, "config-files", format!("{} files are named, all can be read", named.len())));
    }
    checks
}

fn is_of(provision: &crate::config::ProvisionConfig, path: &std::path::Path) -> bool {
    provision.identity.cert == path || provision.identity.key == path
}

fn named(config: &Config) -> Vec<Named> {
    let mut named = Vec::new();
    let mut add = |key: String, path: &PathBuf, is_secret: bool| {
        if !named.iter().any(|other: &Named| other.path == *path) {
            named.push(Named { key, path: path.clone(), is_secret });
        }
    };
    if let Some(key) = &config.device.signing_key {
        add("device.signing_key".to_owned(), key, true);
    }
    if let Some(key) = &config.update.key {
        add("update.key".to_owned(), key, false);
    }
    for sink in &config.sinks {
        let of = |key: &str| format!("sink.{}.{key}", sink.id);
        let mut tls = |tls: &TlsConfig, table: &str| {
            if let Some(ca) = &tls.ca {
                add(of(&format!("{table}.ca")), ca, false);
            }
            if let Some(identity) = &tls.identity {
                add(of(&format!("{table}.cert")), &identity.cert, false);
                add(of(&format!("{table}.key")), &identity.key, true);
            }
        };
        let proxy = |proxy: &Option<ProxyConfig>| proxy.as_ref().and_then(|proxy| proxy.login.clone());
        let (mut login, mut through) = (None, None);
        match &sink.kind {
            SinkKind::Mqtt(mqtt) => {
                if let Some(config) = &mqtt.tls {
                    tls(config, "tls");
                }
                login = mqtt.login.as_ref().map(|(_, file)| ("password_file", file.clone()));
                through = proxy(&mqtt.proxy);
            }
            SinkKind::S3(s3) => {
                match &s3.credentials {
                    Credentials::Env => {}
                    Credentials::File { path, .. } => login = Some(("credentials.path", path.clone())),
                    Credentials::Static { secret_access_key_file, .. } => {
                        login = Some(("credentials.secret_access_key_file", secret_access_key_file.clone()));
                    }
                    Credentials::Iot(iot) => tls(&iot.tls, "credentials"),
                }
                through = proxy(&s3.proxy);
            }
            SinkKind::File(_) => {}
        }
        if let Some((key, file)) = &login {
            add(of(key), file, true);
        }
        if let Some((_, file)) = &through {
            add(of("proxy_password_file"), file, true);
        }
    }
    named
}

//! `[device]`: who this is.

use std::path::PathBuf;
use std::time::Duration;

use model::{DeviceId, NameError, SiteId, Tags};

use super::section::{Misfit, Section};
use super::value::{self, duration, parsed};

/// Some eighty readings an hour.
const HEALTH_EVERY_DEFAULT: Duration = Duration::from_secs(15 * 60);

/// `[device]`
#[derive(Debug, Clone)]
pub struct DeviceConfig {
    /// IoT thing name, MQTT client id, `device=` in object keys. Default: the hostname.
    pub id: DeviceId,
    /// `site=` in object keys. Default: `default`.
    pub site: SiteId,
    /// Copied into every envelope.
    pub tags: Tags,
    /// How often the agent's own health is taken as readings; zero: never.
    pub health_every: Duration,
    /// The device's Ed25519 key (PKCS#8 PEM): manifest lines are signed with it.
    pub signing_key: Option<PathBuf>,
}

impl DeviceConfig {
    /// Puts `{device}`, `{site}`, `{env:NAME}` and `{credential:NAME}` in place.
    pub fn expand(&self, text: &str) -> Result<String, String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let close = rest[open..].find('}').ok_or_else(|| format!("`{{` without `}}` in \"{text}\""))? + open;
            out.push_str(&rest[..open]);
            match &rest[open + 1..close] {
                "device" => out.push_str(self.id.as_str()),
                "site" => out.push_str(self.site.as_str()),
                name if name.starts_with(CREDENTIAL) => {
                    let folder = std::env::var("CREDENTIALS_DIRECTORY").ok();
                    out.push_str(&credential(&name[CREDENTIAL.len()..], folder.as_deref())?);
                }
                name => {
                    let variable = name.strip_prefix("env:").ok_or_else(|| {
                        format!("`{{{name}}}` is none of {{device}}, {{site}}, {{env:NAME}}, {{credential:NAME}}")
                    })?;
                    let value = std::env::var_os(variable).and_then(|value| value.into_string().ok());
                    out.push_str(&value.ok_or_else(|| format!("the environment variable {variable} is not set"))?);
                }
            }
            rest = &rest[close + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }
}

/// What stands before a credential's name.
const CREDENTIAL: &str = "credential:";

/// Where systemd shows the credentials of `tidegate.service` (systemd.exec(5), "Credentials"). A command that a person
/// runs beside the daemon has no `CREDENTIALS_DIRECTORY`, and must read the same configuration all the same.
const CREDENTIALS: &str = "/run/credentials/tidegate.service";

/// The file of a credential that the service manager hands over.
pub(super) fn credential(name: &str, folder: Option<&str>) -> Result<String, String> {
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return Err(format!("\"{name}\" is no name of a credential"));
    }
    Ok(format!("{}/{name}", folder.unwrap_or(CREDENTIALS)))
}

/// Always gives a device, so that the other sections are read and their problems found, too; an id that was put down
/// as a problem is stood in for.
pub(super) fn read(root: &Section<'_>) -> DeviceConfig {
    let stand_in = || DeviceId::try_new("unknown").expect("a valid name");
    let Some(section) = root.section("device") else {
        let id = hostname(root).unwrap_or_else(stand_in);
        return DeviceConfig {
            id,
            site: default_site(),
            tags: Tags::new(),
            health_every: HEALTH_EVERY_DEFAULT,
            signing_key: None,
        };
    };
    let id = match section.get("id", parsed(DeviceId::try_new)) {
        Some(id) => id,
        None if section.has("id") => stand_in(),
        None => hostname(&section).unwrap_or_else(stand_in),
    };
    let site = section.get("site", parsed(SiteId::try_new)).unwrap_or_else(default_site);
    let tags = section.get("tags", value::texts).unwrap_or_default();
    let every = Duration::ZERO..=Duration::from_secs(86_400);
    let health_every = section.get("health_every", duration(every)).unwrap_or(HEALTH_EVERY_DEFAULT);
    let mut device = DeviceConfig { id, site, tags, health_every, signing_key: None };
    device.signing_key = section.get("signing_key", value::file(&device));
    section.finish();
    device
}

fn default_site() -> SiteId {
    SiteId::try_new("default").expect("a valid name")
}

/// The hostname up to its first dot, with what no name may have replaced by `-`.
fn hostname(section: &Section<'_>) -> Option<DeviceId> {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let host = name.split('.').next().unwrap_or_default();
    let clean: String = host.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect();
    DeviceId::try_new(&clean)
        .map_err(|error: NameError| {
            section.refuse("", Misfit::new(format!("the hostname makes no device id: {error}")).help("set device.id"));
        })
        .ok()
}

#[cfg(test)]
mod tests {
    use super::credential;

    #[test]
    fn a_credential_lies_where_the_service_manager_says_and_else_where_the_unit_has_it() {
        let folder = Some("/run/credentials/other.service");
        assert_eq!(credential("device.key", folder).unwrap(), "/run/credentials/other.service/device.key");
        assert_eq!(credential("device.key", None).unwrap(), "/run/credentials/tidegate.service/device.key");
        for bad in ["", "../shadow", "a/b", ".hidden"] {
            assert!(credential(bad, None).is_err(), "{bad}");
        }
    }
}

//! `[provision]`: how the device comes by the certificate of a sink, and when it asks for another.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::SinkId;

use super::device::DeviceConfig;
use super::node::{Node, Tree};
use super::section::{Fit, Misfit, Section, nearest};
use super::sink::{MqttConfig, SinkConfig, SinkKind};
use super::tls::Identity;
use super::value::{duration, expanded, file, flag, text};

/// `[provision]`
#[derive(Debug, Clone)]
pub struct ProvisionConfig {
    /// The mqtt sink whose certificate and key it is about.
    pub sink: SinkId,
    /// The sink itself: where to connect, and how.
    pub mqtt: MqttConfig,
    /// Where certificate and key are put: the sink's own `tls.cert` and `tls.key`.
    pub identity: Identity,
    /// What the device is shipped with, to ask for its own.
    pub claim: Option<Identity>,
    /// The provisioning template.
    pub template: Option<String>,
    /// What the template wants to know.
    pub parameters: BTreeMap<String, String>,
    /// The folder that says how far it has come.
    pub dir: PathBuf,
    /// Whether the claim stays when it has served.
    pub keep_claim: bool,
    /// So long before its end another certificate is asked for; none: never by itself.
    pub renew_before: Option<Duration>,
    /// The link may take so long to connect with another; then the old one comes back.
    pub confirm_within: Duration,
}

/// "Name of the provisioning template", AWS IoT API reference, `CreateProvisioningTemplate`.
const TEMPLATE_BYTES_MAX: usize = 36;
/// What a template can want to know, as far as anybody has seen.
const PARAMETERS_MAX: usize = 64;
/// Less than a day leaves no time for a second attempt; certificates of devices live for years.
const RENEW_BEFORE: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(86_400)..=Duration::from_secs(3_650 * 86_400);

/// The link looks at the files every ten seconds, and waits for two minutes at most before it tries again.
const CONFIRM_WITHIN: std::ops::RangeInclusive<Duration> = Duration::from_secs(15)..=Duration::from_secs(86_400);
const CONFIRM_WITHIN_DEFAULT: Duration = Duration::from_secs(600);

pub(super) fn read(root: &Section<'_>, device: &DeviceConfig, sinks: &[SinkConfig]) -> Option<ProvisionConfig> {
    let section = root.section("provision")?;
    let sink = sink_of(&section, sinks);
    let [claim_cert, claim_key] = ["claim_cert", "claim_key"].map(|key| section.get(key, file(device)));
    let claim = match (claim_cert, claim_key) {
        (Some(cert), Some(key)) => Some(Identity { cert, key }),
        (None, None) => None,
        _ => {
            section.refuse("", Misfit::new("`claim_cert` and `claim_key` go together"));
            None
        }
    };
    let template = section.get("template", |node| template(text(node)?));
    let parameters = section.get("parameters", |node| parameters(node, device)).unwrap_or_default();
    let dir = section.get("dir", file(device));
    let keep_claim = section.get("keep_claim", flag).unwrap_or(false);
    let renew_before = section.get("renew_before", duration(RENEW_BEFORE));
    let confirm_within = section.get("confirm_within", duration(CONFIRM_WITHIN)).unwrap_or(CONFIRM_WITHIN_DEFAULT);
    if template.is_none() && !section.has("template") && (claim.is_some() || renew_before.is_some()) {
        let misfit = Misfit::new("`template` is missing in [provision]");
        section.refuse("", misfit.help("the name of the provisioning template"));
    }
    section.finish();
    let (sink, mqtt) = sink?;
    let identity = mqtt.tls.as_ref().and_then(|tls| tls.identity.clone());
    let Some(identity) = identity else {
        let misfit = Misfit::new(format!("the sink \"{sink}\" has no tls.cert and tls.key"));
        section.refuse("sink", misfit.help("they say where the certificate and its key are put"));
        return None;
    };
    if identity.cert == identity.key {
        section.refuse("sink", Misfit::new(format!("tls.cert and tls.key of \"{sink}\" have to be two files")));
    }
    let dir = dir.unwrap_or_else(|| identity.key.parent().unwrap_or(Path::new("/")).to_owned());
    Some(ProvisionConfig {
        sink,
        mqtt,
        identity,
        claim,
        template,
        parameters,
        dir,
        keep_claim,
        renew_before,
        confirm_within,
    })
}

/// The sink that is named, or the only one that it can be.
fn sink_of(section: &Section<'_>, sinks: &[SinkConfig]) -> Option<(SinkId, MqttConfig)> {
    let brokers: Vec<(&SinkId, &MqttConfig)> = sinks
        .iter()
        .filter_map(|sink| match &sink.kind {
            SinkKind::Mqtt(mqtt) => Some((&sink.id, mqtt)),
            SinkKind::S3(_) | SinkKind::File(_) => None,
        })
        .collect();
    let owned = |(id, mqtt): &(&SinkId, &MqttConfig)| ((*id).clone(), (*mqtt).clone());
    let Some(name) = section.get("sink", text) else {
        if let [only] = brokers.as_slice() {
            return Some(owned(only));
        }
        if !section.has("sink") {
            let misfit = Misfit::new("`sink` is missing in [provision]");
            section.refuse("", misfit.help("the name of the mqtt sink that the certificate is for"));
        }
        return None;
    };
    let found = brokers.iter().find(|(id, _)| id.as_str() == name);
    if found.is_none() {
        let names: Vec<String> = brokers.iter().map(|(id, _)| id.to_string()).collect();
        let misfit = Misfit::new(format!("there is no mqtt sink \"{name}\""));
        let misfit = match nearest(&name, &names) {
            Some(right) => misfit.help(format!("did you mean \"{right}\"?")),
            None => misfit.help("the mqtt sink that the certificate is for"),
        };
        section.refuse("sink", misfit);
    }
    found.map(owned)
}

fn template(name: String) -> Fit<String> {
    let is_name = !name.is_empty()
        && name.len() <= TEMPLATE_BYTES_MAX
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if is_name {
        return Ok(name);
    }
    Err(Misfit::new(format!("a template's name has 1 to {TEMPLATE_BYTES_MAX} letters, digits, - and _")))
}

fn parameters(node: &Node, device: &DeviceConfig) -> Fit<BTreeMap<String, String>> {
    let Tree::Table(table) = &node.value else {
        return Err(Misfit::new("a table is expected here").help("{ SerialNumber = \"{device}\" }"));
    };
    if table.len() > PARAMETERS_MAX {
        return Err(Misfit::new(format!("at most {PARAMETERS_MAX} parameters")));
    }
    let read = |value: &Node| expanded(device)(value).map_err(|misfit| misfit.at(&value.at));
    table.iter().map(|(key, (_, value))| Ok((key.clone(), read(value)?))).collect()
}

//! `[remote]`: what may be done from afar, over which link.

use std::path::PathBuf;
use std::time::Duration;

use model::SinkId;

use super::device::DeviceConfig;
use super::node::Node;
use super::section::{Fit, Misfit, Section, nearest};
use super::sink::{SinkConfig, SinkKind};
use super::value::{duration, file, flag, list, text};

/// `[remote]`
#[derive(Debug, Clone)]
pub struct RemoteConfig {
    /// The mqtt sink over whose link it goes.
    pub via: SinkId,
    /// Whether a revision of the configuration is taken from afar.
    pub config: bool,
    /// Whether commands are.
    pub commands: bool,
    /// A revision that has not reached the broker by then is rolled back.
    pub confirm_within: Duration,
    /// What a revision may touch.
    pub allow: Vec<Pattern>,
    /// The Ed25519 key (PEM) by which revisions must be signed; none: whoever may publish to the topic is believed.
    pub key: Option<PathBuf>,
    /// Whether the board may be told to start anew.
    pub allow_reboot: bool,
}

/// A dotted path of the configuration, of which `*` is any one name. It stands for all below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<String>);

const ALLOW_DEFAULT: [&str; 3] = ["instrument", "sink.*.batch", "journal.commit_interval"];

/// What names files, credentials or sockets, or where the device is found. No `allow` reaches it. Every other key that
/// names a file is refused by the reader of files itself.
const NEVER: [&str; 10] = [
    "remote",
    "provision",
    "update",
    "local",
    "device.id",
    "device.site",
    "journal.path",
    "sink.*.credentials",
    "sink.*.username",
    "sink.*.proxy_username",
];

/// A broker that is far away needs a while; a device that nobody reaches for an hour is a drive.
const CONFIRM_WITHIN: std::ops::RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(86_400);
const CONFIRM_WITHIN_DEFAULT: Duration = Duration::from_secs(300);

impl Pattern {
    fn parse(text: &str) -> Self {
        Self(text.split('.').map(str::to_owned).collect())
    }

    /// Whether the key at `path` is the one that is meant, or stands below it.
    fn covers(&self, path: &[&str]) -> bool {
        self.0.len() <= path.len() && self.0.iter().zip(path).all(|(part, name)| part == "*" || part == name)
    }

    /// Whether something below `path` may be meant.
    fn reaches(&self, path: &[&str]) -> bool {
        self.0.iter().zip(path).all(|(part, name)| part == "*" || part == name)
    }
}

/// What of a patch stands outside `allow`, each with the words for it.
pub fn outside(patch: &serde_json::Value, allow: &[Pattern]) -> Vec<(String, String)> {
    let never: Vec<Pattern> = NEVER.iter().map(|text| Pattern::parse(text)).collect();
    let mut found = Vec::new();
    walk(patch, &mut Vec::new(), allow, &never, &mut found);
    found
}

fn walk<'p>(
    patch: &'p serde_json::Value,
    keys: &mut Vec<&'p str>,
    allow: &[Pattern],
    never: &[Pattern],
    found: &mut Vec<(String, String)>,
) {
    if never.iter().any(|pattern| pattern.covers(keys)) {
        found.push((keys.join("."), "can not be changed from afar".to_owned()));
        return;
    }
    let is_allowed = allow.iter().any(|pattern| pattern.covers(keys));
    match patch {
        // Further down something may be allowed, or never allowed.
        serde_json::Value::Object(object) if !object.is_empty() => {
            for (key, value) in object {
                keys.push(key);
                walk(value, keys, allow, never, found);
                keys.pop();
            }
        }
        // What is taken out or replaced goes with all below it.
        _ if never.iter().any(|pattern| pattern.reaches(keys)) && !keys.is_empty() => {
            found.push((keys.join("."), "holds what can not be changed from afar".to_owned()));
        }
        _ if is_allowed || keys.is_empty() => {}
        _ => found.push((keys.join("."), "is not in `remote.allow` of this device".to_owned())),
    }
}

/// `remote.allow` as it is before a revision is laid over it; a value that is wrong allows nothing, and is a problem
/// when the section is read.
pub(super) fn allowed(root: &Node) -> Vec<Pattern> {
    match root.child("remote").and_then(|remote| remote.child("allow")) {
        Some(node) => patterns(node).unwrap_or_default(),
        None => ALLOW_DEFAULT.iter().map(|text| Pattern::parse(text)).collect(),
    }
}

fn patterns(node: &Node) -> Fit<Vec<Pattern>> {
    list(|node| {
        let pattern = Pattern::parse(&text(node)?);
        if pattern.0.iter().any(String::is_empty) {
            return Err(Misfit::new("a path has names between its dots").help("\"sink.*.batch\""));
        }
        match NEVER
            .iter()
            .find(|never| Pattern::parse(never).covers(&pattern.0.iter().map(String::as_str).collect::<Vec<_>>()))
        {
            Some(never) => Err(Misfit::new(format!("`{never}` can not be changed from afar")).help("take it out")),
            None => Ok(pattern),
        }
    })(node)
}

pub(super) fn read(root: &Section<'_>, device: &DeviceConfig, sinks: &[SinkConfig]) -> Option<RemoteConfig> {
    let section = root.section("remote")?;
    let brokers: Vec<&SinkId> =
        sinks.iter().filter(|sink| matches!(sink.kind, SinkKind::Mqtt(_))).map(|sink| &sink.id).collect();
    let via = match section.get("via", text) {
        Some(name) => {
            let found = brokers.iter().find(|id| id.as_str() == name).map(|id| (*id).clone());
            if found.is_none() {
                let names: Vec<String> = brokers.iter().map(ToString::to_string).collect();
                let misfit = Misfit::new(format!("there is no mqtt sink \"{name}\""));
                let misfit = match nearest(&name, &names) {
                    Some(right) => misfit.help(format!("did you mean \"{right}\"?")),
                    None => misfit.help("the mqtt sink over whose link this goes"),
                };
                section.refuse("via", misfit);
            }
            found
        }
        None if section.has("via") => None,
        None => match brokers.as_slice() {
            [only] => Some((*only).clone()),
            _ => {
                section.refuse("", Misfit::new("`via` is missing in [remote]").help("the name of an mqtt sink"));
                None
            }
        },
    };
    let config = section.get("config", flag).unwrap_or(false);
    let commands = section.get("commands", flag).unwrap_or(false);
    let confirm_within = section.get("confirm_within", duration(CONFIRM_WITHIN)).unwrap_or(CONFIRM_WITHIN_DEFAULT);
    let allow = section.get("allow", patterns);
    let allow = allow.unwrap_or_else(|| ALLOW_DEFAULT.iter().map(|text| Pattern::parse(text)).collect());
    let key = section.get("key", file(device));
    let allow_reboot = section.get("allow_reboot", flag).unwrap_or(false);
    section.finish();
    Some(RemoteConfig { via: via?, config, commands, confirm_within, allow, key, allow_reboot })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(patch: &serde_json::Value, allow: &[&str]) -> Vec<String> {
        let allow: Vec<Pattern> = allow.iter().map(|text| Pattern::parse(text)).collect();
        outside(patch, &allow).into_iter().map(|(path, _)| path).collect()
    }

    #[test]
    fn a_revision_touches_what_it_may_and_nothing_beside() {
        let allow = ["instrument", "sink.*.batch", "journal.commit_interval"];
        let patch = json!({"instrument": {"do": {"every": "5s"}, "old": null}, "sink": {"cloud": {"batch": {"max_age": "1m"}}}});
        assert_eq!(refused(&patch, &allow), Vec::<String>::new());
        let patch =
            json!({"sink": {"cloud": {"url": "mqtt://evil", "batch": {}}}, "bus": {"a": {"port": "/dev/ttyS0"}}});
        assert_eq!(refused(&patch, &allow), ["sink.cloud.url", "bus.a.port"]);
    }

    #[test]
    fn what_names_files_credentials_and_sockets_is_never_allowed() {
        for (patch, path) in [
            (json!({"journal": {"path": "/tmp"}}), "journal.path"),
            (json!({"local": {"socket": "/tmp/s"}}), "local"),
            (json!({"local": {"web": "0.0.0.0:8480", "web_token_file": "/tmp/t"}}), "local"),
            (json!({"remote": {"allow": ["device"]}}), "remote"),
            (json!({"sink": {"cloud": {"credentials": {"type": "env"}}}}), "sink.cloud.credentials"),
        ] {
            assert_eq!(refused(&patch, &["*"]), [path], "{patch}");
        }
        // A whole section would go, and what may not go with it.
        assert_eq!(refused(&json!({"journal": null}), &["*"]), ["journal"]);
        assert_eq!(refused(&json!({"sink": null}), &["*"]), ["sink"]);
        assert_eq!(refused(&json!({"instrument": null}), &["*"]), Vec::<String>::new());
    }
}

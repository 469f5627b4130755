//! `[sink.*]`: the destinations.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use lake::{Format, Prefix};
use model::SinkId;

use super::credentials::{self, Credentials};
use super::device::DeviceConfig;
use super::proxy::{self, ProxyConfig, ProxyKind};
use super::section::{Fit, Misfit, Section, nearest};
use super::tls::{self, TlsConfig};
use super::value::{choice, duration, expanded, file, flag, integer, parsed, size, text};

/// `[sink.*]`
#[derive(Debug, Clone)]
pub struct SinkConfig {
    /// Its name.
    pub id: SinkId,
    /// Where a batch is cut.
    pub batch: BatchConfig,
    /// What it may spend.
    pub spending: SpendingConfig,
    /// What it is.
    pub kind: SinkKind,
}

/// `max_rate`, `budget`
#[derive(Debug, Clone, Copy, Default)]
pub struct SpendingConfig {
    /// Bytes a second.
    pub max_rate: Option<u64>,
    /// Bytes a calendar month.
    pub budget: Option<u64>,
}

/// `[sink.*.batch]`: a batch is cut at whichever comes first.
#[derive(Debug, Clone, Copy)]
pub struct BatchConfig {
    /// Age of its oldest reading.
    pub max_age: Duration,
    /// Readings and events.
    pub max_readings: usize,
    /// Bytes as sent.
    pub max_bytes: u64,
}

/// The kinds of sink.
#[derive(Debug, Clone)]
pub enum SinkKind {
    /// An MQTT broker.
    Mqtt(MqttConfig),
    /// An S3-compatible object store.
    S3(S3Config),
    /// A folder.
    File(FileConfig),
}

impl SinkKind {
    /// The word in the configuration.
    pub fn as_str(&self) -> &'static str {
        match self {
            SinkKind::Mqtt(_) => "mqtt",
            SinkKind::S3(_) => "s3",
            SinkKind::File(_) => "file",
        }
    }

    /// The lake that it writes, where it writes one.
    pub fn lake(&self) -> Option<&LakeConfig> {
        match self {
            SinkKind::Mqtt(_) => None,
            SinkKind::S3(config) => Some(&config.lake),
            SinkKind::File(config) => Some(&config.lake),
        }
    }
}

/// `type = "mqtt"`
#[derive(Debug, Clone)]
pub struct MqttConfig {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Present for `mqtts://`.
    pub tls: Option<TlsConfig>,
    /// What the broker is.
    pub profile: MqttProfile,
    /// Which MQTT it is spoken to in.
    pub version: MqttVersion,
    /// Topic of the readings.
    pub topic: String,
    /// What a batch is written as.
    pub format: MqttFormat,
    /// What stands around that.
    pub compress: MqttCompress,
    /// What the other topics begin with.
    pub beside: String,
    /// Login, with the file that holds the password.
    pub login: Option<(String, PathBuf)>,
    /// What stands in between.
    pub proxy: Option<ProxyConfig>,
    /// Within so long a link that is dead is noticed.
    pub keepalive: Duration,
    /// Whether the newest readings go before a backlog.
    pub is_live_first: bool,
    /// After so long a reading is worth nothing to a subscriber.
    pub expires: Option<Duration>,
}

/// `profile`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MqttProfile {
    /// Any broker.
    Generic,
    /// AWS IoT Core: its limits are kept on our side, where they cost a wait and not a message.
    AwsIot,
}

/// `version`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MqttVersion {
    /// 5, and 3.1.1 where the broker wants it.
    Auto,
    /// 5.
    V5,
    /// 3.1.1.
    V4,
}

/// `format` of an mqtt sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MqttFormat {
    /// An envelope with a row a reading.
    Json,
    /// An envelope with arrays.
    JsonColumns,
    /// RFC 8428.
    Senml,
    /// The journal's columns.
    Columnar,
}

/// `compress` of an mqtt sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MqttCompress {
    /// As it is.
    None,
    /// One zstd frame a message.
    Zstd,
}

/// What S3 and file sinks share: the lake they write.
#[derive(Debug, Clone)]
pub struct LakeConfig {
    /// Put before every key.
    pub prefix: Prefix,
    /// Object format.
    pub format: Format,
    /// How often the day's manifest object is rewritten; zero: with every object.
    pub manifest_every: Duration,
    /// The mqtt sink that publishes each manifest line at once.
    pub announce: Option<SinkId>,
}

/// `type = "s3"`
#[derive(Debug, Clone)]
pub struct S3Config {
    /// The bucket.
    pub bucket: String,
    /// The region.
    pub region: String,
    /// Another store than AWS.
    pub endpoint: Option<String>,
    /// The bucket in the path instead of the host name.
    pub is_path_style: bool,
    /// Which checksum goes with a put.
    pub checksum: Checksum,
    /// Where the credentials are.
    pub credentials: Credentials,
    /// What stands in between.
    pub proxy: Option<ProxyConfig>,
    /// The tree it writes.
    pub lake: LakeConfig,
}

/// `checksum`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// CRC-64/NVME to AWS, MD5 to any other store: every store that was ever built knows that one.
    Auto,
    /// CRC-64/NVME.
    Crc64Nvme,
    /// CRC-32.
    Crc32,
    /// SHA-256.
    Sha256,
    /// MD5, as `Content-MD5`.
    Md5,
    /// None, for stores that know none.
    None,
}

/// `type = "file"`
#[derive(Debug, Clone)]
pub struct FileConfig {
    /// The folder that holds the tree. Its parent must be there, so that a stick that is not plugged in is not
    /// taken for an empty folder on the SD card.
    pub path: PathBuf,
    /// The tree it writes.
    pub lake: LakeConfig,
}

#[derive(Clone, Copy)]
enum Type {
    Mqtt,
    S3,
    File,
}

const TYPE: &[(&str, Type)] = &[("mqtt", Type::Mqtt), ("s3", Type::S3), ("file", Type::File)];
const FORMAT: &[(&str, Format)] = &[("parquet", Format::Parquet), ("ndjson", Format::Ndjson)];
const MQTT_FORMAT: &[(&str, MqttFormat)] = &[
    ("json", MqttFormat::Json),
    ("json-columns", MqttFormat::JsonColumns),
    ("senml", MqttFormat::Senml),
    ("columnar", MqttFormat::Columnar),
];
const MQTT_COMPRESS: &[(&str, MqttCompress)] = &[("none", MqttCompress::None), ("zstd", MqttCompress::Zstd)];
const CHECKSUM: &[(&str, Checksum)] = &[
    ("auto", Checksum::Auto),
    ("crc64nvme", Checksum::Crc64Nvme),
    ("crc32", Checksum::Crc32),
    ("sha256", Checksum::Sha256),
    ("md5", Checksum::Md5),
    ("none", Checksum::None),
];

/// Less than a message a minute is a mistake.
const RATE: RangeInclusive<u64> = 64..=1 << 30;
/// A month.
const BUDGET: RangeInclusive<u64> = 64 << 10..=1 << 50;
const PROFILE: &[(&str, MqttProfile)] = &[("generic", MqttProfile::Generic), ("aws-iot", MqttProfile::AwsIot)];
const MQTT_VERSION: &[(&str, MqttVersion)] =
    &[("auto", MqttVersion::Auto), ("5", MqttVersion::V5), ("3.1.1", MqttVersion::V4)];
const AWS_IOT_ALPN: &str = "x-amzn-mqtt-ca";
const AWS_IOT_SLASHES_MAX: usize = 7;
const AWS_IOT_CLIENT_ID_BYTES_MAX: usize = 128;
/// It takes 30 s and more.
const KEEPALIVE_AWS_IOT: Duration = Duration::from_secs(60);
/// Whether the newest goes first.
const BACKLOG: &[(&str, bool)] = &[("live-first", true), ("oldest-first", false)];
/// A ping goes out after half of it: IoT Core takes 30 s to 20 min.
const KEEPALIVE: RangeInclusive<Duration> = Duration::from_secs(30)..=Duration::from_secs(20 * 60);
/// A ping a minute costs a few kilobytes an hour.
const KEEPALIVE_DEFAULT: Duration = Duration::from_secs(120);

/// Batches of a message: IoT Core refuses publishes above 128 KiB, topic and properties included.
const MQTT_BATCH: BatchConfig =
    BatchConfig { max_age: Duration::from_secs(10), max_readings: 500, max_bytes: 96 << 10 };
/// As many of a format that packs them are about as many bytes as `MQTT_BATCH` has of `json`.
const PACKED_READINGS: usize = 5_000;
/// Batches of an object.
const LAKE_BATCH: BatchConfig =
    BatchConfig { max_age: Duration::from_secs(900), max_readings: 1_000_000, max_bytes: 4 << 20 };

pub(super) fn read_all(root: &Section<'_>, device: &DeviceConfig) -> Vec<SinkConfig> {
    let sections = root.named("sink");
    let sinks: Vec<_> = sections.iter().filter_map(|(name, section)| read(name, section, device)).collect();
    let of = |sink: &SinkConfig| matches!(sink.kind, SinkKind::Mqtt(_)).then(|| sink.id.to_string());
    let brokers: Vec<String> = sinks.iter().filter_map(of).collect();
    for (name, section) in &sections {
        let wanted =
            sinks.iter().find(|sink| sink.id.as_str() == name).and_then(|sink| sink.kind.lake()?.announce.as_ref());
        let Some(wanted) = wanted.map(SinkId::as_str).filter(|wanted| !brokers.iter().any(|broker| broker == wanted))
        else {
            continue;
        };
        let misfit = Misfit::new(format!("there is no mqtt sink \"{wanted}\""));
        let misfit = match nearest(wanted, &brokers) {
            Some(right) => misfit.help(format!("did you mean \"{right}\"?")),
            None => misfit.help("the mqtt sink that publishes each manifest line"),
        };
        section.refuse("announce", misfit);
    }
    sinks
}

fn read(name: &str, section: &Section<'_>, device: &DeviceConfig) -> Option<SinkConfig> {
    let id = SinkId::try_new(name).map_err(|error| section.refuse("", Misfit::new(error.to_string()))).ok();
    let kind = section.require("type", choice(TYPE))?;
    let (batch, kind) = match kind {
        Type::Mqtt => {
            let mqtt = read_mqtt(section, device);
            let is_packed = |mqtt: &MqttConfig| matches!(mqtt.format, MqttFormat::JsonColumns | MqttFormat::Columnar);
            let max_readings =
                if mqtt.as_ref().is_some_and(is_packed) { PACKED_READINGS } else { MQTT_BATCH.max_readings };
            (read_batch(section, BatchConfig { max_readings, ..MQTT_BATCH }), mqtt.map(SinkKind::Mqtt))
        }
        Type::S3 => (read_batch(section, LAKE_BATCH), read_s3(section, device).map(SinkKind::S3)),
        Type::File => (read_batch(section, LAKE_BATCH), read_file(section, device).map(SinkKind::File)),
    };
    let max_rate = section.get("max_rate", size(RATE));
    let budget = section.get("budget", size(BUDGET));
    section.finish();
    Some(SinkConfig { id: id?, batch, spending: SpendingConfig { max_rate, budget }, kind: kind? })
}

fn read_batch(section: &Section<'_>, default: BatchConfig) -> BatchConfig {
    let Some(batch) = section.section("batch") else { return default };
    let ages = Duration::from_millis(100)..=Duration::from_secs(86_400);
    let config = BatchConfig {
        max_age: batch.get("max_age", duration(ages)).unwrap_or(default.max_age),
        max_readings: batch.get("max_readings", integer(1..=1_000_000)).unwrap_or(default.max_readings),
        max_bytes: batch
            .get("max_bytes", size(1 << 10..=default.max_bytes.max(128 << 10)))
            .unwrap_or(default.max_bytes),
    };
    batch.finish();
    config
}

fn read_mqtt(section: &Section<'_>, device: &DeviceConfig) -> Option<MqttConfig> {
    let url = section.require("url", |node| broker_url(&expanded(device)(node)?));
    let default_topic = || format!("farm/{}/{}/readings", device.site, device.id);
    let topic = section.get("topic", |node| topic(expanded(device)(node)?)).unwrap_or_else(default_topic);
    let profile = section.get("profile", choice(PROFILE)).unwrap_or(MqttProfile::Generic);
    let version = section.get("version", choice(MQTT_VERSION)).unwrap_or(MqttVersion::Auto);
    let format = section.get("format", choice(MQTT_FORMAT)).unwrap_or(MqttFormat::Json);
    let compress = section.get("compress", choice(MQTT_COMPRESS)).unwrap_or(MqttCompress::None);
    let is_live_first = section.get("backlog", choice(BACKLOG)).unwrap_or(true);
    let keepalive = section.get("keepalive", duration(KEEPALIVE)).unwrap_or(KEEPALIVE_DEFAULT);
    let expires = section.get("expires", duration(Duration::from_secs(1)..=Duration::from_secs(7 * 86_400)));
    let username = section.get("username", expanded(device));
    let password_file = section.get("password_file", file(device));
    let login = match (username, password_file) {
        (Some(username), Some(file)) => Some((username, file)),
        (None, None) => None,
        _ => {
            section.refuse("", Misfit::new("`username` and `password_file` go together"));
            None
        }
    };
    let tls = section.section("tls").map(|tls| tls::read(&tls, device));
    let proxy = proxy::read(section, device);
    let (host, port, is_tls) = url?;
    if tls.is_some() && !is_tls {
        section.refuse("tls", Misfit::new("`tls` is of no use with mqtt://").help("url = \"mqtts://...\""));
    }
    let tls = is_tls.then(|| tls.unwrap_or_default());
    let beside = match topic.rsplit_once('/') {
        // Basic Ingest: a topic below it goes to the rule alone, and nothing there can be retained.
        _ if topic.starts_with("$aws/") => format!("farm/{}/{}", device.site, device.id),
        Some((above, _)) => above.to_owned(),
        None => topic.clone(),
    };
    let mut config = MqttConfig {
        host,
        port,
        tls,
        profile,
        version,
        topic,
        format,
        compress,
        beside,
        login,
        proxy,
        keepalive,
        is_live_first,
        expires,
    };
    if profile == MqttProfile::AwsIot {
        fit_aws_iot(section, device, &mut config);
    }
    Some(config)
}

/// AWS IoT Core's limits ("AWS IoT Core endpoints and quotas"), as far as a configuration can break them.
fn fit_aws_iot(section: &Section<'_>, device: &DeviceConfig, config: &mut MqttConfig) {
    match &mut config.tls {
        None => section.refuse("url", Misfit::new("AWS IoT Core wants TLS").help("url = \"mqtts://...:8883\"")),
        // Both protocols share port 443 there; the handshake tells them apart.
        Some(tls) if config.port == 443 && tls.alpn.is_none() => tls.alpn = Some(AWS_IOT_ALPN.to_owned()),
        Some(_) => {}
    }
    let counted = match config.topic.strip_prefix("$aws/rules/") {
        Some(rest) => rest.split_once('/').map_or("", |(_, rest)| rest),
        None => &config.topic,
    };
    if counted.matches('/').count() > AWS_IOT_SLASHES_MAX {
        section.refuse("topic", Misfit::new(format!("AWS IoT Core takes at most {AWS_IOT_SLASHES_MAX} slashes")));
    }
    if device.id.as_str().len() > AWS_IOT_CLIENT_ID_BYTES_MAX {
        section.refuse(
            "",
            Misfit::new(format!("AWS IoT Core takes at most {AWS_IOT_CLIENT_ID_BYTES_MAX} bytes of client id")),
        );
    }
    // A ping goes out after half of it, and that is what the broker is told.
    config.keepalive = config.keepalive.max(KEEPALIVE_AWS_IOT);
}

fn broker_url(url: &str) -> Fit<(String, u16, bool)> {
    let example = "mqtt://host:1883 or mqtts://host:8883";
    let (is_tls, rest) = match url.split_once("://") {
        Some(("mqtt", rest)) => (false, rest),
        Some(("mqtts", rest)) => (true, rest),
        _ => return Err(Misfit::new(format!("\"{url}\" is no broker's address")).help(example)),
    };
    if rest.contains('@') {
        return Err(Misfit::new("a login does not stand in the url").help("use `username` and `password_file`"));
    }
    let rest = rest.trim_end_matches('/');
    let default_port = if is_tls { 8883 } else { 1883 };
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            let port = port.parse().map_err(|_| Misfit::new(format!("\"{port}\" is no port")).help(example))?;
            (host, port)
        }
        _ => (rest, default_port),
    };
    if host.is_empty() || host.contains('/') {
        return Err(Misfit::new(format!("\"{url}\" names no host")).help(example));
    }
    Ok((host.trim_matches(['[', ']']).to_owned(), port, is_tls))
}

/// MQTT 5, section 4.7: no wildcards in a published topic, no empty topic; at most 256 bytes on IoT Core.
const TOPIC_BYTES_MAX: usize = 256;

fn topic(topic: String) -> Fit<String> {
    if topic.is_empty() || topic.len() > TOPIC_BYTES_MAX {
        return Err(Misfit::new(format!("a topic has 1 to {TOPIC_BYTES_MAX} bytes")));
    }
    match topic.chars().find(|c| matches!(c, '+' | '#' | '\0')) {
        Some(c) => Err(Misfit::new(format!("a topic to publish to has no {c:?}"))),
        None => Ok(topic),
    }
}

fn read_lake(section: &Section<'_>, device: &DeviceConfig, default: Format) -> LakeConfig {
    let prefix = section
        .get("prefix", |node| Prefix::try_new(&expanded(device)(node)?).map_err(|error| Misfit::new(error.to_string())))
        .unwrap_or_default();
    let format = section.get("format", choice(FORMAT)).unwrap_or(default);
    let every = Duration::ZERO..=Duration::from_secs(86_400);
    let manifest_every = section.get("manifest_every", duration(every)).unwrap_or(Duration::from_secs(3_600));
    let announce = section.get("announce", parsed(SinkId::try_new));
    LakeConfig { prefix, format, manifest_every, announce }
}

fn read_s3(section: &Section<'_>, device: &DeviceConfig) -> Option<S3Config> {
    let bucket = section.require("bucket", expanded(device));
    let region = section.get("region", text).unwrap_or_else(|| "us-east-1".to_owned());
    let endpoint = section.get("endpoint", |node| {
        let url = expanded(device)(node)?;
        let is_url = url.starts_with("http://") || url.starts_with("https://");
        if is_url { Ok(url) } else { Err(Misfit::new("an endpoint starts with http:// or https://")) }
    });
    let is_path_style = section.get("path_style", flag).unwrap_or(false);
    let checksum = section.get("checksum", choice(CHECKSUM)).unwrap_or(Checksum::Auto);
    let credentials = match section.section("credentials") {
        Some(section) => credentials::read(&section, device),
        None => Some(Credentials::Env),
    };
    let proxy = proxy::read(section, device);
    if proxy.as_ref().is_some_and(|proxy| proxy.kind == ProxyKind::Socks5) {
        section.refuse(
            "proxy",
            Misfit::new("an s3 sink goes through an HTTP proxy alone").help("proxy = \"http://host:3128\""),
        );
    }
    let lake = read_lake(section, device, Format::Parquet);
    Some(S3Config {
        bucket: bucket?,
        region,
        endpoint,
        is_path_style,
        checksum,
        credentials: credentials?,
        proxy,
        lake,
    })
}

fn read_file(section: &Section<'_>, device: &DeviceConfig) -> Option<FileConfig> {
    let path = section.require("path", file(device));
    let lake = read_lake(section, device, Format::Ndjson);
    Some(FileConfig { path: path?, lake })
}

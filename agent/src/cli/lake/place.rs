//! Which lake is meant: a sink of the configuration, a folder, or a bucket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lake::{Format, Prefix};

use super::Misuse;
use crate::config::credentials::{Credentials, PROFILE_DEFAULT};
use crate::config::sink::{Checksum, S3Config};
use crate::config::{Config, LakeConfig, SinkConfig, SinkKind, nearest};
use crate::sinks::lake::shelf::Shelf;
use crate::sinks::s3::Bucket;

/// A lake that can be read.
pub struct Lake {
    /// Where its objects are.
    pub shelf: Shelf,
    /// What its keys begin with.
    pub prefix: Prefix,
}

/// The lake that a word means.
pub fn find(name: Option<&str>, endpoint: Option<&str>, config: Option<&Config>) -> Result<Lake, Misuse> {
    let sinks = config.map_or(&[][..], |config| &config.sinks);
    let Some(name) = name else { return of_only_sink(sinks, endpoint) };
    if let Some(sink) = sinks.iter().find(|sink| sink.id.as_str() == name) {
        return of_sink(sink, endpoint).ok_or_else(|| Misuse(format!("the sink {name} writes no lake")));
    }
    if let Some(address) = name.strip_prefix("s3://") {
        return of_address(address, endpoint, sinks);
    }
    if name.contains('/') || Path::new(name).is_dir() {
        return Ok(folder(PathBuf::from(name), Prefix::default()));
    }
    let known: Vec<String> = sinks.iter().map(|sink| sink.id.as_str().to_owned()).collect();
    let hint = nearest(name, &known).map(|nearest| format!(", did you mean \"{nearest}\"?")).unwrap_or_default();
    Err(Misuse(format!("\"{name}\" is no sink, no folder and no s3://bucket/prefix/{hint}")))
}

/// A lake in a folder.
pub fn folder(path: PathBuf, prefix: Prefix) -> Lake {
    Lake { shelf: Shelf::folder(path), prefix }
}

fn of_only_sink(sinks: &[SinkConfig], endpoint: Option<&str>) -> Result<Lake, Misuse> {
    let mut lakes = sinks.iter().filter(|sink| matches!(sink.kind, SinkKind::S3(_) | SinkKind::File(_)));
    let (first, second) = (lakes.next(), lakes.next());
    match (first.and_then(|sink| of_sink(sink, endpoint)), second) {
        (Some(lake), None) => Ok(lake),
        (Some(_), Some(_)) => Err(Misuse("the configuration has several lakes: say which sink".to_owned())),
        (None, _) => Err(Misuse("the configuration has no lake: name a folder or s3://bucket/prefix/".to_owned())),
    }
}

fn of_sink(sink: &SinkConfig, endpoint: Option<&str>) -> Option<Lake> {
    match &sink.kind {
        SinkKind::Mqtt(_) => None,
        SinkKind::S3(config) => Some(bucket(config.clone(), endpoint, config.lake.prefix.clone())),
        SinkKind::File(config) => Some(folder(config.path.clone(), config.lake.prefix.clone())),
    }
}

fn of_address(address: &str, endpoint: Option<&str>, sinks: &[SinkConfig]) -> Result<Lake, Misuse> {
    let (name, prefix) = address.split_once('/').unwrap_or((address, ""));
    // `s3://farm-lake/north` is the folder `north/`; a prefix that ends otherwise is reached by the sink's name.
    let prefix = if prefix.is_empty() || prefix.ends_with('/') { prefix.to_owned() } else { format!("{prefix}/") };
    let prefix = Prefix::try_new(&prefix).map_err(|error| Misuse(error.to_string()))?;
    if name.is_empty() {
        return Err(Misuse(format!("s3://{address} names no bucket")));
    }
    let of_sink = sinks.iter().find_map(|sink| match &sink.kind {
        SinkKind::S3(config) if config.bucket == name => Some(config.clone()),
        _ => None,
    });
    Ok(bucket(of_sink.unwrap_or_else(|| from_environment(name)), endpoint, prefix))
}

fn bucket(mut config: S3Config, endpoint: Option<&str>, prefix: Prefix) -> Lake {
    if let Some(endpoint) = endpoint {
        config.endpoint = Some(endpoint.to_owned());
        // Another store has its buckets in the path, as a rule.
        config.is_path_style = true;
    }
    Lake { shelf: Shelf::bucket(Bucket::patient(&config)), prefix }
}

/// A bucket as the environment says, by the names that all tools of AWS read.
fn from_environment(bucket: &str) -> S3Config {
    let variable = |names: &[&str]| names.iter().find_map(|name| std::env::var(name).ok().filter(|it| !it.is_empty()));
    let endpoint = variable(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]);
    let file = variable(&["AWS_SHARED_CREDENTIALS_FILE"])
        .or_else(|| variable(&["HOME"]).map(|home| format!("{home}/.aws/credentials")))
        .filter(|file| variable(&["AWS_ACCESS_KEY_ID"]).is_none() && Path::new(file).is_file());
    let profile = variable(&["AWS_PROFILE", "AWS_DEFAULT_PROFILE"]).unwrap_or_else(|| PROFILE_DEFAULT.to_owned());
    S3Config {
        bucket: bucket.to_owned(),
        region: variable(&["AWS_REGION", "AWS_DEFAULT_REGION"]).unwrap_or_else(|| "us-east-1".to_owned()),
        is_path_style: endpoint.is_some(),
        endpoint,
        checksum: Checksum::Auto,
        proxy: None,
        credentials: file.map_or(Credentials::Env, |file| Credentials::File { path: PathBuf::from(file), profile }),
        lake: LakeConfig {
            prefix: Prefix::default(),
            format: Format::Parquet,
            manifest_every: Duration::ZERO,
            announce: None,
        },
    }
}
